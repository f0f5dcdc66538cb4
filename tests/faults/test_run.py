"""A run says so when it has not tested what it should, or could not."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psutil
import pytest

from tests.faults import messages
from tests.faults import run as runs
from tests.faults.history import Acknowledged, History, Move, StoredJob
from tests.faults.injection import Injected, end
from tests.faults.schedule import SCALES, Fault
from tests.faults.system import wait_until

CLAIM = UUID(int=1)
CI = SCALES["ci"]
REAPED = Move("unit", "job", 1, None, "running", "ready", CLAIM, False, True, "mfa 20", 100, 0.0)
CANCELLED = Acknowledged("key", frozenset({"job"}), {}, is_cancelled=True)
RETRY = StoredJob("retry", "analysis", "retry", "succeeded", 2, is_retry=True)
FIGURES = {"messages": 10, "repeated_messages": 20, "tracks": CI.tracks}


def shortfalls(**changed: Any) -> list[str]:
    """Of a run that has tested everything, but for what is changed."""
    moves, acknowledged = changed.pop("moves", [REAPED]), changed.pop("acknowledged", [CANCELLED])
    jobs = changed.pop("jobs", [RETRY])
    stopped = [Injected(Fault.ZOMBIE, 1.0, claims=[CLAIM])]
    injector: Any = SimpleNamespace(
        injected=stopped, refused_zombies=changed.pop("refused_zombies", 1), unrefused_zombies=[]
    )
    history = History(moves=moves, acknowledged=acknowledged, jobs=jobs)
    return list(runs._shortfalls(CI, history, injector, FIGURES | changed))


def test_a_run_that_tested_everything_has_no_shortfall():
    assert shortfalls() == []


@pytest.mark.parametrize(
    "changed",
    [
        {"moves": []},
        {"acknowledged": []},
        {"jobs": []},
        {"refused_zombies": 0},
        {"repeated_messages": 19},
        {"tracks": CI.tracks - 1},
    ],
)
def test_what_was_not_tested_is_reported(changed):
    assert len(shortfalls(**changed)) == 1


def test_a_goal_without_a_sample_is_not_reached():
    fast = {str(fault): {"p95_s": 1.0} for fault in runs.RECOVERY_GOALS_S}
    slow = {str(fault): {"p95_s": 1000.0} for fault in runs.RECOVERY_GOALS_S}
    assert list(runs._missed_goals(fast)) == []
    assert {missed["kind"] for missed in runs._missed_goals(slow)} == {"slow"}
    assert {missed["kind"] for missed in runs._missed_goals({})} == {"not tested"}


def test_only_points_that_were_passed_count_as_kills():
    injected = [Injected(Fault.FAILPOINT, 1.0, point) for point in ("plan-done", "plan-ended")]
    others = [Injected(kind, 2.0) for kind in (Fault.KILL_CHILD, "kill api", "kill valkey", "missed")]
    assert runs._kills([*injected, *others], armed={"plan-ended"}) == 3


def test_a_run_that_breaks_off_is_reported(tmp_path, monkeypatch):
    @contextmanager
    def no_system(*_: object) -> Iterator[None]:
        raise RuntimeError("nothing starts here")
        yield

    monkeypatch.setattr(runs, "running_system", no_system)
    report = runs.run(1, "ci", tmp_path)
    assert report["verdict"] == "broken"
    assert [each["kind"] for each in report["broken"]] == ["harness"]
    written = json.loads(Path(report["file"]).read_text())
    assert "nothing starts here" in written["broken"][0]["what"]


def test_what_ends_the_repeating_of_messages_is_reported(monkeypatch):
    def fail(_: object) -> None:
        raise RuntimeError("no messages here")

    monkeypatch.setattr(messages, "make_celery", fail)
    system: Any = SimpleNamespace(settings=None)
    with pytest.raises(RuntimeError, match="no messages here"), messages.Repeater(system, 1):
        pass


def test_only_a_living_process_can_be_killed():
    with subprocess.Popen(["sleep", "60"]) as child:
        process = psutil.Process(child.pid)
        assert end(process, signal.SIGKILL)
        assert wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, 5)
        assert not end(process, signal.SIGKILL)
    assert not end(process, signal.SIGKILL)
