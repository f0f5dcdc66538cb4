"""The triggers log every write that the checker reads, also those of other programs."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from core.jobs.claims import expire_lease, renew_lease
from core.store.session import SessionFactory, transaction
from tests.faults.checker import check
from tests.faults.history import History, Move
from tests.faults.record import MOVES
from tests.faults.system import AUDIT
from tests.support.planned import claim, expire, plan_job, reap, record


@pytest.fixture
def audited(clean_database: SessionFactory) -> Iterator[SessionFactory]:
    with transaction(clean_database) as session:
        session.execute(text(AUDIT.read_text()))
    yield clean_database
    with transaction(clean_database) as session:
        session.execute(text("DROP SCHEMA faults CASCADE"))


def moves(sessions: SessionFactory) -> list[Move]:
    with sessions() as session:
        return [Move(*row) for row in session.execute(text(MOVES))]


def in_short(sessions: SessionFactory) -> list[tuple[str, str, str]]:
    return [(move.what, move.old, move.new) for move in moves(sessions)]


def test_what_a_holder_writes_is_logged_and_kept_apart_from_its_claim(audited):
    planned = plan_job(audited, 2)
    claimed = claim(audited, planned.unit_ids[0])
    with transaction(audited) as session:
        renew_lease(session, claimed)
    record(audited, claimed, [0])
    assert in_short(audited) == [
        ("unit", "ready", "running"),
        ("job", "queued", "running"),
        ("unit", "running", "running"),
        ("item", "pending", "done"),
        ("unit", "running", "running"),
    ]
    assert [move.is_claim for move in moves(audited)] == [True, False, False, False, False]
    assert not any(move.late for move in moves(audited))
    assert check(History(moves=moves(audited))) == []


def test_to_cut_a_lease_short_and_to_reap_is_no_late_write(audited):
    planned = plan_job(audited, 1)
    claim(audited, planned.unit_ids[0])
    with transaction(audited) as session:
        expire_lease(session, f"task of {planned.unit_ids[0]}")
    assert reap(audited) == 1
    assert in_short(audited)[2:] == [("unit", "running", "ready")]
    assert moves(audited)[-1].is_reaping


@pytest.mark.parametrize(
    "change",
    [
        "lease_until = clock_timestamp() + interval '1 minute'",
        "claim_id = gen_random_uuid()",
        "done = 1",
        "failed = 1",
        "skipped = 1",
        'payload = \'{"after": "b"}\'',
        "timings = '{\"store\": 1}'",
        "state = 'done', claim_id = NULL, lease_until = NULL",
    ],
)
def test_a_write_under_an_expired_lease_is_found(audited, change):
    planned = plan_job(audited, 1)
    claim(audited, planned.unit_ids[0])
    expire(audited, planned.unit_ids[0])
    with transaction(audited) as session:
        session.execute(text(f"UPDATE job_units SET {change}"))
    assert [violation.kind for violation in check(History(moves=moves(audited)))] == ["zombie"]


def test_an_outcome_under_an_expired_lease_is_found(audited):
    planned = plan_job(audited, 1)
    claim(audited, planned.unit_ids[0])
    expire(audited, planned.unit_ids[0])
    with transaction(audited) as session:
        session.execute(text("UPDATE job_items SET state = 'done'"))
    assert [violation.kind for violation in check(History(moves=moves(audited)))] == ["zombie"]
