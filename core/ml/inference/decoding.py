"""Threads that open and decode tracks ahead of the model."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import BinaryIO, Generic, TypeVar

import numpy as np

from core.errors import Corrupt, ItemError
from core.ml.audio.sandbox import Spent
from core.ml.audio.source import Decoded
from core.ml.audio.stopwatch import Stopwatch
from core.ml.inference.channel import Channel, Closed

K = TypeVar("K")  # whatever the caller ties a file to
# Yields samples (T,), empty ones as a sign of progress; returns what is known of the whole track.
Decode = Callable[[BinaryIO, Spent], Generator[np.ndarray, None, Decoded]]

_logger = logging.getLogger(__name__)

PIECES_AHEAD = 16  # bounds the memory of decoded audio that waits for the model


@dataclass(frozen=True)
class Piece(Generic[K]):
    track: K
    samples: np.ndarray  # (T,) float32


@dataclass(frozen=True)
class End(Generic[K]):
    track: K
    outcome: Decoded | ItemError  # what is known of the whole track, or what is wrong with the file
    decode_s: float  # processor seconds that decoding took, without resampling
    resample_s: float


@dataclass(frozen=True)
class Stop:
    """Nothing follows; `error` is what no single track is to blame for."""

    error: BaseException | None


Message = Piece[K] | End[K] | Stop


@dataclass
class _Feed(Generic[K]):
    """Hands the sources out to the threads, one each."""

    sources: Iterator[tuple[K, BinaryIO]]
    threads: int
    lock: Lock = field(default_factory=Lock)

    def take(self) -> tuple[K, BinaryIO] | None:
        with self.lock:
            return next(self.sources, None)

    def leave(self) -> bool:
        """Whether the calling thread was the last."""
        with self.lock:
            self.threads -= 1
            return self.threads == 0


@contextmanager
def decode_ahead(
    sources: Iterable[tuple[K, BinaryIO]], decode: Decode, threads: int
) -> Iterator[Channel[Message[K]]]:
    """The decoded pieces of all sources, as long as the block lasts; every file taken is closed afterwards.

    Leaving the block waits for the threads, and so for a source that is just being asked for.
    """
    channel: Channel[Message[K]] = Channel(PIECES_AHEAD)
    feed = _Feed(iter(sources), threads)
    workers = [
        Thread(target=_work, args=(feed, decode, channel), name=f"decode-{number}", daemon=True)
        for number in range(threads)
    ]
    for worker in workers:
        worker.start()
    try:
        yield channel
    finally:
        channel.close()
        for worker in workers:
            worker.join()


def _work(feed: _Feed[K], decode: Decode, channel: Channel[Message[K]]) -> None:
    try:
        while (taken := feed.take()) is not None:
            track, file = taken
            with closing(file):
                _decode_one(track, file, decode, channel)
        if feed.leave():
            channel.put(Stop(None))
    except Closed:
        return
    except BaseException as error:
        _report(error, channel)


def _report(error: BaseException, channel: Channel[Message[K]]) -> None:
    try:
        channel.put(Stop(error))
    except Closed:
        return


def _decode_one(track: K, file: BinaryIO, decode: Decode, channel: Channel[Message[K]]) -> None:
    own, spent = Stopwatch(), Spent()
    with closing(decode(file, spent)) as pieces:
        while True:
            with own.measure():
                outcome = _next_piece(pieces, file)
            if not isinstance(outcome, np.ndarray):
                break
            channel.put(Piece(track, outcome))
    channel.put(End(track, outcome, own.seconds + spent.decode_s, spent.resample_s))


def _next_piece(
    pieces: Generator[np.ndarray, None, Decoded], file: BinaryIO
) -> np.ndarray | Decoded | ItemError:
    """What a decoder stumbles over is the file's fault; only where the machine fails it is nobody's."""
    try:
        return next(pieces)
    except StopIteration as stop:
        decoded: Decoded = stop.value
        return decoded
    except ItemError as error:
        return error
    except (OSError, MemoryError):
        raise
    except Exception:
        _logger.exception("a decoder failed in an unforeseen way at %.300r", getattr(file, "name", file))
        return Corrupt("The audio cannot be decoded.")
