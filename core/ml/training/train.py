"""Trains a model: one function from a dataset and a configuration to a model folder."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from core.config.experiment import ExperimentConfig
from core.ml.datasets.examples import Dataset
from core.ml.models import artifact
from core.ml.models.artifact import ModelCard
from core.ml.training.bases import Resolved, resolve
from core.ml.training.code_version import code_version, sources_digest
from core.ml.training.context import OnActivity, OnTrack, TrainingContext, ignore_activity, ignore_progress
from core.ml.training.embedding_cache import FindStored, find_nothing
from core.ml.training.fitting import fit_all
from core.ml.training.learners import stored_form
from core.ml.training.learning_curve import measure_learning_curve
from core.ml.training.model_evaluation import ModelEvaluation, evaluate_model
from core.ml.training.prepared_dataset import PreparedDataset, prepare_dataset
from core.ml.training.processes import is_first, join_group, own_device, wait_for_all
from core.ml.training.records import draw, make_records, read_result
from core.ml.training.reports import EpochReport, TrainingResult
from core.settings import get_settings
from core.states import Activity


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
    find_stored: FindStored = find_nothing,
    searched: bool = False,
    pictures: bool = True,
) -> TrainingResult:
    """Train on `dataset` and atomically write the model with its records to `folder`.

    After any interruption, the same call resumes from the last checkpoint, which is stored beside `folder`;
    once finished, it only reads the result. `models_dir` holds the models that the configuration names;
    `cache_dir` is shared by all trainings; what `find_stored` finds is not computed. `searched` says that a
    study chose the configuration by its scores on these tracks. `pictures`: also draw the epochs and which
    labels occur together, and measure how many tracks the model needs. Raises TrainingStopped after
    `should_stop` has returned True.
    """
    began = time.perf_counter()
    where = own_device(device)
    join_group(where)
    resolved = resolve(config, models_dir or get_settings().models_dir)
    prepared = prepare_dataset(resolved, dataset, cache_dir, where, should_stop, on_track, find_stored)
    resolved = settle(resolved, prepared)
    identity = _identity(resolved, prepared, version)
    if (known := read_result(folder, identity)) is not None:
        return known
    context = TrainingContext(resolved.config, where, on_epoch, should_stop, on_activity)
    # Another version of the same training may resume from the checkpoints: its weights are the same.
    resumable = {name: value for name, value in identity.items() if name != "version"}
    checkpoints = folder.with_name(f"{folder.name}.checkpoints")
    digest = _digest(json.dumps(resumable, sort_keys=True))[:16]
    fitted = fit_all(resolved, prepared, context, checkpoints / digest)
    if is_first():
        evaluation = evaluate_model(resolved, prepared, fitted, context, searched=searched)
        if pictures:
            curve = measure_learning_curve(prepared, fitted, context)
            evaluation = replace(evaluation, results=evaluation.results | {"learning_curve": curve})
        context.note(Activity.WRITING)
        card = _card(resolved, prepared, evaluation, identity, version, time.perf_counter() - began)
        records = make_records(card, prepared, fitted, evaluation)
        if pictures:
            records |= draw(prepared, fitted, evaluation)
        artifact.save(card, stored_form(resolved, fitted.model, len(prepared.labels)), folder, records)
        shutil.rmtree(checkpoints, ignore_errors=True)
    wait_for_all()
    result = read_result(folder, identity)
    assert result is not None
    return result


def settle(resolved: Resolved, prepared: PreparedDataset) -> Resolved:
    """The experiment with what it leaves to the dataset: whether labels are exclusive, and the folds."""
    config = resolved.config
    split = config.split.model_copy(update={"folds": len(prepared.splits)})
    config = config.model_copy(update={"split": split})
    if getattr(config.model, "single_label", None) == "auto":
        single = bool((prepared.tracks.targets.sum(1) == 1).all())
        model = config.model.model_copy(update={"single_label": single})
        config = config.model_copy(update={"model": model})
    return replace(resolved, config=config)


def _identity(resolved: Resolved, prepared: PreparedDataset, version: int) -> dict[str, str]:
    """Values that are equal for two trainings if and only if they give the same model."""
    config = resolved.config.model_dump_json()
    return {
        "version": str(version),
        "config_sha256": _digest(config),
        "dataset_sha256": prepared.fingerprint,
        "bases_sha256": ",".join(base.card.weights_sha256 for base in resolved.bases),
    }


def _card(
    resolved: Resolved,
    prepared: PreparedDataset,
    evaluation: ModelEvaluation,
    identity: dict[str, str],
    version: int,
    duration_s: float,
) -> ModelCard:
    config = resolved.config
    return ModelCard(
        name=config.experiment_name,
        version=version,
        embedding=_embedding(resolved, version),
        model=config.model,
        features=config.features,
        labels=prepared.labels,
        thresholds=evaluation.thresholds,
        calibration=evaluation.calibration,
        parents=dict(prepared.dataset.parents),
        metrics={**evaluation.metrics, "duration_s": round(duration_s, 3)},
        provenance={
            **identity,
            "config": config.model_dump_json(),
            "dataset": prepared.dataset.name,
            "code_version": code_version(),
            "code_sha256": sources_digest(),
            "seed": str(config.seed),
            "built_on": ", ".join(base.name for base in resolved.bases),
        },
        licence="\n\n".join(dict.fromkeys(base.card.licence for base in resolved.bases)),
    )


def _embedding(resolved: Resolved, version: int) -> str:
    """Name of the embedding space; a transfer model has that of its backbone."""
    if resolved.config.model.kind == "transfer":
        return resolved.bases[0].card.embedding
    return f"{resolved.config.experiment_name}-{version}/penultimate"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
