"""Tracks, what is said of them, and libraries."""

from collections.abc import Sequence
from datetime import UTC, datetime

from api import schemas
from api.views.errors import job_error
from api.views.models import SCORE_DIGITS
from core.jobs.items import ItemRow
from core.library.media_types import is_playable
from core.services.results import ResultRow
from core.spelling import name_key
from core.store import tables
from core.store.corrections import Corrections
from core.store.predictions import Label, given_labels, true_labels
from core.store.similarity import SimilarTrack
from core.store.tracks import TrackRow


def prediction(
    model: tables.Model,
    scores: Sequence[float],
    duration_s: float,
    warnings: Sequence[str],
    corrections: Corrections,
    *,
    all_scores: bool,
) -> schemas.Prediction:
    rounded = [round(score, SCORE_DIGITS) for score in scores]
    given = given_labels(model, scores)  # of the scores themselves: rounded ones may be equal
    return schemas.Prediction(
        labels=labels(true_labels(model, given, corrections)),
        duration_s=round(duration_s, 3),
        model=model.reference,
        warnings=list(warnings),
        scores=dict(zip(model.labels, rounded, strict=True)) if all_scores else None,
    )


def labels(given: Sequence[Label]) -> list[schemas.Label]:
    return [
        schemas.Label(label=each.label, score=round(each.score, SCORE_DIGITS), source=each.source)
        for each in given
    ]


def result(
    model: tables.Model, row: ResultRow, *, all_scores: bool, near: Sequence[SimilarTrack] | None = None
) -> schemas.Result:
    said = prediction(model, row.scores, row.duration_s, row.warnings, row.corrections, all_scores=all_scores)
    similar = None if near is None else [schemas.SimilarTrack.model_validate(each) for each in near]
    return schemas.Result(
        track_id=row.track_id,
        path=row.path,
        corrections=dict(row.corrections),
        similar=similar,
        **dict(said),
    )


def track(
    model: tables.Model,
    row: TrackRow,
    *,
    all_scores: bool,
    scores_of: Sequence[str] = (),
    failure: ItemRow | None = None,
) -> schemas.Track:
    """`scores_of`: labels in any spelling whose scores are shown, if not those of all are."""
    found, corrected = row.prediction, row.corrections
    said = given_labels(model, found.scores) if found else []
    shown = None
    if found:
        with_scores = all_scores or bool(scores_of)
        shown = prediction(
            model, found.scores, found.duration_s, found.warnings, corrected, all_scores=with_scores
        )
        if not all_scores and shown.scores is not None:
            keys = set(map(name_key, scores_of))
            scores = {label: score for label, score in shown.scores.items() if name_key(label) in keys}
            shown = shown.model_copy(update={"scores": scores})
    return schemas.Track(
        id=row.track.id,
        library=row.library,
        path=row.track.path,
        size=row.track.size,
        tags=row.track.tags,
        tags_error=row.track.tags_error,
        playable=is_playable(row.track.path),
        modified_at=_as_date(row.track.mtime_ns),
        missing=row.track.missing_at is not None,
        failure=job_error(failure.error_code, failure.error_detail) if failure else None,
        labels=labels(true_labels(model, said, corrected)),
        corrections=dict(corrected),
        prediction=shown,
    )


def _as_date(mtime_ns: int) -> datetime | None:
    """None for a time that no calendar has: file systems store what they are told."""
    try:
        return datetime.fromtimestamp(mtime_ns // 1_000_000_000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def stored_prediction(model: tables.Model, row: tables.Prediction) -> schemas.StoredPrediction:
    said = prediction(model, row.scores, row.duration_s, row.warnings, {}, all_scores=True)
    return schemas.StoredPrediction(**dict(said), created_at=row.created_at, coverage=row.coverage)


def library(row: tables.Library, tracks: int) -> schemas.Library:
    return schemas.Library(id=row.id, name=row.name, path=row.path, created_at=row.created_at, tracks=tracks)
