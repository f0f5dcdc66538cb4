"""One run: start the product, hurt it as a seed says while clients use it, let it heal, and check."""

import json
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.checker import check
from tests.faults.client import Clients, NeverAcknowledged
from tests.faults.history import History
from tests.faults.injection import MISSED, Injected, Injector
from tests.faults.messages import COPIES, Repeater
from tests.faults.record import read_history, summary
from tests.faults.recovery import percentile, reaped, recovery_times
from tests.faults.schedule import SCALES, Fault, Planned, Scale, draw
from tests.faults.system import System, running_system, wait_until

OPEN_JOBS = 2  # that clients keep the product busy with
HEAL_S = 180.0  # beside the lease
ZOMBIE_BACK_S = 90.0  # beside the lease
POINT_S = 30.0  # until an armed point must have been passed
RECOVERY_GOALS_S = {Fault.KILL_PARENT: 100.0, Fault.KILL_CHILD: 10.0}  # p95, at full scale


def run(seed: int, scale_name: str, report_folder: Path) -> dict[str, Any]:
    """The report, which is also written as JSON; its `verdict` is `kept` or `broken`.

    A run that breaks off reports what is known by then, and why under the kind `harness`.
    """
    scale = SCALES[scale_name]
    started, begun = datetime.now(UTC), time.monotonic()
    report: dict[str, Any] = {
        "seed": seed,
        "scale": scale_name,
        "started_at": started.isoformat(timespec="seconds"),
        "kills": 0,
        "summary": {},
        "recovery": {},
        "broken": [],
    }
    with _reported(report):
        with (
            tempfile.TemporaryDirectory(prefix="mfa-faults-") as folder,
            running_system(Path(folder), scale.lease_s) as system,
        ):
            _hurt_and_judge(system, seed, scale, report)
        if scale_name == "full":
            report["broken"] += _missed_goals(report["recovery"])
    report["took_s"] = round(time.monotonic() - begun, 1)
    report["verdict"] = "broken" if report["broken"] else "kept"
    report_folder.mkdir(parents=True, exist_ok=True)
    name = f"{started:%Y%m%dT%H%M%S}-{scale_name}-{seed}.json"
    (report_folder / name).write_text(json.dumps(report, default=_as_json) + "\n")
    return report | {"file": str(report_folder / name)}


@contextmanager
def _reported(report: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except Exception:
        report["broken"].append({"kind": "harness", "what": traceback.format_exc()})


def _hurt_and_judge(system: System, seed: int, scale: Scale, report: dict[str, Any]) -> None:
    schedule = draw(seed, scale)
    report["schedule"] = [asdict(planned) for planned in schedule]
    with Clients(system.stack.url, seed, system.music, scale.tracks_per_job) as clients:
        injector, repeater = Injector(system, clients), Repeater(system, seed)
        with _reported(report), repeater:
            try:
                with _reported(report):
                    _hurt(system, schedule, scale, clients, injector)
            finally:
                injector.heal()
            report["timeline"] = [asdict(fault) for fault in injector.injected]
            report["broken"] += _unended(clients, scale)
        history = read_history(system, clients)
    armed = {point.name for point in system.armed.iterdir()}
    figures = summary(history) | {"repeated_messages": repeater.repeated}
    recovery = recovery_times(history, injector.injected)
    report |= {
        "faults": Counter(fault.fault for fault in injector.injected),
        "kills": _kills(injector.injected, armed),
        "summary": figures,
        "http": clients.answers,
        "recovery": {kind: _figures(values) for kind, values in recovery.items()},
        "history": {name: _table(rows) for name, rows in vars(history).items()},
    }
    report["broken"] += [asdict(violation) for violation in check(history)]
    report["broken"] += [
        {"kind": "answers", "what": f"{count} requests were answered with {status}"}
        for status, count in clients.answers.items()
        if status.isdigit() and status not in ("200", "201", "202", "503")
    ]
    report["broken"] += [
        {"kind": "not tested", "what": what}
        for what in (
            *(f"nothing passed the point {point}" for point in armed),
            *(fault.detail for fault in injector.injected if fault.fault == MISSED),
            *_shortfalls(scale, history, injector, figures),
        )
    ]


def _hurt(
    system: System, schedule: list[Planned], scale: Scale, clients: Clients, injector: Injector
) -> None:
    """All faults of the schedule, over as many tracks as the scale wants."""

    def await_zombie() -> None:
        wait_until(lambda: not injector.is_zombie_out, system.settings.lease_s + ZOMBIE_BACK_S)

    for planned in schedule:
        _keep_busy(clients)
        time.sleep(planned.pause_s)
        if planned.fault in (Fault.ZOMBIE, Fault.FILL_DISK):  # one at a time, and none when nothing is logged
            await_zombie()
        injector.inject(planned)
    while clients.tracks < scale.tracks:
        clients.submit_folder()
    wait_until(clients.submit_retry, HEAL_S)
    await_zombie()
    _pass_points(system, clients)


def _keep_busy(clients: Clients) -> None:
    clients.submit_retry()
    while clients.open_jobs() < OPEN_JOBS:
        clients.submit_folder()


def _pass_points(system: System, clients: Clients) -> None:
    """Let work pass the points that are still armed."""
    for _ in range(5):
        if not any(system.armed.iterdir()):
            return
        clients.submit_folder()
        clients.submit_upload()
        wait_until(lambda: not any(system.armed.iterdir()), POINT_S / 5)


def _unended(clients: Clients, scale: Scale) -> list[dict[str, str]]:
    """Jobs that do not end although nothing disturbs them any more."""
    try:
        if clients.wait(scale.lease_s + HEAL_S):
            return []
    except NeverAcknowledged as error:
        return [{"kind": "unacknowledged", "what": str(error)}]
    return [{"kind": "stuck", "what": f"{clients.open_jobs()} jobs did not end"}]


def _shortfalls(scale: Scale, history: History, injector: Injector, figures: dict[str, int]) -> Iterator[str]:
    """What the run should have put to the test and has not."""
    zombies = {claim for fault in injector.injected if fault.fault == Fault.ZOMBIE for claim in fault.claims}
    wanted, copies = scale.faults[Fault.ZOMBIE], COPIES * figures["messages"]
    cancelled = sum(acknowledged.is_cancelled for acknowledged in history.acknowledged)
    if len(zombies & reaped(history)) < wanted:
        yield "a stopped worker kept its unit"
    if injector.refused_zombies < wanted:
        yield (
            f"of {wanted} stopped workers {injector.refused_zombies} woke and noticed that they are late; "
            f"the others: {injector.unrefused_zombies}"
        )
    if figures["repeated_messages"] < copies:
        yield f"{figures['repeated_messages']} copies of messages were delivered instead of {copies}"
    if figures["tracks"] < scale.tracks:
        yield f"{figures['tracks']} tracks instead of {scale.tracks}"
    if not cancelled:
        yield "no job was cancelled in the middle"
    if not any(job.is_retry for job in history.jobs):
        yield "no job was retried"


def _kills(injected: list[Injected], armed: set[str]) -> int:
    """Processes that died by SIGKILL, those at crash points among them."""
    return sum(
        fault.detail not in armed
        if fault.fault == Fault.FAILPOINT
        else fault.fault.startswith("kill ") and fault.fault != "kill valkey"
        for fault in injected
    )


def _as_json(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def _table(rows: list[Any]) -> list[list[Any]]:
    """A head line, then the values of each row."""
    return [list(vars(rows[0])), *(list(vars(row).values()) for row in rows)] if rows else []


def _figures(values: list[float]) -> dict[str, Any]:
    return {
        "count": len(values),
        "median_s": percentile(values, 0.5),
        "p95_s": percentile(values, 0.95),
        "max_s": values[-1],
        "all_s": values,
    }


def _missed_goals(recovery: dict[str, dict[str, Any]]) -> Iterator[dict[str, str]]:
    for fault, goal_s in RECOVERY_GOALS_S.items():
        if fault not in recovery:
            yield {"kind": "not tested", "what": f"{fault}: nothing had to recover"}
        elif recovery[fault]["p95_s"] > goal_s:
            yield {"kind": "slow", "what": f"{fault}: p95 of the recovery is {recovery[fault]['p95_s']} s"}
