"""Decode and read tags as `core.ml.audio.decode` and `core.library.tags` do, but in a helper process."""

import logging
import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from core.errors import Corrupt, ItemError, Undecodable, Unreadable, item_error
from core.library.content import TagReading
from core.ml.audio.sandbox.limits import LIFE_CPU_S
from core.ml.audio.sandbox.process import NO_ANSWER, Allowance, Helper, HelperDied, Reply, number
from core.ml.audio.source import BLOCK_S, Decoded, Samples

log = logging.getLogger(__name__)

# What a file may cost: far more than any music does on a slow machine, far less than what holds up a batch.
CPU_S, TAGS_CPU_S = 15.0, 5.0
HASHED_BYTES_PER_CPU_S = 20e6  # beyond CPU_S; SHA-256 without special instructions takes 200 MB a second
PIECE_S = 60  # of audio in one piece at most; blocks hold about 10 s
_TEXT_CHARACTERS = 4000
_MOST_WARNINGS, _WARNING_CHARACTERS = 8, 300
_NOT_DECODED = "The audio cannot be decoded."
MAX_FILES = 500  # per helper: bounds what it may leak, and what it may falsify should a file take it over


@dataclass
class Spent:
    """Processor seconds that helpers have spent."""

    decode_s: float = 0.0
    resample_s: float = 0.0


class Sandbox:
    """Keeps one helper per thread that decodes at the same time. Safe to use from several threads.

    A helper that dies costs its file a second try in a fresh one. The file that it dies at again is
    `Undecodable`, one that takes too much time or memory `TooComplex`.
    """

    def __init__(self, module: str = "core.ml.audio.sandbox.helper") -> None:
        self._module = module
        self._idle: list[Helper] = []
        self._lock = threading.Lock()
        self._has_told = False

    def stream(
        self, file: BinaryIO, sample_rate: int, *, max_duration_s: float, spent: Spent | None = None
    ) -> Generator[Samples, None, Decoded]:
        """A file block by block: mono float32 (T,) in [-1, 1] at `sample_rate`, about 10 s each.

        What is wrong with the file as a whole (cut off, too short, silent) is raised after its last block.
        """
        request = {"do": "stream", "sample_rate": sample_rate, "max_duration_s": max_duration_s}
        most = round((max_duration_s + BLOCK_S) * sample_rate)
        allowed = Allowance(CPU_S, samples=most, piece=PIECE_S * sample_rate)
        reply = yield from self._samples(file, request, allowed, spent)
        return _decoded(reply, max_duration_s + BLOCK_S)

    def stream_windows(
        self,
        file: BinaryIO,
        sample_rate: int,
        windows: int,
        window_s: float,
        *,
        max_duration_s: float,
        spent: Spent | None = None,
    ) -> Generator[Samples, None, Decoded]:
        """Evenly spaced windows (T,), empty arrays while they are looked for.

        See `core.ml.audio.decode.decode_windows`.
        """
        request = {
            "do": "windows",
            "sample_rate": sample_rate,
            "windows": windows,
            "window_s": window_s,
            "max_duration_s": max_duration_s,
        }
        piece = round(window_s * sample_rate)
        longest_s = max_duration_s + BLOCK_S
        # A long track is decoded twice.
        allowed = Allowance(CPU_S, decoded_s=2 * longest_s, samples=windows * piece, piece=piece)
        reply = yield from self._samples(file, request, allowed, spent)
        return _decoded(reply, longest_s)

    def decode_windows(
        self, file: BinaryIO, sample_rate: int, windows: int, window_s: float, *, max_duration_s: float
    ) -> tuple[list[Samples], Decoded]:
        """The same windows at once, and what is known of the track."""
        found = self.stream_windows(file, sample_rate, windows, window_s, max_duration_s=max_duration_s)
        kept: list[Samples] = []
        while True:
            try:
                window = next(found)
            except StopIteration as stop:
                return kept, stop.value
            if len(window):
                kept.append(window)

    def read_tags(self, file: BinaryIO) -> TagReading:
        """As `core.library.tags.read_tags`; tags that two helpers die at are unreadable ones, too.

        Raises Unreadable when the disk does not give the file.
        """
        try:
            reply = self._ask(file, {"do": "tags"}, Allowance(TAGS_CPU_S))
            problem = reply["problem"]
            return TagReading(_plain_tags(dict(reply["tags"])), _plain(problem) if problem else None)
        except Unreadable:
            raise
        except ItemError as error:
            return TagReading(error=f"The tags cannot be read: {error.detail}", is_provisional=True)
        except NO_ANSWER:
            return TagReading(error="The tags cannot be read.", is_provisional=True)

    def hash_audio(self, file: BinaryIO, on_progress: Callable[[], None] = lambda: None) -> bytes | None:
        """As `core.ml.audio.packets.audio_hash`; None when helpers die at the file or give up on it.

        Raises Unreadable when the disk does not give the file.
        """
        size = os.fstat(file.fileno()).st_size
        allowed = Allowance(CPU_S + size / HASHED_BYTES_PER_CPU_S)
        try:
            digest = bytes.fromhex(self._ask(file, {"do": "content"}, allowed, on_progress)["content"])
        except Unreadable:
            raise
        except ItemError as error:
            log.warning("the audio of %.300r cannot be hashed: %.300s", _name(file), error.detail)
            return None
        except NO_ANSWER:
            log.warning("the audio of %.300r cannot be hashed", _name(file))
            return None
        return digest if len(digest) == 32 else None

    def close(self) -> None:
        """End the helpers that nobody uses."""
        with self._lock:
            helpers, self._idle = self._idle, []
        for helper in helpers:
            helper.kill()

    def _ask(
        self,
        file: BinaryIO,
        request: dict[str, Any],
        allowed: Allowance,
        on_progress: Callable[[], None] = lambda: None,
    ) -> Reply:
        """The reply to a request without samples; a second helper is asked when one dies."""
        with _kept_position(file):
            for is_last in (False, True):
                try:
                    with self._borrow(fresh=is_last) as helper:
                        for answer in helper.ask(file, request, allowed):
                            if not isinstance(answer, dict):
                                on_progress()
                except HelperDied as died:
                    _tell_of_death(died, file)
                    if is_last:
                        raise Undecodable(f"Its reader crashed twice at this file ({died}).") from died
                else:
                    assert isinstance(answer, dict)
                    return _checked(answer, file, Spent())
        raise AssertionError

    def _samples(
        self, file: BinaryIO, request: dict[str, Any], allowed: Allowance, spent: Spent | None
    ) -> Generator[Samples, None, Reply]:
        """What a helper answers; a second one goes on after the pieces that the first has delivered."""
        given = 0
        with _kept_position(file):
            for is_last in (False, True):
                try:
                    with self._borrow(fresh=is_last) as helper:
                        pieces = 0
                        for answer in helper.ask(file, request, allowed):
                            if isinstance(answer, dict):
                                break
                            pieces += len(answer) > 0
                            if pieces > given or not len(answer):
                                given = max(given, pieces)
                                yield answer
                except HelperDied as died:
                    _tell_of_death(died, file)
                    if is_last:
                        raise Undecodable(f"The decoder crashed twice at this file ({died}).") from died
                else:
                    assert isinstance(answer, dict)
                    reply = _checked(answer, file, spent or Spent())
                    if not given:
                        raise Corrupt(_NOT_DECODED)
                    return reply
        raise AssertionError

    @contextmanager
    def _borrow(self, *, fresh: bool = False) -> Iterator[Helper]:
        """A helper that goes back when its file is done with, and is ended when it is not."""
        helper = self._take(fresh)
        try:
            yield helper
        except BaseException:
            helper.kill()
            raise
        if helper.files >= MAX_FILES:
            helper.kill()
        else:
            with self._lock:
                self._idle.append(helper)

    def _take(self, fresh: bool) -> Helper:
        while not fresh:
            with self._lock:
                helper = self._idle.pop() if self._idle else None
            if helper is None:
                break
            if helper.is_alive():
                return helper
            helper.kill()
        helper = Helper(self._module)
        if helper.lacking and not self._has_told:
            self._has_told = True
            log.warning("files are decoded without what this system lacks: %s", ", ".join(helper.lacking))
        return helper


def _checked(reply: Reply, file: BinaryIO, spent: Spent) -> Reply:
    """The last reply, or the error that it tells; a helper may say anything once a file has taken it over."""
    try:
        resample_s = number(reply["resample_s"], 0, LIFE_CPU_S)
        spent.decode_s += number(reply["cpu_s"], 0, LIFE_CPU_S) - resample_s
        spent.resample_s += resample_s
        if "error" in reply:
            raise _told_error(reply)
    except NO_ANSWER as error:
        raise Corrupt(_NOT_DECODED) from error
    if "unforeseen" in reply:
        trace = _plain(reply["unforeseen"])
        log.error("a decoder failed in an unforeseen way at %.300r: %r", _name(file), trace)
        raise Corrupt(_NOT_DECODED)
    return reply


def _decoded(reply: Reply, longest_s: float) -> Decoded:
    """What a helper says of a track; its warnings are shown to users and stored."""
    try:
        duration_s, warnings = number(reply["duration_s"], 0, longest_s), list(reply["warnings"])
    except NO_ANSWER as error:
        raise Corrupt(_NOT_DECODED) from error
    return Decoded(
        duration_s, tuple(_plain(warning)[:_WARNING_CHARACTERS] for warning in warnings[:_MOST_WARNINGS])
    )


def _told_error(reply: Reply) -> ItemError:
    error = item_error(str(reply["error"]), _plain(reply["detail"]))
    return error if isinstance(error, ItemError) else Corrupt(_NOT_DECODED)


def _plain_tags(tags: dict[Any, Any]) -> dict[str, Any]:
    return {
        _plain(name): [_plain(value) for value in found] if isinstance(found, list) else _plain(found)
        for name, found in tags.items()
    }


def _plain(text: Any) -> str:
    """Text that any database takes."""
    return str(text).replace("\0", "").encode(errors="replace").decode()[:_TEXT_CHARACTERS]


def _name(file: BinaryIO) -> str:
    return str(getattr(file, "name", file))


def _tell_of_death(died: HelperDied, file: BinaryIO) -> None:
    log.warning("a decoding helper died at %.300r: %s", _name(file), died)


@contextmanager
def _kept_position(file: BinaryIO) -> Iterator[None]:
    """The position of the descriptor, which the helper shares, afterwards as before."""
    position = os.lseek(file.fileno(), 0, os.SEEK_CUR)
    try:
        yield
    finally:
        os.lseek(file.fileno(), position, os.SEEK_SET)
