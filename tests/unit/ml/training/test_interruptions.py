"""Trainings in processes that are killed, and trainings that several processes share."""

import json
import multiprocessing
import os
import random
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from safetensors.torch import load_file

from core.ml.datasets.examples import Dataset
from core.ml.models.zoo import build
from core.ml.training.losses import make_loss
from core.ml.training.validation import validate
from core.settings import PROJECT
from tests.unit.ml.training import shared_fit
from tests.unit.ml.training.experiments import make_config, make_context, make_tracks
from tests.unit.ml.training.training_process import AUGMENTATION, CONFIGS, run_in_fork

PROGRAM = "tests.unit.ml.training.training_process"
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([PROGRAM])  # torch is imported once, not by each of a dozen processes
TWO_PROCESSES = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

pytestmark = pytest.mark.slow


def start(clips: Dataset, folder: Path, cache_dir: Path, name: str) -> tuple[ForkServerProcess, Connection]:
    steps, pipe = FORKS.Pipe(duplex=False)
    process = FORKS.Process(
        target=run_in_fork, args=(str(root_of(clips)), str(folder), str(cache_dir), name, pipe)
    )
    process.start()
    pipe.close()
    return process, steps


def finish(process: ForkServerProcess, steps: Connection) -> None:
    with suppress(EOFError):
        while True:
            steps.recv()
    process.join(timeout=200)
    assert process.exitcode == 0


def root_of(clips: Dataset) -> Path:
    return clips.examples[0].path.parents[1]


@pytest.mark.parametrize(("name", "times"), [("network", 5), ("folds", 2), ("default", 2)])
def test_a_training_killed_at_random_moments_ends_with_the_same_weights(
    clips, cache_dir, tmp_path, name, times
):
    finish(*start(clips, tmp_path / "whole", cache_dir, name))
    moments = random.Random(name)
    kills = 0
    for _ in range(times):
        process, steps = start(clips, tmp_path / "killed", cache_dir, name)
        for _ in range(moments.randint(1, 6)):
            steps.recv()
        kills += process.is_alive()
        process.kill()
        process.join()
    finish(*start(clips, tmp_path / "killed", cache_dir, name))
    assert kills > times / 2
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("whole", "killed")]
    assert weights[0] == weights[1]
    results = [(tmp_path / run / "test_results.json").read_bytes() for run in ("whole", "killed")]
    assert results[0] == results[1]


def test_processes_end_with_one_model_draw_different_batches_and_can_be_stopped(tmp_path):
    program = [sys.executable, *TWO_PROCESSES, "-m", "tests.unit.ml.training.shared_fit", str(tmp_path)]
    subprocess.run(program, cwd=PROJECT, check=True, timeout=200)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first["whole"] == second["whole"] == first["broken"] == second["broken"]
    assert not set(first["augmented"]) & set(second["augmented"])
    # The scores that were reported are those of the model that is stored.
    config, tracks = shared_fit.CONFIG, make_tracks(tmp_path / "tracks", per_label=20)
    model = build(config.model, config.features, 4)
    model.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    loss, _ = validate(
        model, tracks, shared_fit.VALIDATED, make_context(config), make_loss(config.training.loss)
    )
    assert loss == pytest.approx(first["validation_loss"], rel=1e-5)


def test_two_processes_train_one_model_from_a_configuration(clips, cache_dir, tmp_path):
    finish(*start(clips, tmp_path / "alone", cache_dir, "shared"))
    dataset = {"kind": "folder", "root": str(root_of(clips))}
    config = make_config(augmentation=AUGMENTATION, dataset=dataset, **CONFIGS["shared"])
    (tmp_path / "config.yaml").write_text(config.model_dump_json())
    program = [sys.executable, *TWO_PROCESSES, "-m", "core.ml.training", "config.yaml", "together"]
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "MFA_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        program, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=200
    )
    lines = done.stdout.splitlines()
    epochs = config.training.epochs
    assert [line.split(",")[0] for line in lines[:epochs]] == [
        f"epoch {epoch} of {epochs}" for epoch in range(1, epochs + 1)
    ]
    assert lines[epochs].startswith("together: ")
    assert "roc_auc_macro" in lines[epochs]
    alone, together = (
        json.loads((tmp_path / run / "test_results.json").read_text())["metrics"]
        for run in ("alone", "together")
    )
    assert together["tracks"] == alone["tracks"]
    assert abs(together["roc_auc_macro"] - alone["roc_auc_macro"]) < 0.15
    history = json.loads((tmp_path / "together/history.json").read_text())
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert (tmp_path / "together/model.json").is_file()
    assert not (tmp_path / "together.checkpoints").exists()
