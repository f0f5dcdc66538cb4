"""The review queue: which tracks to correct next."""

from typing import Annotated

from fastapi import Query, Response

from api import schemas, views
from api.deps import ModelName, SessionDep, SessionsDep, Writer
from api.routes import make_router, problems
from core.services import review as service
from core.states import Strategy
from core.store.review_leases import release

router = make_router("review")


@router.get("", responses=problems(404))
def take_questions(
    sessions: SessionsDep,
    caller: Writer,
    response: Response,
    strategy: Annotated[
        Strategy,
        Query(
            description="`margin`: where the model is least sure, never two of one album in a row; `random`; "
            "`suspect`: what people said and the model contradicts; `disagreement`: of `model` and `other`"
        ),
    ] = Strategy.MARGIN,
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

    Nobody else is asked about them until the lease ends or you correct them; until then, to say again what
    was said confirms it. Without a label, tracks of which nobody has said anything are asked about.
    """
    asked = service.Asked(strategy, n, lease_s, label, library, model, other)
    batch = service.take_questions(sessions, asked, caller.owner)
    response.headers["Cache-Control"] = "no-store"
    return schemas.ReviewBatch(
        model=batch.model.reference,
        label=batch.label,
        items=[
            schemas.ReviewQuestion(
                track=views.track(batch.model, each.row, all_scores=True),
                value=each.value,
                leased_until=each.leased_until,
            )
            for each in batch.questions
        ],
        progress=schemas.ReviewProgress.model_validate(batch.progress),
        forecast=schemas.ReviewForecast.model_validate(batch.forecast),
        warnings=batch.warnings,
    )


@router.post("/release", status_code=204, responses=problems(400, 413))
def release_questions(body: schemas.ReleaseRequest, session: SessionDep, caller: Writer) -> None:
    """Give back tracks that you took and will not correct: others are asked about them at once.

    Tracks that somebody else has taken, or nobody has, stay as they are.
    """
    release(session, body.tracks, caller.owner)
