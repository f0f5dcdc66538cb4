"""Body of a `thresholds` unit: tunes a model's thresholds on its validation tracks.

A new version is registered only if a gain is shown, or if it is wanted nevertheless: `NAME` without a version
means the newest.
"""

import logging
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from core.config.params import ThresholdParams
from core.jobs.claims import Claim
from core.jobs.counters import count_unit_itself, save_progress
from core.ml.evaluation.thresholds import precision_recall_front
from core.ml.evaluation.tuned_thresholds import Aim, TunedThresholds, tune
from core.ml.inference.tagger import postprocess_scores
from core.ml.models import artifact
from core.ml.models.artifact import ModelCard, StoredCard
from core.ml.training.json_values import finite_or_null
from core.ml.training.records import README_FILE, VALIDATION_FILE, read_validation
from core.ml.training.threshold_card import write_threshold_card
from core.ml.training.track_records import TRACKS_FILE, UnreadableRecords, read_track_records
from core.settings import get_settings
from core.store.experiments import reserve_version
from core.store.predictions import copy_predictions
from core.store.registry import artifact_folder, register_artifact, resolve_model
from core.store.tables import Job, JobUnit, Model
from workers.install import install
from workers.lease import Lease
from workers.training_tracks import store_training_tracks

log = logging.getLogger(__name__)

MOST_POINTS = 50
FOLDS = 5  # in which thresholds are chosen on some tracks, and measured on others
TARGET_S = 45.0  # of one run of the unit
Scores = npt.NDArray[np.float64]


def tune_thresholds(lease: Lease) -> None:
    """A repeated run finds the same thresholds; once the version is registered, it only relabels."""
    source, made = lease.transact(partial(_load, claim=lease.claim))
    model = made or _make_version(lease, source)
    if model is not None:
        _store_training_tracks(lease, model)
        _relabel(lease, source, model)
    lease.write(lambda session: count_unit_itself(session, lease.claim))


def _load(session: Session, claim: Claim) -> tuple[Model, Model | None]:
    """The model to tune, and the version with new thresholds, if a former run has registered it."""
    result = session.get_one(Job, claim.job_id).result
    made = resolve_model(session, result["model"]) if result and result["model"] else None
    return session.get_one(Model, claim.model_id), made


def _make_version(lease: Lease, source: Model) -> Model | None:
    """Choose the thresholds and register the version that has them; None if nothing speaks for it."""
    params = ThresholdParams.model_validate(lease.claim.params)
    stored = artifact.load(artifact_folder(source))
    assert isinstance(stored.card, StoredCard)
    held_out = read_validation(artifact_folder(source))
    scores = postprocess_scores(stored.card, held_out.scores).astype(np.float64)
    truth, folds = held_out.targets.astype(bool), held_out.folds(FOLDS)
    aim = Aim(params.beta or 1.0, params.min_precision)
    groups = held_out.groups.tolist()
    tuned = tune(aim, truth, scores, held_out.known, groups, folds, stored.card.thresholds)
    result = describe(stored.card, aim, tuned, truth, scores) | {"cross_fitted": len(set(folds)) > 1}
    lease.record_step()
    wanted = ("better", "undecided") if params.force else ("better",)
    if result["verdict"] not in wanted:
        lease.write(partial(_answer, claim=lease.claim, model=None, result=result))
        return None
    version = lease.write(partial(_reserve_version, claim=lease.claim, name=source.name))
    card = new_card(stored.card, aim, tuned.thresholds, version)
    settings = get_settings()
    # Under the job's name, so that the dispatcher removes what a kill leaves of it.
    staging = settings.training_dir / str(lease.claim.job_id)
    try:
        records = _records(artifact_folder(source))
        records[README_FILE] = write_threshold_card(card, result).encode()
        artifact.save(card, stored.model, staging / "model", records)
        lease.record_step()
        installed = install(staging / "model", settings.models_dir / f"{card.name}-{version}")
        return lease.write(partial(_register, claim=lease.claim, folder=installed, result=result))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _reserve_version(session: Session, claim: Claim, name: str) -> int:
    """The same at every run of the unit."""
    known = session.get_one(JobUnit, claim.unit_id).payload.get("version")
    if known is not None:
        return int(known)
    version = reserve_version(session, name)
    save_progress(session, claim, version=version)
    return version


def _register(session: Session, claim: Claim, folder: Path, result: dict[str, Any]) -> Model:
    """Make the new version and the answer visible at once."""
    model = register_artifact(session, folder)
    _answer(session, claim, model.reference, result)
    session.flush()
    return model


def _answer(session: Session, claim: Claim, model: str | None, result: dict[str, Any]) -> None:
    session.get_one(Job, claim.job_id).result = {"model": model, **result}


def describe(
    card: ModelCard, aim: Aim, tuned: TunedThresholds, truth: npt.NDArray[np.bool_], scores: Scores
) -> dict[str, Any]:
    """What is found, as `api.schemas.ThresholdOutcome` holds it.

    The `front` of a label is of the tracks that its threshold is chosen on.
    """
    labels = [
        {
            "label": label,
            "threshold": float(tuned.thresholds[at]),
            "before": card.thresholds[at],
            "support": int(truth[:, at].sum()),
            "given": int(tuned.counts.given[at]) if tuned.measured[at] else None,
            **_figures(tuned, at),
            "kept": tuned.kept[at],
            "front": _front(truth[:, at], scores[:, at]) if tuned.measured[at] else [],
        }
        for at, label in enumerate(card.labels)
    ]
    found = {
        "labels": labels,
        "unreached": [label for label, missed in zip(card.labels, tuned.unreached, strict=True) if missed],
        "unmeasured": [label for label, known in zip(card.labels, tuned.measured, strict=True) if not known],
        "measure": aim.describe(int(tuned.measured.sum())),
        "verdict": tuned.verdict(card.thresholds),
        "value_before": tuned.value_before,
        "value": tuned.value,
        "chance": tuned.chance,
    }
    return dict(finite_or_null(found))


def _figures(tuned: TunedThresholds, at: int) -> dict[str, float | None]:
    """Precision and recall of a label; None if it cannot be measured."""
    values = {
        "precision": tuned.counts.precision,
        "recall": tuned.counts.recall,
        "precision_before": tuned.before.precision,
        "recall_before": tuned.before.recall,
    }
    return {name: float(of[at]) if tuned.measured[at] else None for name, of in values.items()}


def _front(truth: npt.NDArray[np.bool_], scores: Scores) -> list[dict[str, float]]:
    """Precision against recall of one label, at most `MOST_POINTS` of the decisions that are worth it."""
    points = precision_recall_front(truth, scores)
    places = np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(int))
    return [dict(zip(("threshold", "precision", "recall"), points[at], strict=True)) for at in places]


def new_card(card: StoredCard, aim: Aim, chosen: Scores, version: int) -> ModelCard:
    """The same model with other thresholds. What was measured with the old ones is left out."""
    wanted = f"beta {aim.beta:g}" if aim.min_precision is None else f"precision {aim.min_precision:g}"
    content = card.model_dump(exclude={"weights_sha256"}) | {
        "version": version,
        "thresholds": tuple(map(float, chosen)),
        "metrics": {name: value for name, value in card.metrics.items() if not name.startswith("f1_")},
        "provenance": {
            **card.provenance,
            "thresholds_of": f"{card.name}@{card.version}",
            "thresholds_for": wanted,
        },
    }
    return ModelCard.model_validate(content)


def _relabel(lease: Lease, source: Model, model: Model) -> None:
    """Label what has been analysed by the new thresholds at once: the scores are the same.

    After `TARGET_S` the unit is released; its next run goes on behind the last page that was written.
    """
    began = time.monotonic()
    after: bytes | None = bytes.fromhex(lease.claim.payload.get("after", ""))
    while after is not None:
        lease.check()
        page = partial(_relabel_page, claim=lease.claim, source=source, model=model, after=after)
        after = lease.write(page)
        if after is not None and time.monotonic() - began >= TARGET_S:
            lease.release()


def _relabel_page(session: Session, claim: Claim, source: Model, model: Model, after: bytes) -> bytes | None:
    """Label one page of results; where the next one starts, None behind the last."""
    following = copy_predictions(session, source, model, after)
    if following is not None:
        save_progress(session, claim, after=following.hex())
    return following


def _store_training_tracks(lease: Lease, model: Model) -> None:
    """The version with other thresholds was trained on the same audio."""
    try:
        records = read_track_records(artifact_folder(model))
    except UnreadableRecords as error:
        log.warning("it is not known what %s@%s was trained on: %s", model.name, model.version, error)
        return
    if records is not None:
        store_training_tracks(lease, model, records)


def _records(folder: Path) -> dict[str, bytes]:
    """What says which tracks the model was trained and measured on; older models have only the first."""
    names = (name for name in (VALIDATION_FILE, TRACKS_FILE) if (folder / name).is_file())
    return {name: (folder / name).read_bytes() for name in names}
