"""One helper process, as seen by its worker."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from core.errors import TooComplex, Undecodable
from core.ml.audio.mixing import clip
from core.ml.audio.sandbox import ring
from core.ml.audio.source import Samples

STALL_S = 60  # without a word from the helper; far below what lets a unit's lease run out
START_CPU_S = 30.0
AUDIO_S_PER_CPU_S = 10.0

_PROJECT = Path(__file__).resolve().parents[4]
_ENVIRONMENT = {
    "PYTHONPATH": str(_PROJECT),
    "PYTHONSAFEPATH": "1",
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}
_MESSAGE_BYTES = 1 << 18
_READ = b"read"
_MOST_BYTES = float(1 << 53)  # that a file is said to have been read; processor time is what bounds it
_STILL_AT_IT: Samples = np.empty(0, np.float32)

# The kernel kills a helper when the thread that started it ends: all are started by one that lasts.
_starter = ThreadPoolExecutor(1, thread_name_prefix="helper-starter")

Reply = dict[str, Any]

# What reading a message may raise that no helper has sent.
NO_ANSWER = (LookupError, TypeError, ValueError, OverflowError, RecursionError)


def number(value: Any, least: float, most: float) -> float:
    """`value`, when it is a number in [least, most]; otherwise an error of `NO_ANSWER`."""
    if not least <= (told := float(value)) <= most:
        raise ValueError("no such number")
    return told


class HelperDied(Exception):
    """The helper crashed, was killed, or answered what no helper answers."""


@dataclass(frozen=True)
class Allowance:
    """What an answer may cost: far more than honest ones do, as whoever answers may be the file."""

    cpu_s: float  # and one more for every `AUDIO_S_PER_CPU_S` of audio
    decoded_s: float = 0  # the most audio that it may tell of
    samples: int = 0
    piece: int = 0  # the most samples in one piece


class Helper:
    """Started by the constructor; for one thread at a time."""

    def __init__(self, module: str) -> None:
        """Raises ChildProcessError when the helper does not start: no file is to blame for that."""
        self.files = 0  # how many it was given
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            memory = ring.create()
            command = [sys.executable, "-m", module, str(theirs.fileno()), str(memory)]
            start = partial(
                subprocess.Popen[bytes],
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), memory),
                env=_ENVIRONMENT,
                cwd="/",
            )
            try:
                self._process = _starter.submit(start).result()
            except BaseException:
                ours.close()
                os.close(memory)
                raise
        self._socket = ours
        self._slots = ring.attach(memory)
        self._poll = select.poll()
        self._poll.register(ours, select.POLLIN)
        try:
            self.lacking: list[str] = [str(name) for name in self._receive(START_CPU_S)["lacking"]]
        except (HelperDied, TooComplex, Undecodable, KeyError) as error:
            self.kill()
            raise ChildProcessError(f"The decoding helper does not start: {error}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, file: BinaryIO, request: dict[str, Any], allowed: Allowance) -> Iterator[Samples | Reply]:
        """Samples (T,) as they come, empty ones as a sign of life, and at last the reply.

        Raises TooComplex when it takes too much processor time, Undecodable when the helper hangs, HelperDied
        also when it answers more than is allowed.
        """
        self.files += 1
        start_s, decoded_s, read_bytes = self._cpu_s(), 0.0, 0.0
        parts: list[Samples] = []
        total = pending = 0
        self._send(json.dumps(request).encode(), file.fileno())
        while True:
            reply = self._receive(start_s + allowed.cpu_s + decoded_s / AUDIO_S_PER_CPU_S)
            if "end" in reply:
                yield reply
                return
            try:
                if "decoded_s" in reply:
                    before_s, decoded_s = decoded_s, number(reply["decoded_s"], decoded_s, allowed.decoded_s)
                    if decoded_s == before_s:
                        raise ValueError("no progress")
                    yield _STILL_AT_IT
                    continue
                if "read_bytes" in reply:
                    before, read_bytes = read_bytes, number(reply["read_bytes"], 1, _MOST_BYTES)
                    if read_bytes <= before:
                        raise ValueError("no progress")
                    yield _STILL_AT_IT
                    continue
                parts.append(self._read(int(reply["slot"]), int(reply["samples"])))
                has_more = bool(reply["has_more"])
            except NO_ANSWER as error:
                raise HelperDied("it answers what no helper answers") from error
            total, pending = total + len(parts[-1]), pending + len(parts[-1])
            if total > allowed.samples or pending > allowed.piece:
                raise HelperDied("it answers more than it was asked for")
            if not has_more:
                block = parts[0] if len(parts) == 1 else np.concatenate(parts)
                parts, pending = [], 0
                decoded_s += len(block) / request["sample_rate"]
                clip(block)
                yield block

    def kill(self) -> None:
        """End the process, whatever it is at; one that waits for a dead disk is left to the kernel."""
        self._socket.close()
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)

    def _read(self, slot: int, samples: int) -> Samples:
        """A copy of what lies in a slot, which the helper may then write again."""
        if not 0 < samples <= ring.SLOT_SAMPLES or not 0 <= slot < ring.SLOTS:
            raise ValueError("no such samples")
        copy: Samples = self._slots[slot, :samples].copy()
        self._send(_READ)
        return copy

    def _send(self, message: bytes, *descriptors: int) -> None:
        """Never waits: an honest helper leaves a handful of messages unread at most."""
        try:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))
            self._socket.sendmsg([message], [rights], socket.MSG_DONTWAIT)  # send_fds knows no flags
        except BlockingIOError as error:
            raise HelperDied("it does not read what it is told") from error
        except ConnectionError:
            pass  # its end is what is received next

    def _receive(self, until_cpu_s: float) -> Reply:
        """The next message. Stalls are counted in looks, not by the clock: both may have been stopped."""
        for _ in range(STALL_S):
            if self._cpu_s() > until_cpu_s:
                raise TooComplex("Decoding the file takes too long.")
            if self._poll.poll(1000):
                try:
                    message = self._socket.recv(_MESSAGE_BYTES)
                except ConnectionError:
                    message = b""
                if not message:
                    raise HelperDied(self._ending())
                try:
                    reply: Reply = dict(json.loads(message))
                except NO_ANSWER as error:
                    raise HelperDied("it answers what no helper answers") from error
                return reply
        raise Undecodable(f"The decoder hung: nothing came from it for {STALL_S} s.")

    def _cpu_s(self) -> float:
        """Processor seconds that the helper has used: CPUCLOCK_SCHED of it (linux/posix-timers.h)."""
        with suppress(OSError):  # it has just ended, which receiving tells better
            return time.clock_gettime(~self._process.pid << 3 | 2)
        return 0.0

    def _ending(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(timeout=5)
            return f"{signal.strsignal(-code)}" if code < 0 else f"exit status {code}"
        return "it closed its socket"
