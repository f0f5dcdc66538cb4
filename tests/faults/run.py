"""One run: start the product, hurt it as a seed says while clients use it, let it heal, and judge."""

import json
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.faults.checker import check
from tests.faults.client import Clients, NeverAcknowledged
from tests.faults.doorbells import Repeater
from tests.faults.injection import MISSED, Injected, Injector
from tests.faults.record import read_history, summary
from tests.faults.recovery import percentile, reaped, recovery_times
from tests.faults.schedule import SCALES, Fault, Planned, Scale, draw
from tests.faults.system import System, running_system

OPEN_JOBS = 2  # that clients keep the product busy with
HEAL_S = 180.0  # beside the lease
POINT_S = 30.0  # until an armed point must have been passed
RECOVERY_GOALS_S = {Fault.KILL_PARENT: 100.0, Fault.KILL_CHILD: 10.0}  # p95, at full scale


def run(seed: int, scale_name: str, report_folder: Path) -> dict[str, Any]:
    """The report, which is also written as JSON; its `verdict` is `kept` or `broken`."""
    scale = SCALES[scale_name]
    started, begun = datetime.now(UTC), time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="mfa-faults-") as folder,
        running_system(Path(folder), scale.lease_s) as system,
    ):
        report = _hurt(system, seed, scale)
    report = {
        "seed": seed,
        "scale": scale_name,
        "started_at": started.isoformat(timespec="seconds"),
        "took_s": round(time.monotonic() - begun, 1),
        **report,
    }
    if scale_name == "full":
        report["broken"] += _missed_goals(report["recovery"])
    report["verdict"] = "broken" if report["broken"] else "kept"
    report_folder.mkdir(parents=True, exist_ok=True)
    name = f"{started:%Y%m%dT%H%M%S}-{scale_name}-{seed}.json"
    (report_folder / name).write_text(json.dumps(report, default=_as_json) + "\n")
    return report | {"file": str(report_folder / name)}


def _hurt(system: System, seed: int, scale: Scale) -> dict[str, Any]:
    schedule = draw(seed, scale)
    broken: list[dict[str, str]] = []
    with Clients(system.stack.url, seed, system.music, scale.tracks_per_job) as clients:
        injector = Injector(system, clients)
        with Repeater(system, seed) as repeater:
            for planned in schedule:
                _keep_busy(clients)
                time.sleep(planned.pause_s)
                if planned.fault is Fault.ZOMBIE:
                    _wait(lambda: not injector.is_zombie_out, system.settings.lease_s + 30)
                injector.inject(planned)
            while clients.tracks < scale.tracks:
                clients.submit_folder()
            _wait(lambda: not injector.is_zombie_out, system.settings.lease_s + 30)
            _pass_points(system, clients)
            injector.heal()
            try:
                ended = clients.wait(scale.lease_s + HEAL_S)
            except (NeverAcknowledged, TimeoutError) as error:
                ended = False
                broken.append({"kind": "unacknowledged", "what": str(error)})
            if not ended:
                broken.append({"kind": "stuck", "what": f"{clients.open_jobs()} jobs did not end"})
        history = read_history(system, clients)
        broken += [asdict(violation) for violation in check(history)]
        broken += [
            {"kind": "not tested", "what": f"nothing passed the point {point.name}"}
            for point in system.armed.iterdir()
        ]
        broken += [
            {"kind": "told", "what": f"{count} requests were answered with {status}"}
            for status, count in clients.answers.items()
            if status.isdigit() and status not in ("200", "201", "202", "503")
        ]
        broken += [
            {"kind": "not tested", "what": fault.detail}
            for fault in injector.injected
            if fault.fault == MISSED
        ]
        zombies = [fault.claims for fault in injector.injected if fault.fault == Fault.ZOMBIE]
        if (
            sum(claim in reaped(history) for claims in zombies for claim in claims)
            < scale.faults[Fault.ZOMBIE]
        ):
            broken.append({"kind": "not tested", "what": "a stopped worker kept its unit"})
        recovery = recovery_times(history, injector.injected)
        return {
            "schedule": [asdict(planned) for planned in schedule],
            "timeline": [asdict(fault) for fault in injector.injected],
            "faults": Counter(fault.fault for fault in injector.injected),
            "kills": _kills(injector.injected, schedule),
            "summary": summary(history) | {"repeated_doorbells": repeater.repeated},
            "http": clients.answers,
            "recovery": {kind: _figures(values) for kind, values in recovery.items()},
            "broken": broken,
            "history": {name: _table(rows) for name, rows in vars(history).items()},
        }


def _keep_busy(clients: Clients) -> None:
    while clients.open_jobs() < OPEN_JOBS:
        clients.submit_folder()


def _wait(condition: Any, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def _pass_points(system: System, clients: Clients) -> None:
    """Let work pass the points that are still armed."""
    for _ in range(5):
        if not any(system.armed.iterdir()):
            return
        clients.submit_folder()
        clients.submit_upload()
        _wait(lambda: not any(system.armed.iterdir()), POINT_S / 5)


def _kills(injected: list[Injected], schedule: list[Planned]) -> int:
    """Processes that died by SIGKILL, those at crash points among them."""
    points = sum(planned.fault is Fault.CRASH_AT for planned in schedule)
    return points + sum(
        fault.fault.startswith("kill ") and fault.fault != "kill valkey" for fault in injected
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


def _missed_goals(recovery: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    return [
        {"kind": "slow", "what": f"{fault}: p95 of the recovery is {recovery[fault]['p95_s']} s"}
        for fault, goal_s in RECOVERY_GOALS_S.items()
        if fault in recovery and recovery[fault]["p95_s"] > goal_s
    ]
