"""What goes wrong, and when: drawn from a seed, so that a run can be repeated."""

import random
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    KILL_CHILD = "kill a child of a worker"
    KILL_PARENT = "kill a worker with its children"
    KILL_DISPATCHER = "kill the dispatcher"
    KILL_GATEWAY = "kill the gateway"
    FAILPOINT = "die at a failpoint"
    ZOMBIE = "stop a child beyond its lease"
    FLUSH = "flush the broker"
    RESTART_BROKER = "restart the broker empty"
    PAUSE_BROKER = "pause the broker"
    RESTART_DATABASE = "restart the database at once"
    CUT_CONNECTIONS = "cut the connections of the database"
    FILL_DISK = "let no file grow"


KILLS = (Fault.KILL_CHILD, Fault.KILL_PARENT, Fault.KILL_DISPATCHER, Fault.KILL_GATEWAY)
FLUSHES = (Fault.FLUSH, Fault.RESTART_BROKER)

UNIT_POINTS = ("claimed", "written", "committed", "done", "ending", "ended")
FAILPOINTS = (
    *(f"{kind}-{point}" for kind in ("plan", "analyse", "predict") for point in UNIT_POINTS),
    "dispatcher-marked",
    "dispatcher-published",
    "dispatcher-reaped",
    "request-done",
    "request-committed",
    "upload-stored",
    "upload-committed",
)


@dataclass(frozen=True)
class Scale:
    tracks: int  # at least
    tracks_per_job: int
    lease_s: float
    max_pause_s: float  # between two faults, beside what the system needs to get busy again
    faults: dict[Fault, int]
    failpoints: int  # how many of them

    @property
    def kills(self) -> int:
        return sum(self.faults[kind] for kind in KILLS)


SCALES = {
    # Short leases: what takes 90 s of waiting in production takes 8 s here.
    "ci": Scale(
        tracks=300,
        tracks_per_job=30,
        lease_s=8.0,
        max_pause_s=1.5,
        faults={
            Fault.KILL_CHILD: 6,
            Fault.KILL_PARENT: 2,
            Fault.KILL_DISPATCHER: 1,
            Fault.KILL_GATEWAY: 1,
            Fault.ZOMBIE: 1,
            Fault.FLUSH: 1,
            Fault.RESTART_BROKER: 1,
            Fault.PAUSE_BROKER: 1,
            Fault.RESTART_DATABASE: 1,
            Fault.CUT_CONNECTIONS: 1,
            Fault.FILL_DISK: 1,
        },
        failpoints=7,
    ),
    # A fifth of 200 kills over 10,000 tracks, 20 flushes, 20 restarts of the database and 20 zombies.
    "full": Scale(
        tracks=2000,
        tracks_per_job=50,
        lease_s=90.0,
        max_pause_s=8.0,
        faults={
            Fault.KILL_CHILD: 28,
            Fault.KILL_PARENT: 6,
            Fault.KILL_DISPATCHER: 3,
            Fault.KILL_GATEWAY: 3,
            Fault.ZOMBIE: 4,
            Fault.FLUSH: 2,
            Fault.RESTART_BROKER: 2,
            Fault.PAUSE_BROKER: 2,
            Fault.RESTART_DATABASE: 4,
            Fault.CUT_CONNECTIONS: 2,
            Fault.FILL_DISK: 1,
        },
        failpoints=len(FAILPOINTS),
    ),
}


@dataclass(frozen=True)
class Planned:
    fault: Fault
    pause_s: float  # before it
    pick: float  # 0 to 1: which of the candidates it hits, or for how long
    point: str = ""  # of CRASH_AT


def draw(seed: int, scale: Scale) -> list[Planned]:
    """The faults of a run in their order. A zombie takes long to come back, so zombies come evenly early."""
    source = random.Random(seed)
    kinds: list[Fault] = [
        fault for fault, count in scale.faults.items() if fault is not Fault.ZOMBIE for _ in range(count)
    ]
    points = source.sample(FAILPOINTS, scale.failpoints)
    others: list[tuple[Fault, str]] = [(kind, "") for kind in kinds] + [
        (Fault.FAILPOINT, point) for point in points
    ]
    source.shuffle(others)
    zombies = scale.faults[Fault.ZOMBIE]
    for number in reversed(range(zombies)):
        others.insert(number * len(others) // zombies + 1, (Fault.ZOMBIE, ""))
    return [
        Planned(kind, round(source.uniform(0, scale.max_pause_s), 3), round(source.random(), 6), point)
        for kind, point in others
    ]
