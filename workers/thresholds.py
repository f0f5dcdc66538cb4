"""Body of a `thresholds` unit: tunes a model's thresholds on its validation tracks, as a new version."""

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import Session

from core.config.params import ThresholdParams
from core.jobs.claims import Claim
from core.jobs.counters import count_unit_itself, save_progress
from core.ml.evaluation.thresholds import (
    choose_thresholds,
    cross_fitted,
    precision_recall_front,
    thresholds_for_precision,
)
from core.ml.inference.tagger import postprocess_scores
from core.ml.models import artifact
from core.ml.models.artifact import ModelCard, StoredCard
from core.ml.training.json_values import finite_or_null
from core.ml.training.records import VALIDATION_FILE, ValidationScores, read_validation
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
    _store_training_tracks(lease, model)
    _relabel(lease, source, model)
    lease.write(lambda session: count_unit_itself(session, lease.claim))


def _load(session: Session, claim: Claim) -> tuple[Model, Model | None]:
    """The model to tune, and the version with new thresholds, if a former run has registered it."""
    result = session.get_one(Job, claim.job_id).result
    made = resolve_model(session, result["model"]) if result else None
    return session.get_one(Model, claim.model_id), made


def _make_version(lease: Lease, source: Model) -> Model:
    """Choose the thresholds and register the version that has them."""
    params = ThresholdParams.model_validate(lease.claim.params)
    stored = artifact.load(artifact_folder(source))
    assert isinstance(stored.card, StoredCard)
    held_out = read_validation(artifact_folder(source))
    scores = postprocess_scores(stored.card, held_out.scores).astype(np.float64)
    chosen = choose(params, held_out, scores, np.arange(len(scores)))
    folds = held_out.folds(FOLDS)
    decided = cross_fitted(held_out.targets, scores, folds, partial(choose, params, held_out, scores))
    labels = describe(stored.card, held_out, scores, chosen, decided)
    result: dict[str, Any] = {
        "labels": [finite_or_null(label) for label in labels],
        "unreached": unreached(params, labels),
        "cross_fitted": len(set(folds)) > 1,
    }
    lease.record_step()
    version = lease.write(partial(_reserve_version, claim=lease.claim, name=source.name))
    card = new_card(stored.card, params, chosen, version)
    settings = get_settings()
    # Under the job's name, so that the dispatcher removes what a kill leaves of it.
    staging = settings.training_dir / str(lease.claim.job_id)
    try:
        artifact.save(card, stored.model, staging / "model", _records(artifact_folder(source)))
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
    session.get_one(Job, claim.job_id).result = {"model": model.reference, **result}
    session.flush()
    return model


def choose(
    params: ThresholdParams, held_out: ValidationScores, scores: Scores, rows: npt.NDArray[np.intp]
) -> Scores:
    """A threshold per label (L,), chosen on these tracks."""
    targets, known = held_out.targets[rows], held_out.known[rows]
    if params.min_precision is not None:
        return thresholds_for_precision(targets, scores[rows], params.min_precision, known)
    return choose_thresholds(targets, scores[rows], known, beta=params.beta or 1.0)


def unreached(params: ThresholdParams, labels: Sequence[Mapping[str, Any]]) -> list[str]:
    """Labels without the precision that was asked for; also those that no validation track has."""
    if params.min_precision is None:
        return []
    return [each["label"] for each in labels if not each["precision"] >= params.min_precision]


def describe(
    card: ModelCard,
    held_out: ValidationScores,
    scores: Scores,
    chosen: Scores,
    given: npt.NDArray[np.bool_],
) -> list[dict[str, Any]]:
    """Per label the new threshold, and what thresholds chosen in this way give on other tracks.

    `given` (N, L) are decisions on tracks by thresholds chosen without them, if there are several folds. The
    `front` is of the tracks that the threshold is chosen on.
    """
    truth = held_out.targets.astype(bool)
    hits = (given & truth).sum(0)
    with np.errstate(invalid="ignore"):
        precision, recall = hits / given.sum(0), hits / truth.sum(0)
    return [
        {
            "label": label,
            "threshold": float(chosen[at]),
            "before": card.thresholds[at],
            "support": int(truth[:, at].sum()),
            "precision": float(precision[at]),
            "recall": float(recall[at]),
            "front": _front(truth[:, at], scores[:, at]),
        }
        for at, label in enumerate(card.labels)
    ]


def _front(truth: npt.NDArray[np.bool_], scores: Scores) -> list[dict[str, float]]:
    """Precision against recall of one label, at most `MOST_POINTS` of the decisions that are worth it."""
    points = precision_recall_front(truth, scores)
    places = np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(int))
    return [dict(zip(("threshold", "precision", "recall"), points[at], strict=True)) for at in places]


def new_card(card: StoredCard, params: ThresholdParams, chosen: Scores, version: int) -> ModelCard:
    """The same model with other thresholds. What was measured with the old ones is left out."""
    aim = (
        f"beta {params.beta or 1:g}"
        if params.min_precision is None
        else f"precision {params.min_precision:g}"
    )
    content = card.model_dump(exclude={"weights_sha256"}) | {
        "version": version,
        "thresholds": tuple(map(float, chosen)),
        "metrics": {name: value for name, value in card.metrics.items() if not name.startswith("f1_")},
        "provenance": {
            **card.provenance,
            "thresholds_of": f"{card.name}@{card.version}",
            "thresholds_for": aim,
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
