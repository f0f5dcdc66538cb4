"""Train a model: one function from a dataset and a configuration to a folder that can be served."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from core.config.experiment import ExperimentConfig
from core.ml.datasets.examples import Dataset
from core.ml.models import artifact
from core.ml.models.artifact import ModelCard
from core.ml.training.bases import Resolved, resolve
from core.ml.training.fitting import Fitted, fit_all
from core.ml.training.judgement import Judgement, judge
from core.ml.training.learners import stored_form
from core.ml.training.material import Material, prepare
from core.ml.training.processes import is_first, join_group, own_device, wait_for_all
from core.ml.training.records import make_records, read_result
from core.ml.training.reports import EpochReport, TrainingResult
from core.ml.training.run import OnActivity, OnTrack, Run, ignore_activity, ignore_progress
from core.settings import get_settings
from core.states import Activity

ML = Path(__file__).resolve().parents[1]


def train(
    config: ExperimentConfig,
    dataset: Dataset,
    on_epoch: Callable[[EpochReport], None],
    *,
    folder: Path,
    cache_dir: Path,
    models_dir: Path | None = None,
    version: int = 1,
    device: str = "auto",
    should_stop: Callable[[], bool] = lambda: False,
    on_track: OnTrack = ignore_progress,
    on_activity: OnActivity = ignore_activity,
    searched: bool = False,
) -> TrainingResult:
    """Train on `dataset` and write the model with all its records to `folder`, which appears at once.

    Interrupted in whatever way, the same call goes on from the last checkpoint, which lies beside `folder`
    until then; once finished, it only reads the result. `models_dir` holds the models that the configuration
    names; `cache_dir` is shared by all trainings. `searched` says that a study chose the configuration by
    what it scored on these tracks. Raises `TrainingStopped` after `should_stop` said so.
    """
    began = time.perf_counter()
    where = own_device(device)
    join_group(where)
    resolved = resolve(config, models_dir or get_settings().models_dir)
    material = prepare(resolved, dataset, cache_dir, where, should_stop, on_track)
    identity = _identity(resolved, material, version)
    if (known := read_result(folder, identity)) is not None:
        return known
    run = Run(resolved.config, where, on_epoch, should_stop, on_activity)
    # Another version of the same may go on from them: whatever it is called, its weights are the same.
    learnt_from = {name: value for name, value in identity.items() if name != "version"}
    checkpoints = folder.with_name(f"{folder.name}.checkpoints")
    digest = _digest(json.dumps(learnt_from, sort_keys=True))[:16]
    fitted = fit_all(resolved, material, run, checkpoints / digest)
    if is_first():
        judgement = judge(resolved, material, fitted, run, searched=searched)
        run.note(Activity.WRITING)
        _save(resolved, material, fitted, judgement, identity, folder, version, time.perf_counter() - began)
        shutil.rmtree(checkpoints, ignore_errors=True)
    wait_for_all()
    result = read_result(folder, identity)
    assert result is not None
    return result


def _identity(resolved: Resolved, material: Material, version: int) -> dict[str, str]:
    """What makes two trainings the same one."""
    config = resolved.config.model_dump_json()
    return {
        "version": str(version),
        "config_sha256": _digest(config),
        "dataset_sha256": material.fingerprint,
        "bases_sha256": ",".join(base.card.weights_sha256 for base in resolved.bases),
    }


def _save(
    resolved: Resolved,
    material: Material,
    fitted: Fitted,
    judgement: Judgement,
    identity: dict[str, str],
    folder: Path,
    version: int,
    duration_s: float,
) -> None:
    config = resolved.config
    card = ModelCard(
        name=config.experiment_name,
        version=version,
        embedding=_embedding(resolved, version),
        model=config.model,
        features=config.features,
        labels=material.labels,
        thresholds=judgement.thresholds,
        calibration=judgement.calibration,
        parents=dict(material.dataset.parents),
        metrics={**judgement.metrics, "duration_s": round(duration_s, 3)},
        provenance={
            **identity,
            "config": config.model_dump_json(),
            "dataset": material.dataset.name,
            "code_version": code_version(),
            "seed": str(config.seed),
            "built_on": ", ".join(base.name for base in resolved.bases),
        },
        licence="\n\n".join(dict.fromkeys(base.card.licence for base in resolved.bases)),
    )
    model = stored_form(resolved, fitted.model, len(material.labels))
    artifact.save(card, model, folder, make_records(card, material, fitted, judgement))


def code_version() -> str:
    """A digest of the sources that determine a training's result; works without a Git repository."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in training_sources())).hexdigest()[:16]


def training_sources() -> list[Path]:
    """Every module of `core.ml` except those that only choose parameters."""
    return sorted(path for path in ML.rglob("*.py") if path.relative_to(ML).parts[0] != "tuning")


def _embedding(resolved: Resolved, version: int) -> str:
    """Name of the vector space: a head on a stored model does not change that model's."""
    if resolved.config.model.kind == "transfer":
        return resolved.bases[0].card.embedding
    return f"{resolved.config.experiment_name}-{version}/penultimate"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
