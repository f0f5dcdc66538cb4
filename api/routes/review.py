"""The review queue: which tracks to correct next."""

from typing import Annotated

from fastapi import Query, Response

from api import schemas, views
from api.deps import ModelName, SessionsDep, Writer
from api.routes import make_router, problems
from core.errors import Invalid
from core.store import review as service
from core.store.registry import resolve_model
from core.store.session import transaction
from core.store.track_pages import find_label

router = make_router("review")


@router.get("", responses=problems(404))
def take_questions(
    sessions: SessionsDep,
    caller: Writer,
    response: Response,
    strategy: Annotated[
        service.Strategy,
        Query(
            description="`margin`: where the model is least sure, never two of one album in a row; `random`; "
            "`suspect`: what people said and the model contradicts; `disagreement`: of `model` and `other`"
        ),
    ] = service.Strategy.MARGIN,
    label: Annotated[
        str | None, Query(max_length=200, description="ask about this label of the model")
    ] = None,
    library: Annotated[str | None, Query(max_length=200, description="name of a library")] = None,
    n: Annotated[int, Query(ge=1, le=100, description="tracks to ask about")] = 10,
    lease_s: Annotated[
        int, Query(ge=10, le=86_400, description="seconds for which nobody else is asked about them")
    ] = 600,
    model: ModelName = "default",
    other: ModelName = "previous",
) -> schemas.ReviewBatch:
    """Lease tracks to correct with `PUT /tracks/{id}/labels`, the most useful first.

    Nobody else is asked about them until the lease ends or they are corrected; to say again what was said
    confirms it. Without a label, tracks of which nobody has said anything are asked about.
    """
    # Others wait for who takes questions until this transaction ends: what takes longer comes after it.
    with transaction(sessions) as session:
        said_by = resolve_model(session, model)
        asked = None if label is None else find_label(session, said_by, label)
        if label is not None and asked is None:
            raise Invalid(f"The model {views.model_name(said_by)} has no label {label!r}.")
        compares = strategy == service.Strategy.DISAGREEMENT
        questions = service.take_questions(
            session,
            said_by,
            strategy,
            n,
            reviewer=caller.owner,
            lease_s=lease_s,
            label=asked,
            library=library,
            other=resolve_model(session, other) if compares else None,
        )
    with transaction(sessions) as session:
        progress = service.count_progress(session, said_by, asked, library)
        suspects = strategy == service.Strategy.SUSPECT
        is_hidden = suspects and service.has_learnt_from_corrections(session, said_by)
    response.headers["Cache-Control"] = "no-store"
    return schemas.ReviewBatch(
        model=views.model_name(said_by),
        label=asked,
        items=[
            schemas.ReviewQuestion(
                track=views.track(said_by, each.row, all_scores=True),
                value=each.value,
                leased_until=each.leased_until,
            )
            for each in questions
        ],
        progress=schemas.ReviewProgress.model_validate(progress),
        warnings=[service.LEARNT] if is_hidden else [],
    )
