"""Runs: how models were trained, and how that went."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Query, Response

from api import schemas, views
from api.deps import ADMIN, READ, Cursor, IdPrefix, Limit, SessionDep
from api.routes import DELETED, make_router, problems
from core.errors import Invalid
from core.services import changes
from core.services.run_log import read_log
from core.store import experiments as service

router = make_router("runs", dependencies=[READ])

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file",
        "content": dict.fromkeys(("application/json", "image/png", "text/markdown", "text/csv"), BINARY),
    }
}


@router.get("", responses=problems(404))
def list_runs(
    session: SessionDep,
    experiment: Annotated[str | None, Query(max_length=100, description="only of this experiment")] = None,
    id_prefix: IdPrefix = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> schemas.Page[schemas.Run]:
    """Runs of all experiments, newest first."""
    page = service.list_runs(session, cursor, limit, experiment, id_prefix)
    return schemas.Page(items=[views.run(row) for row in page.items], next_cursor=page.next_cursor)


@router.get("/compare", responses=problems(404))
def compare_runs(
    session: SessionDep,
    ids: Annotated[list[str], Query(description="ids of runs, repeated or with commas between them")],
) -> schemas.RunComparison:
    """Up to twenty runs side by side: what they reached, and in what their configurations differ."""
    try:
        run_ids = [UUID(each) for part in ids for each in part.split(",")]
    except ValueError:
        raise Invalid("`ids` must be ids of runs, with commas between them.") from None
    return views.comparison(service.compare_runs(session, run_ids))


@router.get("/{run_id}", responses=problems(404))
def get_run(run_id: UUID, session: SessionDep) -> schemas.RunDetails:
    """A run with its configuration, its results and the curves of its epochs, also while it is running."""
    epochs = service.list_epochs(session, [run_id])  # first: a run that is there now had all of them then
    return views.run_details(service.get_run(session, run_id), epochs[run_id])


@router.get("/{run_id}/log", responses=problems(404))
def get_log(run_id: UUID, session: SessionDep) -> schemas.RunLog:
    """What a training has done so far, also while it is running: stages, epochs, warnings, its end."""
    epochs = service.list_epochs(session, [run_id])
    return views.run_log(read_log(session, service.get_run(session, run_id), epochs[run_id]))


@router.delete("/{run_id}", status_code=204, dependencies=[ADMIN], responses=DELETED | problems(404, 409))
def delete_run(run_id: UUID, session: SessionDep) -> None:
    """Delete what is known of a training: configuration, results, curves. Its model and its job stay.

    409 until the training has ended.
    """
    changes.delete_run(session, run_id)


@router.get("/{run_id}/artifacts/{name}", response_class=Response, responses=FILES | problems(404))
def get_artifact(
    run_id: UUID,
    name: Annotated[str, Path(max_length=100, examples=["training_curves.png"])],
    session: SessionDep,
) -> Response:
    """A file that a finished run has left: curves, results, predictions or model card, not its weights."""
    content = service.read_artifact(session, run_id, name)
    return Response(content, media_type=service.ARTIFACTS[name])
