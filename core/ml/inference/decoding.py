"""Decodes tracks in threads, ahead of the model."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import BinaryIO, Generic, TypeVar

import numpy as np

from core.errors import Corrupt, ItemError
from core.ml.audio.sandbox import CpuTime
from core.ml.audio.source import Decoded
from core.ml.audio.stopwatch import Stopwatch
from core.ml.inference.channel import Channel, Closed

K = TypeVar("K")  # the caller's key of a file
# Yields samples (T,), empty arrays to report progress; returns duration and warnings of the whole track.
Decode = Callable[[BinaryIO, CpuTime], Generator[np.ndarray, None, Decoded]]

_logger = logging.getLogger(__name__)

PIECES_AHEAD = 16  # bounds the memory of decoded audio


@dataclass(frozen=True)
class Piece(Generic[K]):
    track: K
    samples: np.ndarray  # (T,) float32


@dataclass(frozen=True)
class EndOfTrack(Generic[K]):
    track: K
    outcome: Decoded | ItemError
    decode_s: float  # CPU seconds of decoding, without resampling
    resample_s: float


@dataclass(frozen=True)
class EndOfStream:
    """No message follows; `error` is a failure that no single file caused."""

    error: BaseException | None


Message = Piece[K] | EndOfTrack[K] | EndOfStream


@dataclass
class _Sources(Generic[K]):
    """Distributes the sources among the threads."""

    sources: Iterator[tuple[K, BinaryIO]]
    threads: int
    lock: Lock = field(default_factory=Lock)

    def take(self) -> tuple[K, BinaryIO] | None:
        with self.lock:
            return next(self.sources, None)

    def leave(self) -> bool:
        """Sign the calling thread off; whether it was the last."""
        with self.lock:
            self.threads -= 1
            return self.threads == 0


@contextmanager
def decode_ahead(
    sources: Iterable[tuple[K, BinaryIO]], decode: Decode, threads: int
) -> Iterator[Channel[Message[K]]]:
    """A channel of the decoded pieces of all sources; every file taken from them is closed at the end.

    Leaving the block joins the threads, and so waits for a source that is just being opened.
    """
    channel: Channel[Message[K]] = Channel(PIECES_AHEAD)
    feed = _Sources(iter(sources), threads)
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


def _work(feed: _Sources[K], decode: Decode, channel: Channel[Message[K]]) -> None:
    try:
        while (taken := feed.take()) is not None:
            track, file = taken
            with closing(file):
                _decode_one(track, file, decode, channel)
        if feed.leave():
            channel.put(EndOfStream(None))
    except Closed:
        return
    except BaseException as error:
        _report(error, channel)


def _report(error: BaseException, channel: Channel[Message[K]]) -> None:
    try:
        channel.put(EndOfStream(error))
    except Closed:
        return


def _decode_one(track: K, file: BinaryIO, decode: Decode, channel: Channel[Message[K]]) -> None:
    own, cpu_time = Stopwatch(), CpuTime()
    with closing(decode(file, cpu_time)) as pieces:
        while True:
            with own.measure():
                outcome = _next_piece(pieces, file)
            if not isinstance(outcome, np.ndarray):
                break
            channel.put(Piece(track, outcome))
    channel.put(EndOfTrack(track, outcome, own.seconds + cpu_time.decode_s, cpu_time.resample_s))


def _next_piece(
    pieces: Generator[np.ndarray, None, Decoded], file: BinaryIO
) -> np.ndarray | Decoded | ItemError:
    """The next piece, the result, or the file's error. A fault of the machine is raised."""
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
        _logger.exception("unexpected error in a decoder at %.300r", getattr(file, "name", file))
        return Corrupt("The audio cannot be decoded.")
