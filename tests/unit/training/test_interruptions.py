"""Trainings in processes that are killed, and trainings that several processes share."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from core.datasets.examples import Dataset
from tests.conftest import PROJECT

PROGRAM = "tests.unit.training.training_process"

pytestmark = pytest.mark.slow


def start(
    clips: Dataset, folder: Path, cache_dir: Path, name: str, launcher: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    root = clips.examples[0].path.parents[1]
    program = [sys.executable, *launcher, "-m", PROGRAM, str(root), str(folder), str(cache_dir), name]
    return subprocess.Popen(program, cwd=PROJECT, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, float]:
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    found = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert all(metrics == found[0] for metrics in found)
    return dict(found[0])


@pytest.mark.parametrize(("name", "times"), [("network", 5), ("folds", 2), ("default", 2)])
def test_a_training_killed_at_random_moments_ends_with_the_same_weights(
    clips, cache_dir, tmp_path, name, times
):
    finish(start(clips, tmp_path / "whole", cache_dir, name))
    moments = random.Random(name)
    kills = 0
    for _ in range(times):
        process = start(clips, tmp_path / "killed", cache_dir, name)
        assert process.stdout is not None
        steps = moments.randint(1, 6)
        while steps and process.stdout.readline():
            steps -= 1
        kills += process.poll() is None
        process.kill()
        process.communicate()
    finish(start(clips, tmp_path / "killed", cache_dir, name))
    assert kills > times / 2
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("whole", "killed")]
    assert weights[0] == weights[1]
    results = [(tmp_path / run / "test_results.json").read_bytes() for run in ("whole", "killed")]
    assert results[0] == results[1]


def test_two_processes_train_one_model_together(clips, cache_dir, tmp_path):
    alone = finish(start(clips, tmp_path / "alone", cache_dir, "shared"))
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    together = finish(start(clips, tmp_path / "together", cache_dir, "shared", launcher))
    assert together["tracks"] == alone["tracks"]
    assert abs(together["roc_auc_macro"] - alone["roc_auc_macro"]) < 0.15
    history = json.loads((tmp_path / "together/history.json").read_text())
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert (tmp_path / "together/model.json").is_file()
    assert not (tmp_path / "together.checkpoints").exists()
