"""A helper whose decoder does what the file's first word says: `python -m tests.support.failing_helper`."""

import ctypes
import errno
import os
import socket
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from core.ml.audio.sandbox import helper, ring
from core.ml.audio.sandbox.helper import Answer, ReplyChannel
from core.ml.audio.stopwatch import Stopwatch


def obey(kind: str, file: BinaryIO, channel: ReplyChannel, clock: Stopwatch, **options: Any) -> Answer:
    order, _, rest = os.pread(file.fileno(), 1000, 0).partition(b" ")
    if order == b"reach":
        return {"error": "corrupt", "detail": reach(*rest.decode().split())}
    if order == b"say":
        channel.socket.send(rest)
        return {}
    if order in WAYS_TO_FAIL:
        WAYS_TO_FAIL[order](channel)
        return {}
    return WELL[kind](file, channel, clock, **options)


def spin(_: ReplyChannel) -> None:
    while True:
        pass


def balloon(_: ReplyChannel) -> None:
    assert len([bytearray(16 << 20) for _ in range(1000)]) == 1000


def forget(_: ReplyChannel) -> None:
    raise ZeroDivisionError


def endless(channel: ReplyChannel) -> None:
    while True:
        channel.send_samples(np.zeros(100_000, np.float32))


def swell(channel: ReplyChannel) -> None:
    """One piece that grows and grows."""
    while True:
        channel.send({"slot": 0, "samples": ring.SLOT_SAMPLES, "has_more": True})
        channel.socket.recv(100)


def unread(channel: ReplyChannel) -> None:
    """Never reads that its samples have been read."""
    while True:
        channel.send({"slot": 0, "samples": 1, "has_more": False})


def poison(_: ReplyChannel) -> None:
    """Nothing happens to this file, but to the next one."""
    helper.HANDLERS.update(dict.fromkeys(WELL, lambda *_, **__: os.abort()))


def fail_to_read(_: ReplyChannel) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


WAYS_TO_FAIL: dict[bytes, Callable[[ReplyChannel], object]] = {
    b"segv": lambda _: ctypes.string_at(8),
    b"exit": lambda _: os._exit(3),
    b"abort": lambda _: os.abort(),
    b"hang": lambda _: time.sleep(600),
    b"spin": spin,
    b"balloon": balloon,
    b"forget": forget,
    b"endless": endless,
    b"swell": swell,
    b"unread": unread,
    b"poison": poison,
    b"full": fail_to_read,
    b"nothing": lambda _: None,
    b"numbers": lambda channel: channel.send_samples(np.full(16_000, np.nan, np.float32)),
    b"nonsense": lambda channel: channel.send({"slot": 77, "samples": 1 << 40, "has_more": False}),
    b"nested": lambda channel: channel.socket.send(b"[" * 100_000),
    b"babble": lambda channel: channel.socket.send(b"\xff\xfe"),
}


def reach(what: str, where: str = "") -> str:
    """What happens to a decoder that wants out."""
    try:
        WAYS_OUT[what](where)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "reached"


def fork(_: str) -> None:
    if os.fork() == 0:
        os._exit(0)


WAYS_OUT: dict[str, Callable[[str], object]] = {
    "read": lambda path: os.open(path, os.O_RDONLY),
    "write": lambda path: os.open(path, os.O_WRONLY | os.O_CREAT),
    "connect": lambda port: socket.create_connection(("127.0.0.1", int(port)), timeout=5),
    "unix": lambda path: socket.socket(socket.AF_UNIX).connect(path),
    "run": lambda path: subprocess.run([path], check=True),
    "fork": fork,
    "kill": lambda pid: os.kill(int(pid), 0),
    "memory": lambda _: os.write(os.memfd_create("more"), bytes(1 << 20)),
}


WELL = dict(helper.HANDLERS)
helper.HANDLERS.update({kind: partial(obey, kind) for kind in WELL})

if __name__ == "__main__":
    helper.main()
