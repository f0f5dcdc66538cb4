"""The state of the whole system in one answer."""

import platform

from fastapi import BackgroundTasks, Request
from sqlalchemy import text
from sqlalchemy.orm import Session

from api import schemas, views
from api.deps import ADMIN, READ, Reader, SessionDep, SettingsDep
from api.routes import make_router
from core import VERSION
from core.services.activity import list_failures, list_open_jobs, list_workers, measure_queues
from core.services.effective_settings import list_settings
from core.services.library_totals import KnownTotals
from core.services.monitoring import applied_migration
from core.services.readiness import missing_broker, missing_in_database

router = make_router("system", dependencies=[READ])

MOST_JOBS = 20


@router.get("")
def get_system(
    request: Request, caller: Reader, session: SessionDep, settings: SettingsDep, later: BackgroundTasks
) -> schemas.System:
    """Is it healthy, what is it doing, what failed in the last seven days, and what do the libraries hold?

    Counting more than some hundred thousand tracks takes seconds. The totals in `library` are therefore
    cached, and an expired cache is refreshed after the response: `counted_at` says how old they are.
    """
    known: KnownTotals = request.app.state.totals
    totals, is_old = known.get()  # before this session begins a transaction, which would idle meanwhile
    if is_old:
        later.add_task(known.renew)
    missing = [*missing_in_database(session), *missing_broker(settings)]
    jobs, open_jobs = list_open_jobs(session, caller.visible_to, MOST_JOBS)
    failures, is_complete = list_failures(session, caller.visible_to)
    return schemas.System(
        ready=not missing,
        missing=missing,
        workers=[schemas.SystemWorker.model_validate(each) for each in list_workers(session)],
        queues=[schemas.QueueState.model_validate(each) for each in measure_queues(session)],
        open_jobs=open_jobs,
        jobs=views.job_list(session, jobs),
        failures=[schemas.Failure.model_validate(each) for each in failures],
        failures_complete=is_complete,
        library=schemas.LibraryTotals.model_validate(totals),
        versions=read_versions(session),
    )


@router.get("/settings", dependencies=[ADMIN])
def get_settings(settings: SettingsDep) -> schemas.Page[schemas.EffectiveSetting]:
    """The settings that the gateway runs with; of those that are secret only whether they are set."""
    items = [schemas.EffectiveSetting.model_validate(each) for each in list_settings(settings)]
    return schemas.Page(items=items)


def read_versions(session: Session) -> schemas.SystemVersions:
    """Of what is running."""
    return schemas.SystemVersions(
        server=VERSION,
        python=platform.python_version(),
        postgres=str(session.scalar(text("SHOW server_version"))),
        migration=applied_migration(session),
    )
