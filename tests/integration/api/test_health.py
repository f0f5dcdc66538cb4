"""Liveness, readiness, metrics, and what happens when a service is away."""

from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from api.main import create_app
from core.local_stack.command import free_port
from core.queue import SERVING_QUEUES
from core.services.monitoring import count_open_units, measure_activity
from core.settings import Settings
from core.states import JobState
from tests.builders import make_job, make_library, make_track, make_worker
from tests.conftest import create_database
from tests.integration.api.gateway import problem_of, running
from tests.integration.services.plans import explain


@pytest.fixture
def nowhere(tmp_path: Path) -> Settings:
    """A server whose database and broker do not answer."""
    port = free_port()
    return Settings(
        database_url=f"postgresql://127.0.0.1:{port}/x",
        broker_url=f"redis://127.0.0.1:{port}",
        data_dir=tmp_path,
        host="127.0.0.1",
    )


def test_a_server_is_ready_when_every_queue_has_a_worker(http, db):
    response = http.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "ready": False,
        "missing": [f"No worker takes from the queue `{queue}`." for queue in SERVING_QUEUES],
    }
    with db.begin() as session:
        make_worker(session, "plan", "batch", "train")
        make_worker(session, "interactive", beat_at="2020-01-01T00:00:00Z")
    assert http.get("/readyz").json()["missing"] == ["No worker takes from the queue `interactive`."]
    with db.begin() as session:
        make_worker(session, "interactive")
    ready = http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "missing": []})


def test_a_database_behind_the_code_is_not_ready(postgres_url, broker_url, tmp_path):
    url = create_database(postgres_url, "unmigrated")
    settings = Settings(database_url=url, broker_url=broker_url, data_dir=tmp_path, host="127.0.0.1")
    with running(create_app(settings)) as address:
        response = httpx.get(f"{address}/readyz", trust_env=False)
    assert response.status_code == 503
    assert "alembic upgrade head" in response.json()["missing"][0]


def test_without_its_services_the_server_lives_and_says_what_is_missing(nowhere):
    with running(create_app(nowhere)) as url, httpx.Client(base_url=url, trust_env=False) as http:
        assert http.get("/healthz").json() == {"status": "ok"}
        assert http.get("/readyz").json()["missing"] == [
            "The database does not answer.",
            "The broker does not answer.",
        ]
        response = http.get("/api/v1/jobs")
        assert problem_of(response, 503) == "unavailable"
        assert int(response.headers["retry-after"]) >= 1
        assert "127.0.0.1" not in response.text
        upload = http.post("/api/v1/analysis/predict", files={"file": b"x"})
        assert problem_of(upload, 503) == "unavailable"
    assert list(nowhere.uploads_dir.iterdir()) == []


def test_metrics_count_what_the_database_holds(http, db):
    with db.begin() as session:
        make_job(session, state=JobState.RUNNING, unit={"run_after": text("now() - interval '90 s'")})
        make_job(
            session,
            state=JobState.RUNNING,
            unit={"state": "running", "lease_until": text("now() - interval '70 s'")},
        )
        make_job(session, state=JobState.SUCCEEDED, unit={"state": "done"})
        make_worker(session, "plan")
    http.get("/api/v1/jobs/no-uuid")
    response = http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = dict(line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#"))
    assert float(lines['mfa_jobs{state="running"}']) == 2
    assert float(lines['mfa_units{queue="plan",state="ready"}']) == 1
    assert not any('state="done"' in name for name in lines if name.startswith("mfa_units"))
    assert 90 <= float(lines["mfa_oldest_ready_unit_seconds"]) < 100
    assert 70 <= float(lines["mfa_oldest_expired_lease_seconds"]) < 80
    assert float(lines["mfa_workers"]) == 1
    labels = 'method="GET",route="/api/v1/jobs/{job_id}",status="422"'
    assert float(lines[f"mfa_request_duration_seconds_count{{{labels}}}"]) >= 1


def test_tracks_are_an_estimate_of_the_database_not_counted(session):
    session.execute(text("TRUNCATE tracks CASCADE"))
    assert measure_activity(session).tracks == 0
    library = make_library(session)
    for _ in range(3):
        make_track(session, library)
    session.execute(text("ANALYZE tracks"))
    make_track(session, library)
    assert measure_activity(session).tracks == 3


def test_units_that_have_ended_cost_a_scrape_nothing(session):
    make_job(session, state=JobState.RUNNING)
    session.execute(
        text(
            "INSERT INTO job_units "
            "(job_id, seq, kind, queue, state, payload, attempt, crash_count, done, failed, skipped) "
            "SELECT job_id, n, kind, queue, 'done', payload, 0, 0, 0, 0, 0 "
            "FROM job_units, generate_series(1, 5000) n"
        )
    )
    session.execute(text("ANALYZE job_units"))
    assert "ix_job_units_open" in explain(session, lambda: count_open_units(session))
    assert count_open_units(session) == {("ready", "plan"): 1}


def test_a_client_cannot_invent_labels_of_metrics(http):
    http.request("BREW", "/coffee")
    http.get("/invented")
    metrics = http.get("/metrics").text
    assert "coffee" not in metrics
    assert "BREW" not in metrics
    assert "invented" not in metrics
