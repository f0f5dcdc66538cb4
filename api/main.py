"""The gateway: `uvicorn --factory api.main:create_app --host "$MFA_HOST" --port "$MFA_PORT"`.

MFA_HOST must be what uvicorn binds: it decides whether API keys are needed. A server that is bound to more
than it says refuses everybody but its own machine.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from api import docs
from api.errors import add_error_handlers
from api.openapi import DESCRIPTION, describe
from api.pages import home, library, login, static_files, track
from api.pages import jobs as job_pages
from api.pages import maps as map_pages
from api.pages import models as model_pages
from api.pages import review as review_pages
from api.pages import settings as settings_pages
from api.pages import studies as study_pages
from api.pages import training as training_pages
from api.pages.problem_pages import ProblemPages
from api.requests import RequestLog, make_durations
from api.routes import (
    analysis,
    corrections,
    covers,
    duplicates,
    events,
    experiments,
    health,
    jobs,
    keys,
    label_sets,
    libraries,
    maps,
    me,
    models,
    peaks,
    queries,
    results,
    retrainings,
    review,
    runs,
    sessions,
    studies,
    system,
    track_files,
    tracks,
)
from api.security.access import allowed_rate, is_guarded, is_open_to_others
from api.security.hosts import LoopbackOnly
from api.security.limits import MB, BodyLimit
from api.security.rates import RateLimit
from api.watch import Watch
from core import VERSION
from core.jobs.space import FIND_SHORTAGE, SpaceCheck
from core.logs import configure_logging
from core.services.kinds import register_kinds
from core.services.library_totals import KnownTotals
from core.settings import Settings, get_settings
from core.store.session import create_database_engine, create_session_factory

log = logging.getLogger(__name__)

POOL_SIZE = 10
JSON_LIMIT = MB
OPEN_TO_OTHERS = "MFA_HOST is %s and MFA_REQUIRE_API_KEYS false: whoever can connect may do everything"
ROUTERS = (
    jobs,
    results,
    events,
    analysis,
    libraries,
    tracks,
    track_files,
    peaks,
    covers,
    corrections,
    review,
    retrainings,
    label_sets,
    queries,
    duplicates,
    maps,
    models,
    experiments,
    runs,
    studies,
    keys,
    sessions,
    me,
    system,
    health,
    docs,
    static_files,
    login,
    home,
    job_pages,
    map_pages,
    review_pages,
    settings_pages,
    model_pages,
    training_pages,
    study_pages,
    library,
    track,
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Routers, error handlers and middleware; the outermost middleware is added last."""
    settings = settings or get_settings()
    register_kinds()
    engine = create_database_engine(settings.database_url, POOL_SIZE)
    # Asked within transactions: it must not wait for the connections of those who wait for their locks.
    engine_of_space = create_database_engine(settings.database_url, 1)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        configure_logging(settings)
        if is_open_to_others(settings):
            log.warning(OPEN_TO_OTHERS, settings.host)
        yield
        engine.dispose()
        engine_of_space.dispose()

    app = FastAPI(
        title="Music Feature Analysis",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.space = SpaceCheck(settings, create_session_factory(engine_of_space))
    asked = {FIND_SHORTAGE: app.state.space.find_shortage}
    app.state.sessions = create_session_factory(engine, **asked)
    app.state.reads = create_session_factory(engine.execution_options(isolation_level="AUTOCOMMIT"), **asked)
    app.state.watch = Watch(app.state.reads, settings)
    app.state.totals = KnownTotals(app.state.sessions)
    app.state.registry = CollectorRegistry()
    for module in ROUTERS:
        app.include_router(module.router)
    describe(app)
    add_error_handlers(app)
    if is_guarded(settings):
        app.add_middleware(LoopbackOnly)
    if rate := allowed_rate(settings):
        app.add_middleware(RateLimit, rate=rate)
    app.add_middleware(
        BodyLimit,
        limit=JSON_LIMIT,
        by_path={
            analysis.PREDICT_PATH: settings.max_upload_mb * MB,
            corrections.CSV_PATH: corrections.CSV_LIMIT,
        },
    )
    app.add_middleware(RequestLog, durations=make_durations(app.state.registry))
    app.add_middleware(ProblemPages)
    return app
