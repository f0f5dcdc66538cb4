"""The checker finds every kind of broken promise: each is planted in a history that keeps them all."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from tests.faults.checker import LABELLED, check
from tests.faults.history import (
    Acknowledged,
    Answer,
    Effect,
    History,
    Move,
    StoredItem,
    StoredJob,
    StoredUnit,
)

JOB, OTHER_JOB = "job-1", "job-2"
UPLOAD = StoredJob("job-3", "predict", "upload", "succeeded", 1, result="cc", ended=1)
UPLOADED = Acknowledged("upload", frozenset({UPLOAD.id}), {}, upload="cc")
REAPING = 103  # the transaction that took the unit from its first claim
CLAIM, LATER_CLAIM = UUID(int=1), UUID(int=2)
WORKER, ZOMBIE, DISPATCHER = "mfa 10", "mfa 11", "mfa 20"
UNIT = 7
Change = Callable[[History], History]


def move(what: str, old: str, new: str, writer: str = WORKER, **values: object) -> Move:
    pos = values.pop("pos", None)
    defaults: dict[str, object] = {
        "job_id": JOB,
        "unit_id": None if what == "job" else UNIT,
        "pos": pos,
        "claim_id": None if what == "job" else CLAIM,
        "lease_live": None if what == "job" else True,
        "late": None if what == "job" else False,
        "xid": 100,
        "at": 0.0,
    }
    return Move(what=what, old=old, new=new, writer=writer, **{**defaults, **values})  # type: ignore[arg-type]


def history() -> History:
    """A job of two tracks, one of which is no audio; its unit was lost once and ended by the second claim.

    Beside it an upload, whose job, unit and prediction are there.
    """
    return History(
        acknowledged=[
            Acknowledged("key", frozenset({JOB}), {"a.mp3": LABELLED, "b.mp3": "not_audio"}),
            UPLOADED,
        ],
        answers=[Answer(JOB, "running", 2, 1, 0, 0), Answer(JOB, "succeeded", 2, 1, 1, 0)],
        jobs=[StoredJob(JOB, "analysis", "key", "succeeded", 2, ended=2), UPLOAD],
        units=[
            StoredUnit(6, JOB, "plan", "done", 0, 0, 0),
            StoredUnit(UNIT, JOB, "analyse", "done", 1, 1, 0),
            StoredUnit(8, UPLOAD.id, "predict", "done", 1, 0, 0),
        ],
        items=[
            StoredItem(UNIT, 0, JOB, "a.mp3", "done", None, True),
            StoredItem(UNIT, 1, JOB, "b.mp3", "failed", "not_audio", False),
        ],
        moves=[
            move("unit", "ready", "running", lease_live=False),
            move("item", "pending", "done", pos=0, xid=101),
            move("unit", "running", "running", xid=101),
            move("unit", "running", "ready", DISPATCHER, xid=REAPING, lease_live=False, late=True),
            move("unit", "ready", "running", ZOMBIE, claim_id=LATER_CLAIM, lease_live=False),
            move("item", "pending", "failed", ZOMBIE, pos=1, claim_id=LATER_CLAIM, xid=102),
            move("unit", "running", "done", ZOMBIE, claim_id=LATER_CLAIM),
            move("job", "running", "succeeded", ZOMBIE),
        ],
        effects=[Effect("aa", 1, WORKER, 101)],
    )


def cancelled_history() -> History:
    """The same, cancelled by its client after the first track."""
    known = history()
    return replace(
        known,
        acknowledged=[replace(known.acknowledged[0], is_cancelled=True)],
        answers=[Answer(JOB, "cancelling", 2, 1, 0, 0), Answer(JOB, "cancelled", 2, 1, 0, 0)],
        jobs=[StoredJob(JOB, "analysis", "key", "cancelled", 2, ended=1)],
        units=[
            StoredUnit(6, JOB, "plan", "done", 0, 0, 0),
            StoredUnit(UNIT, JOB, "analyse", "cancelled", 1, 0, 0),
        ],
        items=[known.items[0], replace(known.items[1], state="pending", error_code=None)],
        moves=[
            *known.moves[:2],
            move("job", "running", "cancelling", "mfa 30"),
            move("unit", "running", "cancelled"),
            move("job", "cancelling", "cancelled"),
        ],
    )


@pytest.mark.parametrize("kept", [history(), cancelled_history()], ids=["done", "cancelled"])
def test_a_history_that_keeps_every_promise_is_clean(kept: History) -> None:
    assert check(kept) == []


def with_(field: str, *rows: object) -> Change:
    return lambda known: replace(known, **{field: [*getattr(known, field), *rows]})


def before_the_end(*moves: Move) -> Change:
    return lambda known: replace(known, moves=[*known.moves[:-1], *moves, known.moves[-1]])


def without_last(field: str) -> Change:
    return lambda known: replace(known, **{field: getattr(known, field)[:-1]})


def changed(field: str, index: int, **values: object) -> Change:
    def change(known: History) -> History:
        rows = list(getattr(known, field))
        rows[index] = replace(rows[index], **values)
        return replace(known, **{field: rows})

    return change


@pytest.mark.parametrize(
    ("kind", "plant"),
    [
        pytest.param("lost", changed("jobs", 0, state="running"), id="never ended"),
        pytest.param("lost", changed("jobs", 0, state="succeeded"), id="done all the same"),
        pytest.param("lost", changed("items", 1, state="failed", error_code="crashed"), id="condemned"),
        pytest.param("lost", changed("units", 1, state="ready"), id="unit left open"),
        pytest.param("counters", changed("units", 1, done=2), id="counter too high"),
        pytest.param("counters", changed("jobs", 0, ended=3), id="job counts too much"),
        pytest.param("terminal", with_("moves", move("item", "pending", "done", pos=1)), id="work goes on"),
        pytest.param("answers", with_("answers", Answer(JOB, "running", 2, 1, 0, 0)), id="end taken back"),
        pytest.param("answers", changed("answers", 1, state="succeeded"), id="cancel taken back"),
    ],
)
def test_a_violation_planted_into_a_cancelled_job_is_found(kind: str, plant: Change) -> None:
    assert kind in {violation.kind for violation in check(plant(cancelled_history()))}


@pytest.mark.parametrize(
    ("kind", "plant"),
    [
        pytest.param(
            "lost", with_("acknowledged", Acknowledged("k", frozenset({"x"}), {})), id="no such job"
        ),
        pytest.param(
            "lost", with_("acknowledged", Acknowledged("k", frozenset(), {})), id="no job of a result"
        ),
        pytest.param("lost", changed("jobs", 0, state="running"), id="never ended"),
        pytest.param("lost", changed("jobs", 0, state="failed"), id="given up"),
        pytest.param("lost", without_last("items"), id="item missing"),
        pytest.param("lost", changed("units", 1, state="running"), id="unit left open"),
        pytest.param("lost", changed("jobs", 1, result=None), id="no prediction of an upload"),
        pytest.param("lost", changed("jobs", 1, result="dd"), id="prediction of another upload"),
        pytest.param("lost", changed("items", 0, state="pending"), id="item without outcome"),
        pytest.param("lost", changed("items", 0, has_result=False), id="outcome without result"),
        pytest.param("lost", changed("items", 0, state="failed", error_code="crashed"), id="condemned"),
        pytest.param(
            "doubled", changed("acknowledged", 0, job_ids=frozenset({JOB, OTHER_JOB})), id="two answers"
        ),
        pytest.param(
            "doubled", with_("jobs", StoredJob(OTHER_JOB, "analysis", "key", "failed", 0)), id="two jobs"
        ),
        pytest.param(
            "doubled",
            with_("items", StoredItem(8, 0, JOB, "a.mp3", "done", None, True)),
            id="two items of a track",
        ),
        pytest.param(
            "doubled",
            with_("moves", move("item", "done", "done", ZOMBIE, pos=0, claim_id=LATER_CLAIM)),
            id="two outcomes of an item",
        ),
        pytest.param("doubled", with_("effects", Effect("aa", 1, ZOMBIE, 102)), id="two predictions"),
        pytest.param(
            "zombie",
            with_("moves", move("item", "pending", "done", pos=5, claim_id=LATER_CLAIM)),
            id="late outcome",
        ),
        pytest.param(
            "zombie",
            with_("moves", move("item", "pending", "done", pos=5, claim_id=LATER_CLAIM, lease_live=False)),
            id="late outcome under an expired lease",
        ),
        pytest.param(
            "zombie", with_("moves", move("item", "pending", "done", pos=5, claim_id=None)), id="unclaimed"
        ),
        pytest.param(
            "zombie",
            with_("moves", move("unit", "running", "done", claim_id=LATER_CLAIM)),
            id="late end of a unit",
        ),
        pytest.param(
            "zombie",
            with_("moves", move("unit", "running", "ready", DISPATCHER)),
            id="taken from a live holder",
        ),
        pytest.param(
            "zombie",
            with_("moves", move("unit", "running", "running", claim_id=LATER_CLAIM)),
            id="counted late",
        ),
        pytest.param(
            "zombie",
            with_("moves", move("unit", "running", "running", ZOMBIE, claim_id=LATER_CLAIM, late=True)),
            id="renewed after its end",
        ),
        pytest.param(
            "zombie",
            with_("moves", move("item", "pending", "done", pos=5, lease_live=False, late=True)),
            id="outcome under one's own expired lease",
        ),
        pytest.param(
            "zombie",
            with_("moves", move("item", "pending", "done", DISPATCHER, pos=5, xid=REAPING, lease_live=False)),
            id="outcome by a reaper",
        ),
        pytest.param("counters", changed("units", 1, done=2), id="counter too high"),
        pytest.param("counters", changed("jobs", 0, ended=3), id="job counts too much"),
        pytest.param("counters", changed("jobs", 0, total=3), id="total too high"),
        pytest.param("terminal", with_("moves", move("job", "succeeded", "running")), id="job rises again"),
        pytest.param("terminal", with_("moves", move("unit", "done", "ready")), id="unit rises again"),
        pytest.param("terminal", with_("moves", move("item", "done", "failed", pos=0)), id="outcome changes"),
        pytest.param("terminal", with_("moves", move("unit", "ready", "running")), id="work after the end"),
        pytest.param("answers", with_("answers", Answer(JOB, "running", 2, 1, 1, 0)), id="end taken back"),
        pytest.param(
            "answers", with_("answers", Answer(JOB, "succeeded", 2, 0, 1, 0)), id="progress taken back"
        ),
        pytest.param("answers", changed("answers", 1, done=2), id="more outcomes than tracks"),
        pytest.param("answers", changed("answers", 1, state="cancelled"), id="another end"),
    ],
)
def test_a_planted_violation_is_found(kind: str, plant: Change) -> None:
    assert kind in {violation.kind for violation in check(plant(history()))}


def test_a_write_repeated_by_its_own_claim_is_none():
    """The answer to a commit may get lost."""
    repeated = before_the_end(move("item", "done", "done", pos=0, xid=104))
    assert check(with_("effects", Effect("aa", 1, WORKER, 104))(repeated(history()))) == []


def test_an_answer_that_is_the_result_needs_to_name_no_job():
    assert check(changed("acknowledged", 0, job_ids=frozenset())(history())) == []


def test_a_reaper_may_leave_an_item_alone():
    taking = {"xid": REAPING, "lease_live": False, "late": True}
    quarantined = move("item", "pending", "failed", DISPATCHER, pos=3, **taking)
    counted = move("unit", "running", "running", DISPATCHER, **taking)
    assert check(before_the_end(quarantined, counted)(history())) == []


def test_what_began_under_a_live_lease_may_end_after_it():
    """The lock on the unit keeps its reaper out until then."""
    slow = move("item", "pending", "done", pos=5, xid=104, lease_live=False)
    assert check(before_the_end(slow)(history())) == []
