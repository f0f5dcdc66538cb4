"""Makes each kind of fault happen to a running system."""

import resource
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import psutil
from redis.exceptions import RedisError

from tests.faults.client import Clients
from tests.faults.schedule import Fault, Planned
from tests.faults.system import WORKERS, Running, System, patiently, wait_until

GET_BUSY_S = 30.0  # a system that has lost everything at once needs so long to be at work again
IDLE_S = 3.0
MISSED = "missed"
ZOMBIE_BEYOND_LEASE_S = 4.0
PAUSE_S = (2.0, 6.0)
FULL_DISK_S = 4.0
LARGE_UPLOAD_S = 40.0  # of audio: above the megabyte that the gateway keeps in memory
DEATH_S = 20.0
MET_S = 90.0  # until a client that is busy with something else comes to its upload
NOTICE_S = 60.0  # a worker that was stopped while it loaded torch loads it to the end before it looks
LOG_LINES = 4
GAVE_UP = "the lease is lost, nothing more is written"
T = TypeVar("T")


@dataclass
class Injected:
    """A fault that happened."""

    fault: str
    at_s: float  # since the start of the run
    detail: str = ""
    claims: list[UUID] = field(default_factory=list)  # that it took from their workers
    clock: float = 0.0  # of the database, when it happened
    worker: str = ""  # that the claims were of


class Injector:
    """Knows what it has stopped and armed, and can undo it."""

    def __init__(self, system: System, clients: Clients) -> None:
        self.injected: list[Injected] = []
        self.refused_zombies = 0  # that have woken and said that their lease is lost
        self.unrefused_zombies: list[str] = []  # what became of the others
        self._system = system
        self._clients = clients
        self._started = time.monotonic()
        self._timers: list[tuple[threading.Timer, Callable[[], None]]] = []
        self._zombies: dict[int, str] = {}  # stopped children, each with its worker
        self._kinds: dict[Fault, Callable[[Planned], Injected]] = {
            Fault.KILL_CHILD: self._kill_child,
            Fault.KILL_PARENT: self._kill_parent,
            Fault.KILL_DISPATCHER: lambda _: self._kill("dispatcher"),
            Fault.KILL_GATEWAY: lambda _: self._kill("api"),
            Fault.FAILPOINT: self._die_at_failpoint,
            Fault.ZOMBIE: self._zombie,
            Fault.FLUSH: self._flush,
            Fault.RESTART_BROKER: lambda _: self._kill("valkey"),
            Fault.PAUSE_BROKER: self._pause_broker,
            Fault.RESTART_DATABASE: self._restart_database,
            Fault.CUT_CONNECTIONS: self._cut_connections,
            Fault.FILL_DISK: self._fill_disk,
        }

    def inject(self, planned: Planned) -> Injected:
        injected = self._kinds[planned.fault](planned)
        self.injected.append(injected)
        return injected

    def heal(self) -> None:
        """Undo what does not pass by itself."""
        for timer, undo in self._timers:
            timer.cancel()
            timer.join()
            undo()

    @property
    def is_zombie_out(self) -> bool:
        return bool(self._zombies)

    def _note(
        self,
        fault: Fault | str,
        detail: str = "",
        claims: Sequence[UUID] = (),
        clock: float = 0.0,
        worker: str = "",
    ) -> Injected:
        at_s = round(time.monotonic() - self._started, 2)
        return Injected(str(fault), at_s, detail, list(claims), clock, worker)

    def _later(self, delay_s: float, undo: Callable[[], None]) -> None:
        timer = threading.Timer(delay_s, undo)
        timer.daemon = True
        timer.start()
        self._timers.append((timer, undo))

    def _clock(self) -> float:
        return float(self._system.rows("SELECT extract(epoch FROM clock_timestamp())")[0][0])

    def _busy_child(self, planned: Planned, workers: Sequence[str] = WORKERS) -> Running | None:
        """A claim of a batch worker whose process is neither stopped nor gone."""
        deadline = time.monotonic() + GET_BUSY_S
        next_job = time.monotonic() + IDLE_S
        while time.monotonic() < deadline:
            pids = {child.pid for name in workers for child in self._system.children(name)}
            busy = [each for each in self._system.running() if each.pid in pids - self._zombies.keys()]
            if busy:
                return choose(busy, planned.pick)
            if time.monotonic() > next_job:  # what there is waits for a lease to run out
                self._clients.submit_folder()
                next_job += IDLE_S
            time.sleep(0.05)
        return None

    def _kill_child(self, planned: Planned) -> Injected:
        while (victim := self._busy_child(planned)) is not None:
            clock = self._clock()
            with suppress(psutil.NoSuchProcess):
                child = psutil.Process(victim.pid)
                worker = self._worker_of(child)
                if end(child, signal.SIGKILL):
                    detail = f"pid {victim.pid}, unit {victim.unit_id}"
                    return self._note(planned.fault, detail, [victim.claim_id], clock, worker)
        return self._note(MISSED, f"{planned.fault}: nobody was at work")

    def _kill_parent(self, planned: Planned) -> Injected:
        """The supervisor kills what is left of its group, as the end of a container would."""
        intact = [name for name in WORKERS if name not in self._zombies.values()]
        victim = self._busy_child(planned, intact)
        children = {child.pid: name for name in intact for child in self._system.children(name)}
        name = children.get(victim.pid if victim else 0) or choose(intact, planned.pick)
        claims = [each.claim_id for each in self._system.running() if children.get(each.pid) == name]
        clock = self._clock()
        self._end(name)
        return self._note(planned.fault, f"{name}, {len(claims)} units", claims, clock, name)

    def _kill(self, name: str) -> Injected:
        self._end(name)
        return self._note(f"kill {name}")

    def _end(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Of a service, the life that it is in, or its next one when it is just between two."""
        if not wait_until(lambda: end(self._system.process(name), number), GET_BUSY_S):
            raise TimeoutError(f"{name} could not be ended")

    def _die_at_failpoint(self, planned: Planned) -> Injected:
        """Arm a point, and let something pass it."""
        (self._system.armed / planned.point).touch()
        if planned.point.startswith(("predict", "upload")):
            self._clients.submit_upload()
        else:
            self._clients.submit_folder()
        return self._note(planned.fault, planned.point)

    def _zombie(self, planned: Planned) -> Injected:
        """Stop a child in the middle of its work; it goes on when its unit is another's."""
        while (victim := self._busy_child(planned)) is not None:
            clock = self._clock()
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(victim.pid)
                process.suspend()
                worker = self._worker_of(process)
                if worker and self._has_begun(victim, worker) and self._system.is_held(victim):
                    break
                process.resume()  # does not know its claim yet, has just ended the unit, or is about to write
        if victim is None:
            return self._note(MISSED, f"{planned.fault}: nobody was at work")
        gave_up = f"unit {victim.unit_id}: {GAVE_UP}"
        self._zombies[victim.pid] = worker

        def wake() -> None:
            """It is out until it says that it has noticed; nothing else may kill it before."""
            if victim.pid not in self._zombies:
                return
            before = self._system.log(worker).count(gave_up)
            suppressing(process.resume)
            if wait_until(lambda: self._system.log(worker).count(gave_up) > before, NOTICE_S):
                self.refused_zombies += 1
            else:
                self.unrefused_zombies.append(self._describe(process, worker, victim))
            self._zombies.pop(victim.pid, None)

        self._later(self._system.settings.lease_s + ZOMBIE_BEYOND_LEASE_S, wake)
        detail = f"pid {victim.pid}, unit {victim.unit_id}"
        return self._note(planned.fault, detail, [victim.claim_id], clock, worker)

    def _has_begun(self, claim: Running, worker: str) -> bool:
        """Whether a child knows its claim: one whose connection is cut before that never has the unit."""
        return f"unit {claim.unit_id} of job" in self._system.log(worker)

    def _describe(self, process: psutil.Process, worker: str, claim: Running) -> str:
        """What became of a process, and what its worker logged last about the unit."""
        lines = [line for line in self._system.log(worker).splitlines() if f"unit {claim.unit_id}" in line]
        status = "gone" if has_ended(process) else "running"
        return f"pid {process.pid} of {worker} is {status}; its unit's log: {lines[-LOG_LINES:]}"

    def _worker_of(self, child: psutil.Process) -> str:
        parent = child.ppid()
        return next((name for name in WORKERS if self._system.process(name).pid == parent), "")

    def _flush(self, planned: Planned) -> Injected:
        def flush() -> None:
            with self._system.redis() as redis:
                redis.flushall()

        patiently(flush, (RedisError,))
        return self._note(planned.fault)

    def _pause_broker(self, planned: Planned) -> Injected:
        broker = self._system.process("valkey")
        pause_s = PAUSE_S[0] + planned.pick * (PAUSE_S[1] - PAUSE_S[0])
        broker.suspend()
        self._later(pause_s, lambda: suppressing(broker.resume))
        return self._note(planned.fault, f"{pause_s:.1f} s")

    def _restart_database(self, planned: Planned) -> Injected:
        """SIGQUIT is Postgres' immediate shutdown; its supervisor starts it again."""
        self._end("postgres", signal.SIGQUIT)
        return self._note(planned.fault)

    def _cut_connections(self, planned: Planned) -> Injected:
        cut = self._system.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return self._note(planned.fault, f"{len(cut)} connections")

    def _fill_disk(self, planned: Planned) -> Injected:
        """No file of the product can grow until an upload has met that, and a while longer.

        Meanwhile the supervisor must start the dispatcher anew, which can be logged and listed nowhere.
        """
        wait_until(self._system.is_whole, GET_BUSY_S)
        before = self._clients.refused_writes

        def limit_all(size: int | None) -> None:
            for process in self._system.own_processes():
                limit_files(process, size)

        def is_met() -> bool:
            limit_all(0)
            return self._clients.refused_writes > before

        try:
            self._clients.submit_upload()
            self._clients.submit_upload(LARGE_UPLOAD_S)
            is_refused = wait_until(is_met, MET_S)
            self._end("dispatcher")
            time.sleep(FULL_DISK_S)
        finally:
            unlisted = self._system.unlisted()  # as long as there is no room
            limit_all(None)
        for service in unlisted:  # it has inherited the limit
            end(service, signal.SIGKILL)
        if not is_refused:
            return self._note(MISSED, f"{planned.fault}: no upload was refused")
        return self._note(planned.fault, f"{FULL_DISK_S:.0f} s, {len(unlisted)} services started meanwhile")


def choose(candidates: Sequence[T], pick: float) -> T:
    return candidates[int(pick * len(candidates))]


def end(process: psutil.Process, number: signal.Signals) -> bool:
    """Send a signal that ends a process, and see it end; False when it was dead before."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return wait_until(lambda: has_ended(process), DEATH_S)


def has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def limit_files(process: psutil.Process, size: int | None) -> None:
    """Let no file grow beyond `size` bytes: every write fails then as on a full disk.

    A process that is in a sandbox may write none anyway.
    """
    soft = resource.RLIM_INFINITY if size is None else size
    with suppress(psutil.AccessDenied, psutil.NoSuchProcess):
        process.rlimit(psutil.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))


def suppressing(act: Callable[[], object]) -> None:
    """Do something to a process that may be gone."""
    with suppress(psutil.NoSuchProcess):
        act()
