"""A helper process, from the worker's side."""

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

STALL_S = 60  # without a message from the helper; well below a unit's lease
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
_MAX_BYTES = float(1 << 53)  # bound of reported bytes; the effective limit is CPU time
_PROGRESS: Samples = np.empty(0, np.float32)

# The kernel kills a helper when the thread that started it ends, so a permanent thread starts all helpers.
_starter = ThreadPoolExecutor(1, thread_name_prefix="helper-starter")

Reply = dict[str, Any]

# Exceptions from reading a malformed message.
INVALID_REPLY = (LookupError, TypeError, ValueError, OverflowError, RecursionError)


def number(value: Any, least: float, most: float) -> float:
    """`value` as a number in [least, most]. Raises an error of `INVALID_REPLY` otherwise."""
    if not least <= (found := float(value)) <= most:
        raise ValueError("number out of range")
    return found


class HelperDied(Exception):
    """The helper crashed, was killed, or sent an invalid message."""


@dataclass(frozen=True)
class ReplyLimits:
    """Limits of a reply, far above those of valid ones: a helper may be compromised by its file."""

    cpu_s: float  # plus one second for every `AUDIO_S_PER_CPU_S` of audio
    decoded_s: float = 0  # maximum of reported audio
    samples: int = 0
    piece: int = 0  # maximum number of samples in one piece


class Helper:
    """A helper process, started by the constructor. Not thread-safe."""

    def __init__(self, module: str) -> None:
        """Raises ChildProcessError if the helper does not start."""
        self.files = 0  # number of files it was given
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

    def ask(self, file: BinaryIO, request: dict[str, Any], limits: ReplyLimits) -> Iterator[Samples | Reply]:
        """Yield samples (T,), empty arrays as progress, and finally the reply.

        Raises TooComplex if it uses too much CPU time, Undecodable if the helper hangs, and HelperDied if it
        dies or exceeds the other limits.
        """
        self.files += 1
        start_s, decoded_s, read_bytes = self._cpu_s(), 0.0, 0.0
        parts: list[Samples] = []
        total = pending = 0
        self._send(json.dumps(request).encode(), file.fileno())
        while True:
            reply = self._receive(start_s + limits.cpu_s + decoded_s / AUDIO_S_PER_CPU_S)
            if "end" in reply:
                yield reply
                return
            try:
                if "decoded_s" in reply:
                    before_s, decoded_s = decoded_s, number(reply["decoded_s"], decoded_s, limits.decoded_s)
                    if decoded_s == before_s:
                        raise ValueError("no progress")
                    yield _PROGRESS
                    continue
                if "read_bytes" in reply:
                    before, read_bytes = read_bytes, number(reply["read_bytes"], 1, _MAX_BYTES)
                    if read_bytes <= before:
                        raise ValueError("no progress")
                    yield _PROGRESS
                    continue
                parts.append(self._read(int(reply["slot"]), int(reply["samples"])))
                has_more = bool(reply["has_more"])
            except INVALID_REPLY as error:
                raise HelperDied("it sent an invalid message") from error
            total, pending = total + len(parts[-1]), pending + len(parts[-1])
            if total > limits.samples or pending > limits.piece:
                raise HelperDied("it sent more than was requested")
            if not has_more:
                block = parts[0] if len(parts) == 1 else np.concatenate(parts)
                parts, pending = [], 0
                decoded_s += len(block) / request["sample_rate"]
                clip(block)
                yield block

    def kill(self) -> None:
        """Kill the process. One that is blocked on a dead disk is left to the kernel."""
        self._socket.close()
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)

    def _read(self, slot: int, samples: int) -> Samples:
        """A copy of the samples in a slot, which is then released to the helper."""
        if not 0 < samples <= ring.SLOT_SAMPLES or not 0 <= slot < ring.SLOTS:
            raise ValueError("no such samples")
        copy: Samples = self._slots[slot, :samples].copy()
        self._send(_READ)
        return copy

    def _send(self, message: bytes, *descriptors: int) -> None:
        """Send without blocking: a valid helper leaves only a few messages unread."""
        try:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))
            self._socket.sendmsg([message], [rights], socket.MSG_DONTWAIT)  # send_fds does not support flags
        except BlockingIOError as error:
            raise HelperDied("it does not read its messages") from error
        except ConnectionError:
            pass  # the next receive reports its end

    def _receive(self, until_cpu_s: float) -> Reply:
        """The next message. Stalls are counted in polls, not by the clock, as processes may be suspended."""
        for _ in range(STALL_S):
            if self._cpu_s() > until_cpu_s:
                raise TooComplex("Decoding the file takes too long.")
            if self._poll.poll(1000):
                try:
                    message = self._socket.recv(_MESSAGE_BYTES)
                except ConnectionError:
                    message = b""
                if not message:
                    raise HelperDied(self._exit_reason())
                try:
                    reply: Reply = dict(json.loads(message))
                except INVALID_REPLY as error:
                    raise HelperDied("it sent an invalid message") from error
                return reply
        raise Undecodable(f"The decoder hung: it sent no message for {STALL_S} s.")

    def _cpu_s(self) -> float:
        """CPU seconds of the helper, by its CPUCLOCK_SCHED (linux/posix-timers.h)."""
        with suppress(OSError):  # it has just exited, which the next receive reports
            return time.clock_gettime(~self._process.pid << 3 | 2)
        return 0.0

    def _exit_reason(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(timeout=5)
            return f"{signal.strsignal(-code)}" if code < 0 else f"exit status {code}"
        return "it closed its socket"
