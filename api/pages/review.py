"""Review: the tracks of which an answer teaches most, one at a time."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from api import views
from api.deps import Caller, SessionDep, SessionsDep, Writer
from api.errors import status_of
from api.pages.addresses import redirect
from api.pages.forms import Blank
from api.pages.learning import find_learning
from api.pages.rendering import render
from api.pages.review_labels import agreed, check, list_choices, read_said, read_verdicts, with_keys
from api.pages.review_sitting import LEASE_S, Sitting, SittingDep, lead_on
from core.errors import Invalid, MFAError, ModelNotFound
from core.services.corrections import correct_track
from core.services.review import TRAINED_ON, forecast
from core.spelling import name_key
from core.states import Strategy
from core.store.correction_changes import undo_change
from core.store.label_sets import read_vocabulary
from core.store.libraries import list_library_names
from core.store.registry import resolve_model
from core.store.review_leases import lease_again, release
from core.store.review_order import may_hide_errors
from core.store.review_pool import count_decided
from core.store.session import transaction
from core.store.tracks import get_track

router = APIRouter(prefix="/review", include_in_schema=False)

MOST_FIELDS = 5000  # of a form
NOTHING_SAID = "Say something of a label first, or skip the track."
STRATEGIES = (
    (Strategy.MARGIN, "Where the model is least sure"),
    (Strategy.RANDOM, "Picked at random"),
    (Strategy.SUSPECT, "What people said and the model contradicts"),
    (Strategy.DISAGREEMENT, "Where the model and the previous one disagree"),
)


async def get_form(request: Request) -> FormData:
    return await request.form(max_fields=MOST_FIELDS)


FormDep = Annotated[FormData, Depends(get_form)]


@router.get("")
def show_start(request: Request, caller: Writer, session: SessionDep, sitting: SittingDep) -> HTMLResponse:
    return _start(request, session, caller, sitting)


@router.post("")
def begin(
    request: Request,
    caller: Writer,
    sessions: SessionsDep,
    strategy: Annotated[Strategy, Form()] = Strategy.MARGIN,
    label: Annotated[str | None, Blank, Form(max_length=200)] = None,
    library: Annotated[str | None, Blank, Form(max_length=200)] = None,
) -> Response:
    sitting = Sitting(strategy, label, library)
    try:
        return redirect(request, lead_on(sessions, caller.owner, sitting))
    except MFAError as error:
        with transaction(sessions) as session:
            return _start(request, session, caller, sitting, error)


@router.get("/{track_id}")
def show_question(
    request: Request, track_id: UUID, caller: Writer, session: SessionDep, sitting: SittingDep
) -> HTMLResponse:
    return _question(request, session, caller, track_id, sitting)


@router.post("/{track_id}")
def answer(
    request: Request,
    track_id: UUID,
    caller: Writer,
    sessions: SessionsDep,
    sitting: SittingDep,
    form: FormDep,
) -> Response:
    """What the button `do` says: save, agree (with the model), skip, stop, or undo the answer before."""
    match form.get("do"):
        case "save" | "agree" as how:
            with transaction(sessions) as session:
                verdicts = read_verdicts(form)
                if how == "agree":
                    model = resolve_model(session, "default")
                    verdicts = agreed(model, get_track(session, track_id, model), verdicts)
                if not verdicts:
                    return _question(
                        request, session, caller, track_id, sitting, read_said(form), NOTHING_SAID
                    )
                written = correct_track(
                    session, track_id, check(verdicts), author=caller.owner, note=None, allow_new=False
                )
            sitting = replace(sitting, answered=sitting.answered + 1, last=track_id, change=written.change_id)
        case "skip":
            sitting = replace(sitting, last=None, change=None)
        case "undo" if sitting.change is not None and sitting.last is not None:
            with transaction(sessions) as session:
                undo_change(session, sitting.change, caller.owner)
                is_ours = lease_again(session, sitting.last, caller.owner, LEASE_S)
            then = sitting.then if track_id == sitting.last else (track_id, *sitting.then)
            answered = max(0, sitting.answered - 1)
            back = replace(sitting, then=then, answered=answered, last=None, change=None, over=False)
            if not is_ours:
                return redirect(request, lead_on(sessions, caller.owner, back))
            return redirect(request, f"review/{sitting.last}?{back.query}")
        case "stop":
            with transaction(sessions) as session:
                release(session, [track_id, *sitting.then], caller.owner)
            return redirect(request, f"review?{replace(sitting, then=()).query}")
        case _:
            raise Invalid("A form says in `do` what to do: save, agree, skip, stop or undo.")
    return redirect(request, lead_on(sessions, caller.owner, sitting))


def _start(
    request: Request, session: Session, caller: Caller, sitting: Sitting, error: MFAError | None = None
) -> HTMLResponse:
    """What has been said, how much more is needed, and what to begin with."""
    try:
        model = resolve_model(session, "default")
    except ModelNotFound as missing:
        return render(request, "review_start.html", caller, model=None, missing=missing.detail)
    return render(
        request,
        "review_start.html",
        caller,
        200 if error is None else status_of(error),
        model=model,
        error="" if error is None else error.detail,
        sitting=sitting,
        decided=count_decided(session),
        forecast=forecast(session, model, None),
        learning=find_learning(session),
        once=str(uuid4()),
        strategies=STRATEGIES,
        labels=[("", "All labels"), *((label, label) for label in sorted(model.labels, key=name_key))],
        libraries=[("", "All libraries"), *((name, name) for name in list_library_names(session))],
    )


def _question(
    request: Request,
    session: Session,
    caller: Caller,
    track_id: UUID,
    sitting: Sitting,
    said: Mapping[str, str] | None = None,
    error: str = "",
) -> HTMLResponse:
    """`said`: what was filled in, to be shown again with the `error`."""
    model = resolve_model(session, "default")
    row = get_track(session, track_id, model)
    every = list_choices(model, row, read_vocabulary(session).labels, said)
    asked = None if sitting.label is None else name_key(sitting.label)
    first = with_keys(each for each in every if asked in (None, name_key(each.label)))
    shown = {each.label for each in first}
    more = sorted((each for each in every if each.label not in shown), key=lambda each: name_key(each.label))
    hides = sitting.strategy == Strategy.SUSPECT and may_hide_errors(session, model)
    return render(
        request,
        "review_question.html",
        caller,
        422 if error else 200,
        track=views.track(model, row, all_scores=False),
        model=model,
        sitting=sitting,
        first=first,
        more=more,
        error=error,
        warning=TRAINED_ON if hides else "",
    )
