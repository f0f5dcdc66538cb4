"""One track: to hear, what models and people say of it, what sounds like it, and to correct its labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.orm import Session

from api import schemas, views
from api.deps import Caller, ModelName, Reader, SessionDep, SessionsDep, Writer
from api.errors import status_of
from api.pages.addresses import redirect
from api.pages.forms import Blank
from api.pages.rendering import render
from api.titles import title_and_artist
from core.errors import Invalid, TrackNotAnalysed, UnknownLabel
from core.jobs.items import find_failure
from core.library.names import suffix_of
from core.scopes import Scope
from core.services.corrections import correct_track
from core.spelling import name_key
from core.states import Verdict
from core.store import tables
from core.store.correction_changes import Entry, TrackHistory, get_history, undo_change
from core.store.covers import has_cover
from core.store.label_sets import read_vocabulary
from core.store.predictions import given_labels, list_predictions
from core.store.registry import resolve_model
from core.store.session import transaction
from core.store.similarity import nearest_recordings
from core.store.tracks import get_track, get_tracks

router = APIRouter(prefix="/tracks", include_in_schema=False)

SIMILAR = 8
SHOWN_SCORES = 10  # at least; the rest is folded
SHOWN_LABELS = 4
SHOWN_CORRECTIONS = 20
TAG_ORDER = ("title", "artist", "album", "albumartist", "date", "genre", "tracknumber")


@dataclass(frozen=True)
class Score:
    """What a model and people say of one label."""

    label: str
    verdict: Verdict | None
    score: float | None = None  # None: the model does not know the label
    threshold: float | None = None
    is_given: bool = False  # by the model


@dataclass(frozen=True)
class Correction:
    """What somebody has said of a label."""

    entry: Entry
    stands: bool  # nobody has said something else of it since


@dataclass(frozen=True)
class Near:
    """A track that sounds alike."""

    track: schemas.Track
    title: str
    artist: str
    similarity: float
    labels: Sequence[schemas.Label]


@router.get("/{track_id}")
def show_track(
    request: Request, caller: Reader, session: SessionDep, track_id: UUID, model: ModelName = "default"
) -> HTMLResponse:
    return _show(request, caller, session, track_id, model)


@router.post("/{track_id}/labels")
def correct_label(
    request: Request,
    caller: Writer,
    sessions: SessionsDep,
    track_id: UUID,
    label: Annotated[str, Form(max_length=200)],
    verdict: Annotated[Verdict | None, Blank, Form()] = None,
    allow_new: Annotated[bool, Form()] = False,
    model: ModelName = "default",
) -> Response:
    """A blank verdict withdraws what was said before."""
    try:
        with transaction(sessions) as session:
            correct_track(
                session, track_id, {label: verdict}, author=caller.owner, note=None, allow_new=allow_new
            )
    except Invalid as wrong:
        with transaction(sessions) as session:
            return _show(request, caller, session, track_id, model, wrong, label)
    return redirect(request, f"tracks/{track_id}{_of_model(model)}#labels")


@router.post("/{track_id}/undo")
def undo(
    request: Request,
    caller: Writer,
    session: SessionDep,
    track_id: UUID,
    change: Annotated[UUID, Form()],
    model: ModelName = "default",
) -> Response:
    undo_change(session, change, caller.owner)
    return redirect(request, f"tracks/{track_id}{_of_model(model)}#labels")


def _of_model(model: str) -> str:
    return "" if model == "default" else f"?{urlencode({'model': model})}"


def _show(
    request: Request,
    caller: Caller,
    session: Session,
    track_id: UUID,
    reference: str,
    wrong: Invalid | None = None,
    label: str = "",
) -> HTMLResponse:
    model = resolve_model(session, reference)
    row = get_track(session, track_id, model)
    track = views.track(model, row, all_scores=True, failure=find_failure(session, track_id))
    title, artist = title_and_artist(track.path, track.tags)
    digest = row.track.content_hash
    history = get_history(session, digest) if digest else TrackHistory([], [], 0)
    stored = list_predictions(session, digest) if digest else []
    scores = _scores(model, track)
    shown = max(SHOWN_SCORES, sum(each.is_given or each.verdict is not None for each in scores))
    return render(
        request,
        "track.html",
        caller,
        status_of(wrong) if wrong else 200,
        track=track,
        title=title,
        artist=artist,
        suffix=suffix_of(track.path).lstrip(".").upper(),
        tags=_tags(track.tags or {}),
        is_analysed=digest is not None,
        may_have_cover=_may_have_cover(session, row.track),
        may_correct=digest is not None and caller.may(Scope.WRITE),
        model=model.reference,
        of_model=_of_model(reference),
        scores=scores[:shown],
        further_scores=scores[shown:],
        predictions=[views.stored_prediction(each, said) for each, said in stored],
        corrections=_corrections(history),
        corrections_left_out=max(0, history.entries - SHOWN_CORRECTIONS),
        similar=_similar(session, track_id, model),
        labels=sorted(read_vocabulary(session).labels, key=str.casefold),
        error=wrong.detail if wrong else "",
        is_unknown=isinstance(wrong, UnknownLabel),
        label=label,
    )


def _may_have_cover(session: Session, track: tables.Track) -> bool:
    """Also if nobody has looked yet: the picture is read when the page asks for it."""
    known = has_cover(session, track.file_hash)
    return bool(known) or (known is None and track.file_hash is not None and track.missing_at is None)


def _scores(model: tables.Model, track: schemas.Track) -> list[Score]:
    """Of every label of the model, the highest first, after the labels that only people know."""
    said = track.prediction
    known = {name_key(label) for label in model.labels} if said else set()
    verdicts = {name_key(label): verdict for label, verdict in track.corrections.items()}
    own = [
        Score(label, verdict) for label, verdict in track.corrections.items() if name_key(label) not in known
    ]
    if said is None or said.scores is None:
        return own
    given = {each.label for each in given_labels(model, list(said.scores.values()))}
    thresholds = dict(zip(model.labels, model.thresholds, strict=True))
    ranked = sorted(said.scores.items(), key=lambda each: -each[1])
    return own + [
        Score(label, verdicts.get(name_key(label)), score, thresholds[label], label in given)
        for label, score in ranked
    ]


def _tags(tags: Mapping[str, object]) -> list[tuple[str, str]]:
    """Names and texts; what most people look for comes first."""
    order = {name: place for place, name in enumerate(TAG_ORDER)}
    names = sorted(tags, key=lambda name: (order.get(name, len(order)), name))
    return [(name, "; ".join(map(str, _several(tags[name])))) for name in names]


def _several(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [value]


def _corrections(history: TrackHistory) -> list[Correction]:
    """The newest first."""
    last = {(name_key(entry.label), entry.change.id) for entry in history.current}
    return [
        Correction(entry, (name_key(entry.label), entry.change.id) in last)
        for entry in history.history[:SHOWN_CORRECTIONS]
    ]


def _similar(session: Session, track_id: UUID, model: tables.Model) -> list[Near] | None:
    """None if there is nothing to compare the track by."""
    try:
        nearest = nearest_recordings(session, track_id, model, SIMILAR)
    except TrackNotAnalysed:
        return None
    rows = get_tracks(session, [near.track_id for near in nearest], model)
    return [
        _near(views.track(model, rows[near.track_id], all_scores=False), near.similarity)
        for near in nearest
        if near.track_id in rows
    ]


def _near(track: schemas.Track, similarity: float) -> Near:
    title, artist = title_and_artist(track.path, track.tags)
    return Near(track, title, artist, similarity, track.labels[:SHOWN_LABELS])
