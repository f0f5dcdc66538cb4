"""Experiments: runs under one name."""

from typing import Annotated

from fastapi import Path

from api import schemas, views
from api.deps import READ, SessionDep
from api.routes import make_router, problems
from core.store import experiments as service

router = make_router("experiments", dependencies=[READ])

SHOWN_RUNS = 100
Name = Annotated[str, Path(max_length=100, description="name of an experiment", examples=["my-genres"])]


@router.get("")
def list_experiments(session: SessionDep) -> schemas.Page[schemas.Experiment]:
    """All experiments by name. Whoever may read models may read how they were trained."""
    return schemas.Page(items=[views.experiment(*row) for row in service.list_experiments(session)])


@router.get("/{name}", responses=problems(404))
def get_experiment(name: Name, session: SessionDep) -> schemas.ExperimentRuns:
    """An experiment with its newest runs; `GET /api/v1/runs?experiment=` pages through all of them."""
    experiment, run_count = service.get_experiment(session, name)
    page = service.list_runs(session, None, SHOWN_RUNS, name)
    shown = views.experiment(experiment, run_count)
    return schemas.ExperimentRuns(**dict(shown), runs=[views.run(row) for row in page.items])
