"""The library: all tracks as a table, filtered by the address, and what is done to all that it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BeforeValidator, Field
from sqlalchemy.orm import Session

from api import schemas, views
from api.deps import Caller, Cursor, ModelName, Reader, SessionDep, SessionsDep, Writer
from api.errors import status_of
from api.pages.addresses import redirect
from api.pages.forms import Blank
from api.pages.rendering import render
from api.titles import title_and_artist
from api.track_filters import MOST_GENRES, NO_LABELS, LabelName
from core.errors import ChangeNotFound, Invalid, ModelNotFound, NotFound
from core.services.corrections import Bulk, correct_matching
from core.spelling import name_key
from core.states import TrackOrder, Verdict
from core.store.correction_changes import ChangeRow, find_change, undo_change
from core.store.label_sets import read_vocabulary
from core.store.libraries import list_library_names
from core.store.registry import DEFAULT_ALIAS, resolve_model
from core.store.session import transaction
from core.store.tables import Model
from core.store.track_filters import TrackFilter
from core.store.track_pages import list_tracks

router = APIRouter(prefix="/library", include_in_schema=False)

ON_A_PAGE = 50
SHOWN_LABELS = 4
NO_MODEL = "There is no model yet that labels tracks: promote one on the page of models."
NamedOnes = BeforeValidator(lambda values: [value for value in values if value])
Score = Annotated[Annotated[float, Field(ge=0, le=1)] | None, Blank, Query()]
Text = Annotated[Annotated[str, Field(max_length=200)] | None, Blank, Query()]


@dataclass(frozen=True)
class Choice:
    """What the address of the page says: which tracks, and in which order."""

    genres: tuple[str, ...]
    not_genres: tuple[str, ...]
    min_score: float | None
    max_score: float | None
    library: str | None
    q: str | None
    missing: bool
    corrected: bool
    unreadable_tags: bool
    sort: TrackOrder | None
    model: str

    @property
    def wanted(self) -> TrackFilter:
        return TrackFilter(
            genre=self.genres[0] if self.genres else None,
            genres_too=self.genres[1:],
            not_genres=self.not_genres,
            min_score=self.min_score,
            max_score=1.0 if self.max_score is None else self.max_score,
            library=self.library,
            q=self.q,
            missing=self.missing,
            corrected=self.corrected or None,
            unreadable_tags=self.unreadable_tags,
        )

    @property
    def is_narrow(self) -> bool:
        """Whether it uses what the form keeps closed."""
        return any((self.min_score, self.max_score, self.missing, self.corrected, self.unreadable_tags))

    @property
    def order(self) -> TrackOrder | None:
        """By path if nothing else is asked for; the order by score needs a label."""
        if self.sort is TrackOrder.SCORE and not self.genres:
            return TrackOrder.PATH
        return self.sort or (None if self.genres else TrackOrder.PATH)

    def query(self, **changes: object) -> str:
        """The query that means this choice with changes, for the page and for REST."""
        values: dict[str, object] = {
            "genre": self.genres,
            "not_genre": self.not_genres,
            "min_score": self.min_score,
            "max_score": self.max_score,
            "library": self.library,
            "q": self.q,
            "missing": "true" if self.missing else None,
            "corrected": "true" if self.corrected else None,
            "unreadable_tags": "true" if self.unreadable_tags else None,
            "sort": self.sort,
            "model": None if self.model == "default" else self.model,
        }
        given = {name: value for name, value in (values | changes).items() if value is not None}
        return urlencode(given, doseq=True)


async def get_choice(
    genre: Annotated[list[LabelName], NamedOnes, Query(max_length=MOST_GENRES)] = NO_LABELS,
    not_genre: Annotated[list[LabelName], NamedOnes, Query(max_length=MOST_GENRES)] = NO_LABELS,
    min_score: Score = None,
    max_score: Score = None,
    library: Text = None,
    q: Text = None,
    missing: bool = False,
    corrected: bool = False,
    unreadable_tags: bool = False,
    sort: Annotated[TrackOrder | None, Blank, Query()] = None,
    model: ModelName = "default",
) -> Choice:
    return Choice(
        genres=tuple(dict.fromkeys(genre)),
        not_genres=tuple(dict.fromkeys(not_genre)),
        min_score=min_score,
        max_score=max_score,
        library=library,
        q=q,
        missing=missing,
        corrected=corrected,
        unreadable_tags=unreadable_tags,
        sort=sort,
        model=model,
    )


ChoiceDep = Annotated[Choice, Depends(get_choice)]


@dataclass(frozen=True)
class Chip:
    """Something that narrows the choice; its address is the page without it."""

    text: str
    address: str


@dataclass(frozen=True)
class Row:
    track: schemas.Track
    title: str
    artist: str
    labels: Sequence[schemas.Label]  # the first ones
    more_labels: int
    score: float | None  # of the first label that is asked for


@dataclass(frozen=True)
class Plan:
    """A correction of all tracks of the choice: what it would do, or why it cannot be done."""

    label: str = ""
    verdict: Verdict = Verdict.YES
    found: Bulk | None = None
    error: str = ""


@router.get("")
def show_library(
    request: Request,
    caller: Reader,
    session: SessionDep,
    choice: ChoiceDep,
    cursor: Cursor = None,
    change: Annotated[UUID | None, Query()] = None,
) -> HTMLResponse:
    done = _find_change(session, change)
    return _show(request, caller, session, choice, cursor=cursor, done=done)


@router.post("/correct")
def correct_all(
    request: Request,
    caller: Writer,
    sessions: SessionsDep,
    choice: ChoiceDep,
    label: Annotated[str, Form(max_length=200)],
    verdict: Annotated[Verdict, Form()],
    confirmed: Annotated[bool, Form()] = False,
) -> Response:
    """First says what would be done; a second form, which that answer holds, does it."""
    plan = Plan(label, verdict)
    try:
        with transaction(sessions) as session:
            found = correct_matching(
                session,
                resolve_model(session, choice.model),
                choice.wanted,
                {label: verdict},
                author=caller.owner,
                note=None,
                allow_new=False,
                dry_run=not confirmed,
            )
        change = found.written.change_id
        if change is not None:
            return redirect(request, f"library?{choice.query(change=change)}")
        plan = Plan(label, verdict, found)
    except (Invalid, NotFound) as error:
        plan = Plan(label, verdict, error=error.detail)
    with transaction(sessions) as session:
        return _show(request, caller, session, choice, plan=plan, status=422 if plan.error else 200)


@router.post("/undo")
def undo(
    request: Request,
    caller: Writer,
    session: SessionDep,
    choice: ChoiceDep,
    change: Annotated[UUID, Form()],
) -> Response:
    undo_change(session, change, caller.owner)
    return redirect(request, f"library?{choice.query()}")


def _show(
    request: Request,
    caller: Caller,
    session: Session,
    choice: Choice,
    *,
    cursor: str | None = None,
    plan: Plan | None = None,
    done: ChangeRow | None = None,
    status: int = 200,
) -> HTMLResponse:
    rows: list[Row] = []
    labels: Sequence[str] = ()
    error, next_cursor = "", None
    try:
        model = resolve_model(session, choice.model)
        labels = _known_labels(session, model)
        page = list_tracks(session, model, choice.wanted, order=choice.order, cursor=cursor, limit=ON_A_PAGE)
        shown = () if choice.min_score is None else choice.genres
        tracks = [views.track(model, row, all_scores=False, scores_of=shown) for row in page.items]
        rows = [_row(track, choice) for track in tracks]
        next_cursor = page.next_cursor
    except ModelNotFound as wrong:
        is_named = choice.model != DEFAULT_ALIAS
        error, status = (wrong.detail, status_of(wrong)) if is_named else (NO_MODEL, status)
    except (Invalid, NotFound) as wrong:
        error, status = wrong.detail, status_of(wrong)
    return render(
        request,
        "library.html",
        caller,
        status,
        choice=choice,
        chips=_chips(choice),
        rows=rows,
        error=error,
        labels=labels,
        libraries=[("", "all"), *((name, name) for name in list_library_names(session))],
        next_address=f"?{choice.query(cursor=next_cursor)}" if next_cursor else None,
        is_first=cursor is None,
        plan=plan or Plan(),
        done=done,
        query=choice.query(),
        export_query=choice.query(sort=choice.order),
        ranked_address=f"?{choice.query(min_score=0.0)}" if choice.genres and not choice.min_score else None,
    )


def _known_labels(session: Session, model: Model) -> Sequence[str]:
    """What can be asked for: those of the model and of the label sets."""
    known = {name_key(label): label for label in read_vocabulary(session).labels}
    return sorted((known | {name_key(label): label for label in model.labels}).values(), key=str.casefold)


def _row(track: schemas.Track, choice: Choice) -> Row:
    title, artist = title_and_artist(track.path, track.tags)
    first = name_key(choice.genres[0]) if choice.genres else None
    scores: dict[str, float | None] = dict((track.prediction and track.prediction.scores) or {})
    scores |= {given.label: given.score for given in track.labels}
    score = next((score for label, score in scores.items() if name_key(label) == first), None)
    return Row(
        track,
        title,
        artist,
        track.labels[:SHOWN_LABELS],
        max(0, len(track.labels) - SHOWN_LABELS),
        score,
    )


def _chips(choice: Choice) -> list[Chip]:
    def chip(text: str, **without: Any) -> Chip:
        return Chip(text, f"?{choice.query(**without)}")

    chips = [chip(name, genre=[one for one in choice.genres if one != name]) for name in choice.genres]
    chips += [
        chip(f"not {name}", not_genre=[one for one in choice.not_genres if one != name])
        for name in choice.not_genres
    ]
    if choice.q:
        chips.append(chip(f"“{choice.q}” in the path", q=None))
    if choice.min_score is not None:
        chips.append(chip(f"score from {choice.min_score:g}", min_score=None))
    if choice.max_score is not None:
        chips.append(chip(f"score to {choice.max_score:g}", max_score=None))
    if choice.library:
        chips.append(chip(f"in {choice.library}", library=None))
    flags = ("missing", "corrected", "unreadable_tags")
    chips += [chip(name.replace("_", " "), **{name: None}) for name in flags if getattr(choice, name)]
    return chips


def _find_change(session: Session, change: UUID | None) -> ChangeRow | None:
    """What a correction of before has written; None if there is no such change any more."""
    if change is None:
        return None
    try:
        return find_change(session, change)
    except ChangeNotFound:
        return None
