"""Liveness, readiness, metrics, and what happens when a service is away."""

import json
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from api.main import create_app
from api.routes import events
from core import VERSION
from core.jobs import space
from core.jobs.kinds import serving_queues
from core.jobs.workers import DISPATCHER, record_heartbeat
from core.local.command import free_port
from core.services.monitoring import (
    count_ended_tracks,
    count_ended_units,
    count_open_jobs,
    count_open_units,
    measure_queue,
    sum_stages,
)
from core.settings import Settings
from core.states import JobState
from tests.conftest import create_database
from tests.integration.api.gateway import problem_of, running
from tests.support.builders import make_job, make_library, make_track, make_unit, make_worker
from tests.support.query_plans import explain
from tests.support.small_disk import fill, small_disk


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
        "missing": [
            "No dispatcher runs.",
            *(f"No worker takes from the queue `{queue}`." for queue in serving_queues()),
        ],
    }
    with db.begin() as session:
        record_heartbeat(session, f"{DISPATCHER}7@here", [], 0, draining=False)
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
        assert http.get("/healthz").json() == {"status": "ok", "version": VERSION}
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
        make_worker(session, "plan", name="worker")
        make_worker(session, name=f"{DISPATCHER}7@here", beat_at=text("now() - interval '50 s'"))
    http.get("/api/v1/jobs/no-uuid")
    response = http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = dict(line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#"))
    assert float(lines['mfa_jobs{state="running"}']) == 2
    assert float(lines['mfa_units{queue="plan",state="ready"}']) == 1
    assert not any('state="succeeded"' in name for name in lines if name.startswith("mfa_jobs"))
    assert not any('state="done"' in name for name in lines if name.startswith("mfa_units"))
    assert 90 <= float(lines["mfa_oldest_ready_unit_seconds"]) < 100
    assert 70 <= float(lines["mfa_oldest_expired_lease_seconds"]) < 80
    assert float(lines["mfa_workers"]) == 1
    assert float(lines['mfa_worker_slots{queue="plan"}']) == 1
    assert float(lines['mfa_worker_slots{queue="train"}']) == 0
    assert float(lines['mfa_units{queue="interactive",state="ready"}']) == 0
    assert sorted(name for name in lines if name.startswith("mfa_heartbeat_age_seconds")) == [
        'mfa_heartbeat_age_seconds{name="dispatcher-7@here"}',
        'mfa_heartbeat_age_seconds{name="worker"}',
    ]
    assert 50 <= float(lines['mfa_heartbeat_age_seconds{name="dispatcher-7@here"}']) < 60
    labels = 'method="GET",route="/api/v1/jobs/{job_id}",status="422"'
    assert float(lines[f"mfa_request_duration_seconds_count{{{labels}}}"]) >= 1


def test_metrics_tell_what_ended_lately_and_how(http, db):
    now, old = text("now() - interval '60 s'"), text("now() - interval '1 hour'")
    with db.begin() as session:
        job = make_job(session, state=JobState.RUNNING, unit={"state": "done", "finished_at": now})
        done = {"state": "done", "finished_at": now}
        stages = {"decode": 1.5, "model": 2.0}
        make_unit(session, job, seq=1, **done, done=3, failed=1, timings=stages)
        make_unit(session, job, seq=2, **done, done=2, skipped=4, timings={"decode": 0.25})
        make_unit(session, job, seq=3, state="failed", finished_at=now, failed=5)
        make_unit(session, job, seq=4, state="done", finished_at=old, done=100, timings=stages)
        make_unit(session, job, seq=5, done=7, timings=stages)
        make_unit(session, job, seq=6, kind="train", queue="train", **done, done=40, timings={"tracks": 9})
    metrics = http.get("/metrics").text.splitlines()
    assert sorted(line for line in metrics if line.startswith(("mfa_ended", "mfa_stage"))) == [
        'mfa_ended_tracks{outcome="done"} 5.0',
        'mfa_ended_tracks{outcome="failed"} 6.0',
        'mfa_ended_tracks{outcome="skipped"} 4.0',
        'mfa_ended_units{kind="analyse",state="done"} 2.0',
        'mfa_ended_units{kind="analyse",state="failed"} 1.0',
        'mfa_ended_units{kind="plan",state="done"} 1.0',
        'mfa_ended_units{kind="train",state="done"} 1.0',
        'mfa_stage_seconds{stage="decode"} 1.75',
        'mfa_stage_seconds{stage="model"} 2.0',
    ]


def test_metrics_tell_what_is_deleted_and_still_to_be_removed(http, db):
    with db.begin() as session:
        make_job(session, deleted_at=text("now()"))
        make_library(session, deleted_at=text("now()"))
        make_library(session)
    found = [line for line in http.get("/metrics").text.splitlines() if line.startswith("mfa_deleted_rows")]
    assert sorted(found) == [
        'mfa_deleted_rows{table="jobs"} 1.0',
        'mfa_deleted_rows{table="libraries"} 1.0',
        'mfa_deleted_rows{table="models"} 0.0',
        'mfa_deleted_rows{table="runs"} 0.0',
        'mfa_deleted_rows{table="studies"} 0.0',
    ]


def test_tracks_are_an_estimate_of_the_database_not_counted(session):
    session.execute(text("TRUNCATE tracks CASCADE"))
    assert measure_queue(session).tracks == 0
    library = make_library(session)
    for _ in range(3):
        make_track(session, library)
    session.execute(text("ANALYZE tracks"))
    make_track(session, library)
    assert measure_queue(session).tracks == 3


def test_units_that_have_ended_cost_a_scrape_nothing(session):
    make_job(session, state=JobState.RUNNING)
    session.execute(
        text(
            "INSERT INTO job_units "
            "(job_id, seq, kind, queue, state, payload, attempt, crash_count, done, failed, skipped, "
            "finished_at) "
            "SELECT job_id, n, kind, queue, 'done', payload, 0, 0, 0, 0, 0, now() - n * interval '1 h' "
            "FROM job_units, generate_series(1, 5000) n"
        )
    )
    session.execute(text("ANALYZE job_units"))
    assert "ix_job_units_open" in explain(session, lambda: count_open_units(session))
    assert count_open_units(session) == {("ready", "plan"): 1}
    for measure in (count_ended_units, count_ended_tracks, sum_stages):
        assert "ix_job_units_finished_at" in explain(session, partial(measure, session))


def test_jobs_that_have_ended_cost_a_scrape_nothing(session):
    make_job(session, state=JobState.RUNNING)
    session.execute(
        text(
            "INSERT INTO jobs (id, kind, owner, params, state, total) "
            "SELECT gen_random_uuid(), kind, owner, params, 'succeeded', 0 "
            "FROM jobs, generate_series(1, 5000)"
        )
    )
    session.execute(text("ANALYZE jobs"))
    assert "ix_jobs_open" in explain(session, lambda: count_open_jobs(session))
    assert count_open_jobs(session) == {"running": 1}


def test_a_client_cannot_invent_labels_of_metrics(http):
    http.request("BREW", "/coffee")
    http.get("/invented")
    for number in range(20):
        assert http.request(f"BREW{number}", "/api/v1/models").status_code == 405
    metrics = http.get("/metrics").text
    assert 'method="other",route="/api/v1/models",status="405"' in metrics
    assert "coffee" not in metrics
    assert "BREW" not in metrics
    assert "invented" not in metrics


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_head_answers_as_get_does_without_a_body(http, path):
    get, head = http.get(path), http.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_head_of_the_metrics_needs_a_key_as_get_does(keyed_http):
    assert keyed_http.head("/metrics").status_code == 401


def test_a_full_disk_is_told_wherever_somebody_looks(open_settings, db, tmp_path, monkeypatch):
    """By readiness, jobs, events, metrics and to uploads; no longer as soon as there is room again."""
    monkeypatch.setattr(space, "MEASURE_EVERY_S", 0.0)
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.2)
    with db.begin() as session:
        job = make_job(session, state=JobState.RUNNING, unit={"state": "running"})
        ended = make_job(session, state=JobState.SUCCEEDED, unit={"state": "done"})
    with (
        small_disk(tmp_path / "disk", megabytes=4) as disk,
        running(create_app(open_settings.model_copy(update={"data_dir": disk, "min_free_mb": 2}))) as url,
        httpx.Client(base_url=url, timeout=20, trust_env=False) as client,
    ):

        def shortages() -> set[str | None]:
            missing = [each for each in client.get("/readyz").json()["missing"] if "MB are free" in each]
            return {client.get(f"/api/v1/jobs/{job.id}").json()["waiting"], *(missing or [None])}

        def metric(name: str) -> float:
            lines = client.get("/metrics").text.splitlines()
            return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

        assert shortages() == {None}
        assert (metric("mfa_space_shortage"), metric("mfa_data_free_bytes")) == (0, 4 * 2**20)
        with httpx.stream("GET", f"{url}/api/v1/jobs/{job.id}/events", timeout=20, trust_env=False) as stream:
            data = (line[6:] for line in stream.iter_lines() if line.startswith("data: "))
            told = (json.loads(line)["waiting"] for line in data)
            assert next(told) is None
            everything = fill(disk)
            (sentence,) = shortages()
            assert sentence is not None
            assert sentence.startswith("Only 0 MB are free in the data folder, and 2 MB are needed")
            assert next(each for each in told if each) == sentence
            everything.unlink()
            assert next(told) is None
        everything = fill(disk)
        assert (metric("mfa_space_shortage"), metric("mfa_data_free_bytes")) == (1, 0)
        upload = client.post("/api/v1/analysis/predict", files={"file": b"x"})
        assert problem_of(upload, 503) == "no_disk_space"
        assert client.get(f"/api/v1/jobs/{ended.id}").json()["waiting"] is None
        assert {each["waiting"] for each in client.get("/api/v1/jobs").json()["items"]} == {sentence, None}
        everything.unlink()
        assert shortages() == {None}
