"""Liveness, readiness and metrics, for those who run the server."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from api import schemas
from api.deps import READ, SessionDep, SessionsDep, SettingsDep, SpaceDep
from api.routes import GUARDED
from core import VERSION
from core.jobs.kinds import queues
from core.jobs.space import SpaceCheck, measure_free
from core.services.monitoring import RECENT_S, QueueSnapshot, measure_queue
from core.services.readiness import missing_broker, missing_in_database
from core.settings import Settings
from core.states import UnitState
from core.store.session import SessionFactory, transaction

router = APIRouter(tags=["health"])

LATELY = f"in the last {RECENT_S:.0f} s"


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def check_health() -> schemas.Health:
    """Liveness: the process answers."""
    return schemas.Health(status="ok", version=VERSION)


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {"model": schemas.Readiness, "description": "Not ready"}})
def check_readiness(
    sessions: SessionsDep, settings: SettingsDep, space: SpaceDep, response: Response
) -> schemas.Readiness:
    """Readiness: there is disk space, the database is migrated, the broker answers, every queue is
    dispatched and has a worker.
    """
    missing = [*_missing_in_database(sessions, space), *missing_broker(settings)]
    if missing:
        response.status_code = 503
    return schemas.Readiness(ready=not missing, missing=missing)


def _missing_in_database(sessions: SessionFactory, space: SpaceCheck) -> list[str]:
    try:
        with transaction(sessions) as session:
            return missing_in_database(session)
    except SQLAlchemyError:
        shortage = space.find_shortage()
        return ["The database does not answer.", *([shortage] if shortage else [])]


@router.head("/metrics", dependencies=[READ], include_in_schema=False)
@router.get("/metrics", dependencies=[READ], response_class=Response, responses=GUARDED)
def get_metrics(request: Request, session: SessionDep, settings: SettingsDep, space: SpaceDep) -> Response:
    """What Prometheus scrapes: the queue as the database knows it, disk space, and this process' request
    durations.
    """
    registry = CollectorRegistry()
    registry.register(ActivityCollector(measure_queue(session)))
    registry.register(SpaceCollector(settings, space))
    text = generate_latest(registry) + generate_latest(request.app.state.registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


class ActivityCollector(Collector):
    def __init__(self, snapshot: QueueSnapshot) -> None:
        self.snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        seen = self.snapshot
        waiting = {(str(UnitState.READY), queue): 0 for queue in queues()}  # empty queues are reported too
        yield from (
            labelled("mfa_jobs", "Open jobs", ("state",), seen.jobs),
            labelled("mfa_units", "Open units of work", ("state", "queue"), waiting | seen.units),
            labelled("mfa_worker_slots", "Units that workers can run at a time", ("queue",), seen.slots),
            labelled(
                "mfa_heartbeat_age_seconds",
                "Since the last heartbeat of a worker or dispatcher",
                ("name",),
                seen.heartbeats,
            ),
            labelled(
                "mfa_deleted_rows", "Deleted rows that are still to be removed", ("table",), seen.deleted
            ),
            labelled("mfa_ended_units", f"Units that ended {LATELY}", ("kind", "state"), seen.ended_units),
            labelled("mfa_ended_tracks", f"Tracks of those units {LATELY}", ("outcome",), seen.ended_tracks),
            labelled("mfa_stage_seconds", f"Work on those tracks {LATELY}", ("stage",), seen.stage_s),
        )
        single = {
            "mfa_oldest_ready_unit_seconds": (
                "How long the oldest ready unit has waited",
                seen.oldest_ready_s,
            ),
            "mfa_oldest_expired_lease_seconds": (
                "For how long the oldest expired lease has not been taken back",
                seen.oldest_expired_lease_s,
            ),
            "mfa_tracks": ("Tracks known in all libraries, as the database last estimated", seen.tracks),
            "mfa_predictions_with_warnings": (
                "Results of tracks of which some audio is missing, as the database last estimated",
                seen.warned,
            ),
            "mfa_tracks_with_unreadable_tags": (
                "Tracks whose tags cannot be read, wholly or in part",
                seen.unreadable_tags,
            ),
            "mfa_workers": ("Workers with a recent heartbeat", seen.workers),
        }
        for name, (meaning, value) in single.items():
            yield GaugeMetricFamily(name, meaning, value=value)


class SpaceCollector(Collector):
    def __init__(self, settings: Settings, space: SpaceCheck) -> None:
        self._settings, self._space = settings, space

    def collect(self) -> Iterable[Metric]:
        with suppress(OSError):  # a folder that cannot be reached is a shortage
            free = measure_free(self._settings.data_dir)
            yield GaugeMetricFamily("mfa_data_free_bytes", "Free space of the data folder", value=free)
        meaning = "Whether jobs wait because there is too little disk space"
        yield GaugeMetricFamily("mfa_space_shortage", meaning, value=self._space.find_shortage() is not None)


def labelled(
    name: str, meaning: str, labels: Sequence[str], values: Mapping[Any, float]
) -> GaugeMetricFamily:
    """A gauge with a value for each label, or tuple of labels."""
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for key, value in values.items():
        family.add_metric(key if isinstance(key, tuple) else (key,), value)
    return family
