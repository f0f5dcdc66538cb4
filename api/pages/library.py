"""The library: all tracks as a table, filtered by the address, and what is done to all that it finds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session

from api import schemas, views
from api.deps import WRITE, Caller, ContextDep, Cursor, Reader, SessionDep, SessionsDep, Writer
from api.errors import status_of
from api.pages.addresses import redirect
from api.pages.forms import Once
from api.pages.library_choice import Choice, ChoiceDep, FormDep, orders
from api.pages.library_facets import Group, group_facets
from api.pages.rendering import render
from api.schemas.queries import QueryName
from api.titles import title_and_artist
from core.config.params import AnalysisParams
from core.config.track_query import read_query, write_query
from core.errors import ChangeNotFound, Invalid, ModelNotFound, NotFound
from core.jobs.submission import submit_job
from core.label_scores import LabelScores
from core.services.corrections import Bulk, correct_matching
from core.services.track_queries import split_words
from core.spelling import name_key
from core.states import TrackOrder, Verdict
from core.store import saved_queries
from core.store.correction_changes import ChangeRow, find_change, undo_change
from core.store.facets import Facets, count_facets
from core.store.label_sets import read_vocabulary
from core.store.libraries import list_library_names
from core.store.registry import DEFAULT_ALIAS, resolve_model
from core.store.session import transaction
from core.store.tables import Model
from core.store.track_pages import list_tracks

router = APIRouter(prefix="/library", include_in_schema=False)

ON_A_PAGE = 50
SHOWN_LABELS = 4
SHOWN_SCORES = 3  # columns
NO_MODEL = "There is no model yet that labels tracks: promote one on the page of models."
ORDERS = {
    TrackOrder.PATH: "by path",
    TrackOrder.DATE: "the last changed file first",
    TrackOrder.DURATION: "the longest first",
}


@dataclass(frozen=True)
class Chip:
    """Something that narrows the choice; its address is the page without it."""

    text: str
    address: str


@dataclass(frozen=True)
class LabelRow:
    """A label of the choice in the form, and the address where other scores of it are meant."""

    label: str
    has: str
    low: str
    high: str
    without: str  # the address
    other_text: str = ""
    other: str = ""


@dataclass(frozen=True)
class Row:
    track: schemas.Track
    title: str
    artist: str
    labels: Sequence[schemas.Label]  # the first ones
    more_labels: int
    scores: Sequence[float | None]  # of the labels that are asked for


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
    form: FormDep,
    cursor: Cursor = None,
    change: Annotated[UUID | None, Query()] = None,
) -> Response:
    if form is not None:
        return redirect(request, f"library?{form.query()}")
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


@router.post("/relabel")
def relabel_all(
    request: Request,
    caller: Writer,
    sessions: SessionsDep,
    context: ContextDep,
    choice: ChoiceDep,
    library: Annotated[str, Form(max_length=200)] = "",
    force: Annotated[bool, Form()] = False,
    once: Once = "",
) -> Response:
    """A job for all tracks of the choice in one library."""
    try:
        query = choice.query(library=None, sort=None)
        params = AnalysisParams(library=choice.library or library, query=query, force=force)
        with transaction(sessions) as session:
            submission = submit_job(session, params, replace(context, idempotency_key=once or None))
            return redirect(request, f"jobs/{submission.job.id}")
    except ValidationError:
        error = "Name the library whose tracks are labelled again."
    except (Invalid, NotFound) as wrong:
        error = wrong.detail
    with transaction(sessions) as session:
        return _show(request, caller, session, choice, relabel_error=error, status=422)


@router.post("/queries", dependencies=[WRITE])
def save_query(
    request: Request,
    session: SessionDep,
    choice: ChoiceDep,
    name: Annotated[QueryName, Form()],
) -> Response:
    saved_queries.save_query(session, name, write_query(read_query(choice.query())))
    return redirect(request, f"library?{choice.query()}")


@router.post("/queries/delete", dependencies=[WRITE])
def delete_query(
    request: Request, session: SessionDep, choice: ChoiceDep, name: Annotated[str, Form()]
) -> Response:
    saved_queries.delete_query(session, name)
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
    relabel_error: str = "",
    status: int = 200,
) -> HTMLResponse:
    rows: list[Row] = []
    libraries = list_library_names(session)
    labels: Sequence[str] = ()
    facets: Facets | None = None
    groups: Sequence[Group] = ()
    error, next_cursor = "", None
    try:
        model = resolve_model(session, choice.model)
        labels = _known_labels(session, model)
        page = list_tracks(session, model, choice.wanted, order=choice.order, cursor=cursor, limit=ON_A_PAGE)
        asked = [each.label for each in choice.labels[:SHOWN_SCORES]]
        tracks = [views.track(model, row, all_scores=False, scores_of=asked) for row in page.items]
        rows = [_row(track, asked) for track in tracks]
        next_cursor = page.next_cursor
        facets = count_facets(session, model, choice.wanted)
        groups = group_facets(choice, facets, model.labels)
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
        label_rows=_label_rows(choice),
        orders=[("", "best match"), *orders(choice.labels)],
        order=_order(choice),
        sorted_by=_sorted_by(choice),
        rows=rows,
        facets=facets,
        groups=groups,
        ranks=any(value.ranks for group in groups for value in (*group.values, *group.more)),
        scored=[each.label for each in choice.labels[:SHOWN_SCORES]],
        meant=_meant_labels(choice, labels),
        error=error,
        labels=labels,
        libraries=[("", "all"), *((name, name) for name in libraries)],
        relabelled=[choice.library] if choice.library else libraries,
        queries=saved_queries.list_queries(session),
        next_address=f"?{choice.query(cursor=next_cursor)}" if next_cursor else None,
        is_first=cursor is None,
        plan=plan or Plan(),
        relabel_error=relabel_error,
        once=str(uuid4()),
        done=done,
        query=choice.query(),
        export_query=choice.query(sort=choice.order),
        ranked_address=_ranked_address(choice),
    )


def _known_labels(session: Session, model: Model) -> Sequence[str]:
    """What can be asked for: those of the model and of the label sets."""
    known = {name_key(label): label for label in read_vocabulary(session).labels}
    return sorted((known | {name_key(label): label for label in model.labels}).values(), key=str.casefold)


def _row(track: schemas.Track, asked: Sequence[str]) -> Row:
    title, artist = title_and_artist(track.path, track.tags)
    scores: dict[str, float | None] = dict((track.prediction and track.prediction.scores) or {})
    scores |= {given.label: given.score for given in track.labels}
    by_key = {name_key(label): score for label, score in scores.items()}
    return Row(
        track,
        title,
        artist,
        track.labels[:SHOWN_LABELS],
        max(0, len(track.labels) - SHOWN_LABELS),
        [by_key.get(name_key(label)) for label in asked],
    )


def _chips(choice: Choice) -> list[Chip]:
    """Of all but the labels, which are rows of the form."""

    def chip(shown: str, /, **without: Any) -> Chip:
        return Chip(shown, f"?{choice.query(**without)}")

    chips: list[Chip] = []
    if choice.text:
        chips.append(chip(f"“{choice.text}”", text=None))
    if choice.q:
        chips.append(chip(f"“{choice.q}” in the path", q=None))
    if choice.library:
        chips.append(chip(f"in {choice.library}", library=None))
    if choice.suffix:
        chips.append(chip(choice.suffix, suffix=None))
    if choice.year is not None:
        chips.append(chip(f"of {choice.year}", year=None))
    if choice.corrected is not None:
        chips.append(chip("corrected" if choice.corrected else "not corrected", corrected=None))
    flags = {
        "missing": "file is missing",
        "unsure": "somebody was unsure",
        "unreadable_tags": "unreadable tags",
    }
    return chips + [chip(text, **{name: False}) for name, text in flags.items() if getattr(choice, name)]


def _label_rows(choice: Choice) -> list[LabelRow]:
    rows = [_with_row(choice, each) for each in choice.labels]
    for each in choice.not_labels:
        kept = tuple(other for other in choice.not_labels if other != each)
        low, high = _bounds(each)
        rows.append(LabelRow(each.label, "without", low, high, f"?{choice.query(not_labels=kept)}"))
    return rows


def _with_row(choice: Choice, each: LabelScores) -> LabelRow:
    low, high = _bounds(each)
    place = choice.labels.index(each)
    kept = (*choice.labels[:place], *choice.labels[place + 1 :])
    if each.least is None:
        other_text, other = "with any score", LabelScores(each.label, 0.0)
    else:
        other_text, other = "only where it reaches its threshold", LabelScores(each.label)
    others = (*choice.labels[:place], other, *choice.labels[place + 1 :])
    return LabelRow(
        each.label,
        "with",
        low,
        high,
        f"?{choice.query(labels=kept)}",
        other_text,
        f"?{choice.query(labels=others)}",
    )


def _bounds(each: LabelScores) -> tuple[str, str]:
    """As the form shows them; blank where there is none."""
    low = "" if each.least is None else f"{each.least:g}"
    return low, "" if each.most >= 1 else f"{each.most:g}"


def _order(choice: Choice) -> str:
    """The value of the form's field."""
    if choice.sort is None or not choice.labels:
        return "" if choice.sort in (None, TrackOrder.SCORE) else str(choice.sort)
    return "score.0" if choice.sort is TrackOrder.SCORE else str(choice.sort)


def _sorted_by(choice: Choice) -> str:
    if choice.order is TrackOrder.SCORE:
        return f"the highest score of {choice.labels[0].label} first"
    return ORDERS[choice.order or TrackOrder.PATH]


def _ranked_address(choice: Choice) -> str | None:
    """Where all tracks are ranked by the score of the first label; None if it has scores already."""
    if not choice.labels or choice.labels[0].least is not None:
        return None
    ranked = tuple(LabelScores(each.label, 0.0) if each.least is None else each for each in choice.labels)
    return f"?{choice.query(labels=ranked)}"


def _meant_labels(choice: Choice, known: Iterable[str]) -> Chip | None:
    """The labels that the words of the search name, too, and where tracks are ranked by them."""
    if choice.text is None:
        return None
    try:
        said = f" {' '.join(split_words(choice.text))} "
        named = [label for label in known if f" {' '.join(split_words(label))} " in said]
    except Invalid:
        return None
    chosen = {name_key(each.label) for each in choice.labels}
    named = [label for label in named if name_key(label) not in chosen]
    if not named:
        return None
    named.sort(key=lambda label: said.index(f" {' '.join(split_words(label))} "))
    labels = (*choice.labels, LabelScores(named[0], 0.0), *map(LabelScores, named[1:]))
    return Chip(" and ".join(named), f"?{choice.query(text=None, labels=labels)}")


def _find_change(session: Session, change: UUID | None) -> ChangeRow | None:
    """What a correction of before has written; None if there is no such change any more."""
    if change is None:
        return None
    try:
        return find_change(session, change)
    except ChangeNotFound:
        return None
