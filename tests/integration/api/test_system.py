"""The state of the whole system, and who asks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import create_engine, update

from core import VERSION
from core.jobs.workers import DISPATCHER, record_heartbeat
from core.services import library_totals
from core.services.activity import list_failures
from core.services.library_totals import KnownTotals
from core.services.monitoring import newest_revision
from core.states import ItemState, JobState, UnitState
from core.store.session import SessionFactory, create_session_factory
from core.store.tables import KeptTotals, ModelAlias
from tests.integration.api.gateway import bearer
from tests.support.builders import (
    make_analysed_track,
    make_api_key,
    make_finished_job,
    make_item,
    make_job,
    make_library,
    make_model,
    make_track,
    make_unit,
    make_worker,
)

SYSTEM, ME = "/api/v1/system", "/api/v1/me"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _counted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Totals are old at once, and quick to count however busy the machine is."""
    monkeypatch.setattr(library_totals, "IDLE_PER_WORK", 0)
    monkeypatch.setattr(library_totals, "INLINE_S", 60)


def test_an_empty_server_says_what_it_waits_for(http):
    answer = http.get(SYSTEM)
    system = answer.json()
    assert answer.status_code == 200
    assert system["ready"] is False
    assert system["missing"] == http.get("/readyz").json()["missing"]
    assert (system["workers"], system["jobs"], system["failures"]) == ([], [], [])
    assert system["open_jobs"] == {"queued": 0, "running": 0, "cancelling": 0}
    assert {queue["waiting"] + queue["running"] for queue in system["queues"]} == {0}
    assert system["library"].items() >= {"tracks": 0, "labelled": 0, "hours": 0, "model": None}.items()
    versions = system["versions"]
    assert (versions["server"], versions["migration"]) == (VERSION, newest_revision())
    assert versions["postgres"]
    assert versions["python"]


def test_workers_are_shown_as_they_were_last_heard_of(http, db):
    with db.begin() as session:
        record_heartbeat(session, f"{DISPATCHER}7@here", [], 0, draining=False)
        make_worker(session, "plan", "batch", name="b@here", slots=2)
        make_worker(session, "batch", name="c@gone", beat_at=LONG_AGO)
    system = http.get(SYSTEM).json()
    shown = {
        each["name"]: (each["is_dispatcher"], each["alive"], each["slots"]) for each in system["workers"]
    }
    assert shown == {
        f"{DISPATCHER}7@here": (True, True, 0),
        "b@here": (False, True, 2),
        "c@gone": (False, False, 1),
    }
    assert "No dispatcher runs." not in system["missing"]
    assert {queue["name"]: queue["slots"] for queue in system["queues"]}["batch"] == 2


def test_a_queue_says_how_long_its_oldest_unit_has_waited(http, db):
    with db.begin() as session:
        job = make_job(session, unit={"state": UnitState.RUNNING})
        now = datetime.now(UTC)
        make_unit(session, job, seq=1, run_after=now - timedelta(seconds=90))
        make_unit(session, job, seq=2, run_after=now + timedelta(hours=1))  # waits to be tried again
        make_unit(session, job, seq=3, state=UnitState.DONE)
    queues = {queue.pop("name"): queue for queue in http.get(SYSTEM).json()["queues"]}
    oldest_s = queues["batch"].pop("oldest_waiting_s")
    assert 90 <= oldest_s < 120
    assert queues["batch"] == {"slots": 0, "running": 0, "waiting": 2}
    assert queues["plan"] == {"slots": 0, "running": 1, "waiting": 0, "oldest_waiting_s": None}


def fail(session: Any, job: Any, seq: int, *codes: str) -> None:
    unit = make_unit(session, job, seq=seq)
    for pos, code in enumerate(codes):
        failed = {"state": ItemState.FAILED, "error_code": code, "error_detail": f"It is {code}."}
        make_item(session, unit, make_track(session), pos, **failed)


def test_failures_of_the_last_days_are_grouped_by_code(http, db):
    with db.begin() as session:
        old = make_job(session, created_at=LONG_AGO)
        first = make_job(session, created_at=datetime.now(UTC) - timedelta(hours=1))
        second = make_job(session)
        fail(session, old, 1, "corrupt")
        fail(session, first, 1, "not_audio", "not_audio", "silent")
        fail(session, second, 1, "not_audio")
        broken = make_job(session, state=JobState.FAILED, error_code="gave_up", error_detail="It gave up.")
        firsts, seconds = str(first.id), str(second.id)
    system = http.get(SYSTEM).json()
    assert system["failures"] == [
        {"code": "not_audio", "detail": "It is not_audio.", "tracks": 3, "jobs": 0, "last_job": seconds},
        {"code": "gave_up", "detail": "It gave up.", "tracks": 0, "jobs": 1, "last_job": str(broken.id)},
        {"code": "silent", "detail": "It is silent.", "tracks": 1, "jobs": 0, "last_job": firsts},
    ]
    assert system["failures_complete"] is True


def test_more_failures_than_are_counted_are_no_secret(session, monkeypatch):
    monkeypatch.setattr("core.services.activity.MOST_FAILURES", 2)
    fail(session, make_job(session), 1, "silent", "silent")
    assert list_failures(session, None)[1] is True
    fail(session, make_job(session), 1, "silent")
    assert list_failures(session, None)[1] is False


def test_a_key_sees_its_own_jobs_and_their_failures_only(keyed_http, db):
    with db.begin() as session:
        key, own = make_api_key(session)
        _, admin = make_api_key(session, "admin")
        mine, theirs = make_job(session, owner=str(key.id)), make_job(session, owner="other")
        fail(session, mine, 1, "silent")
        fail(session, theirs, 1, "not_audio")
    system = keyed_http.get(SYSTEM, headers=bearer(own)).json()
    assert [job["id"] for job in system["jobs"]] == [str(mine.id)]
    assert system["open_jobs"]["queued"] == 1
    assert [each["code"] for each in system["failures"]] == ["silent"]
    everything = keyed_http.get(SYSTEM, headers=bearer(admin)).json()
    assert (len(everything["jobs"]), len(everything["failures"])) == (2, 2)


def test_totals_count_present_tracks_and_each_copy_of_audio(session):
    model = make_model(session)
    home, gone = make_library(session), make_library(session, deleted_at=LONG_AGO)
    original = make_analysed_track(session, home, model, "a.mp3")
    for path in ("b.mp3", "c.mp3"):
        make_track(session, home, path=path, content_hash=original.content_hash)
    make_track(session, home, path="new.mp3", size=7)
    make_track(session, home, content_hash=original.content_hash, missing_at=LONG_AGO)
    make_track(session, gone, content_hash=original.content_hash)
    make_analysed_track(session, home, make_model(session, alias=None, name="other"), "d.mp3")
    totals = library_totals.count_totals(session)
    assert (totals.libraries, totals.tracks, totals.missing) == (1, 5, 1)
    assert (totals.duplicates, totals.labelled, totals.hours) == (2, 3, 0.15)
    assert (totals.bytes, totals.model) == (4007, "test-model@1")


def test_totals_that_take_long_are_counted_behind_the_answer(db, monkeypatch):
    monkeypatch.setattr(library_totals, "INLINE_S", 0)
    known = KnownTotals(db)
    known.count()
    with db.begin() as session:
        make_track(session)
    totals, is_old = known.get()
    assert (totals.tracks, is_old) == (0, True)
    known.count()
    assert known.get()[0].tracks == 1


def test_a_gateway_that_starts_has_the_totals_of_the_one_before_it(db, monkeypatch):
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        make_analysed_track(session, library, model, "a.mp3", [0.9, 0.0, 0.0])
    counted = KnownTotals(db).count()
    assert [(each.label, each.count) for each in counted.top_labels] == [("rock", 1)]
    monkeypatch.setattr(library_totals, "INLINE_S", 0)
    assert KnownTotals(db).get() == (counted, True)
    monkeypatch.setattr(library_totals, "IDLE_PER_WORK", 1e6)
    assert KnownTotals(db).get() == (counted, False)


def test_totals_that_another_version_has_kept_are_counted_again(db):
    with db.begin() as session:
        session.add(KeptTotals(id=1, counted_at=LONG_AGO, took_s=1e9, facts={"songs": 7}))
    assert KnownTotals(db).get()[0].tracks == 0


def keep(db: SessionFactory, counted_at: datetime) -> None:
    KnownTotals(db).count()
    with db.begin() as session:
        session.execute(update(KeptTotals).values(counted_at=counted_at))


def test_totals_from_a_clock_that_was_ahead_grow_old_too(db, monkeypatch):
    monkeypatch.setattr(library_totals, "INLINE_S", 0)
    keep(db, datetime(2999, 1, 1, tzinfo=UTC))
    assert KnownTotals(db).get()[1] is True


@pytest.mark.parametrize(("inline_s", "shown"), [(60, ("other@1", False)), (0, ("test-model@1", True))])
def test_totals_are_old_once_another_model_is_the_default_one(db, monkeypatch, inline_s, shown):
    monkeypatch.setattr(library_totals, "IDLE_PER_WORK", 1e6)
    monkeypatch.setattr(library_totals, "INLINE_S", inline_s)
    with db.begin() as session:
        make_model(session)
        other = make_model(session, alias=None, name="other").id
    known = KnownTotals(db)
    known.count()
    assert known.get()[1] is False
    with db.begin() as session:
        session.execute(update(ModelAlias).values(model_id=other))
    totals, is_old = known.get()
    assert (totals.model, is_old) == shown
    known.renew()
    assert known.get()[1] is False


def test_totals_are_counted_where_nothing_can_be_written(db, caplog):
    with db.begin() as session:
        make_track(session)
    standby = create_engine(
        db.kw["bind"].url, connect_args={"options": "-c default_transaction_read_only=on"}
    )
    known = KnownTotals(create_session_factory(standby))
    assert known.get()[0].tracks == 1
    assert known.get()[0].tracks == 1
    standby.dispose()
    assert "the totals of the libraries cannot be kept" in caplog.text


def test_totals_that_are_quick_to_count_are_always_new(http, db):
    counts = []
    for _ in range(2):
        counts.append(http.get(SYSTEM).json()["library"]["tracks"])
        with db.begin() as session:
            make_track(session)
    assert counts == [0, 1]


@pytest.mark.parametrize(("scope", "scopes"), [("read", ["read"]), ("admin", ["read", "write", "admin"])])
def test_a_key_is_told_what_it_is(keyed_http, db, scope, scopes):
    until = datetime(2999, 1, 1, tzinfo=UTC)
    with db.begin() as session:
        key, secret = make_api_key(session, scope, name="player", expires_at=until)
    me = keyed_http.get(ME, headers=bearer(secret)).json()
    assert me == {
        "needs_key": True,
        "key_id": str(key.id),
        "name": "player",
        "scopes": scopes,
        "expires_at": "2999-01-01T00:00:00Z",
    }


def test_a_server_without_keys_says_that_everybody_may_do_everything(http):
    me = http.get(ME).json()
    assert (me["needs_key"], me["name"], me["scopes"]) == (False, None, ["read", "write", "admin"])


def test_finished_jobs_are_not_among_the_open_ones(http, db):
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        make_finished_job(session, library, model, [make_track(session, library)])
        running = make_job(session, state=JobState.RUNNING)
    system = http.get(SYSTEM).json()
    assert [job["id"] for job in system["jobs"]] == [str(running.id)]
    assert system["open_jobs"]["running"] == 1
