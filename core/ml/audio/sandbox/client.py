"""The interface of `core.ml.audio.decode` and `core.library.tags`, executed in helper processes."""

import base64
import logging
import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from core.errors import Corrupt, ItemError, Undecodable, Unreadable, item_error
from core.library.content import COVER_BYTES, TagReading
from core.ml.audio.sandbox.limits import LIFE_CPU_S
from core.ml.audio.sandbox.process import INVALID_REPLY, Helper, HelperDied, Reply, ReplyLimits, number
from core.ml.audio.source import BLOCK_S, Decoded, Samples

log = logging.getLogger(__name__)

# CPU limits per file: far more than music needs on a slow machine, far less than would delay a batch.
CPU_S, TAGS_CPU_S, COVER_CPU_S = 15.0, 5.0, 10.0
HASHED_BYTES_PER_CPU_S = 20e6  # in addition to CPU_S; SHA-256 in software reaches 200 MB per second
PIECE_S = 60  # maximum of audio in one piece; blocks hold about 10 s
_TEXT_CHARACTERS = 4000
_MAX_WARNINGS, _WARNING_CHARACTERS = 8, 300
_NOT_DECODED = "The audio cannot be decoded."
_NO_COVER = "The cover cannot be read."
MAX_FILES = 500  # per helper; bounds leaks, and the damage of a compromised helper


@dataclass
class CpuTime:
    """CPU seconds used by helpers."""

    decode_s: float = 0.0
    resample_s: float = 0.0


class Sandbox:
    """A pool of helpers, one per concurrently decoding thread. Thread-safe.

    If a helper dies, its file is tried once more in a new one; if that dies too, the file is `Undecodable`. A
    file that exceeds the limits of time or memory is `TooComplex`.
    """

    def __init__(self, module: str = "core.ml.audio.sandbox.helper") -> None:
        self._module = module
        self._idle: list[Helper] = []
        self._lock = threading.Lock()
        self._has_warned = False

    def stream(
        self, file: BinaryIO, sample_rate: int, *, max_duration_s: float, cpu_time: CpuTime | None = None
    ) -> Generator[Samples, None, Decoded]:
        """Decode a file in blocks of about 10 s: mono float32 (T,) in [-1, 1] at `sample_rate`.

        Errors of the file as a whole (cut off, too short, silent) are raised after its last block.
        """
        request = {"do": "stream", "sample_rate": sample_rate, "max_duration_s": max_duration_s}
        most = round((max_duration_s + BLOCK_S) * sample_rate)
        limits = ReplyLimits(CPU_S, samples=most, piece=PIECE_S * sample_rate)
        reply = yield from self._samples(file, request, limits, cpu_time)
        return _decoded(reply, max_duration_s + BLOCK_S)

    def stream_windows(
        self,
        file: BinaryIO,
        sample_rate: int,
        windows: int,
        window_s: float,
        *,
        max_duration_s: float,
        cpu_time: CpuTime | None = None,
    ) -> Generator[Samples, None, Decoded]:
        """Evenly spaced windows (T,), preceded by empty arrays that report progress.

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
        limits = ReplyLimits(CPU_S, decoded_s=2 * longest_s, samples=windows * piece, piece=piece)
        reply = yield from self._samples(file, request, limits, cpu_time)
        return _decoded(reply, longest_s)

    def decode_windows(
        self, file: BinaryIO, sample_rate: int, windows: int, window_s: float, *, max_duration_s: float
    ) -> tuple[list[Samples], Decoded]:
        """The same windows as a list, and the track's duration and warnings."""
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
        """As `core.library.tags.read_tags`; if two helpers die, the tags are unreadable.

        Raises Unreadable if the disk cannot read the file.
        """
        try:
            reply = self._ask(file, {"do": "tags"}, ReplyLimits(TAGS_CPU_S))
            problem = reply["problem"]
            return TagReading(_plain_tags(dict(reply["tags"])), _plain(problem) if problem else None)
        except Unreadable:
            raise
        except ItemError as error:
            return TagReading(error=f"The tags cannot be read: {error.detail}", is_provisional=True)
        except INVALID_REPLY:
            return TagReading(error="The tags cannot be read.", is_provisional=True)

    def hash_audio(self, file: BinaryIO, on_progress: Callable[[], None] = lambda: None) -> bytes | None:
        """As `core.ml.audio.packets.audio_hash`; None if helpers die or exceed their limits.

        Raises Unreadable if the disk cannot read the file.
        """
        size = os.fstat(file.fileno()).st_size
        limits = ReplyLimits(CPU_S + size / HASHED_BYTES_PER_CPU_S)
        try:
            digest = bytes.fromhex(self._ask(file, {"do": "content"}, limits, on_progress)["content"])
        except Unreadable:
            raise
        except ItemError as error:
            log.warning("the audio of %.300r cannot be hashed: %.300s", _name(file), error.detail)
            return None
        except INVALID_REPLY:
            log.warning("the audio of %.300r cannot be hashed", _name(file))
            return None
        return digest if len(digest) == 32 else None

    def read_cover(self, file: BinaryIO) -> bytes | None:
        """As `core.ml.audio.cover.read_cover`. Raises an ItemError if the file cannot be read."""
        reply = self._ask(file, {"do": "cover"}, ReplyLimits(COVER_CPU_S))
        try:
            jpeg = None if reply["jpeg"] is None else base64.b64decode(reply["jpeg"], validate=True)
        except INVALID_REPLY as error:
            raise Corrupt(_NO_COVER) from error
        if jpeg is not None and not (jpeg.startswith(b"\xff\xd8\xff") and len(jpeg) <= COVER_BYTES):
            raise Corrupt(_NO_COVER)
        return jpeg

    def close(self) -> None:
        """Kill the idle helpers."""
        with self._lock:
            helpers, self._idle = self._idle, []
        for helper in helpers:
            helper.kill()

    def _ask(
        self,
        file: BinaryIO,
        request: dict[str, Any],
        limits: ReplyLimits,
        on_progress: Callable[[], None] = lambda: None,
    ) -> Reply:
        """The reply to a request without samples, with a second attempt if the helper dies."""
        with _kept_position(file):
            for is_last in (False, True):
                try:
                    with self._borrow(fresh=is_last) as helper:
                        for answer in helper.ask(file, request, limits):
                            if not isinstance(answer, dict):
                                on_progress()
                except HelperDied as died:
                    _log_death(died, file)
                    if is_last:
                        raise Undecodable(f"The reader crashed twice on this file ({died}).") from died
                else:
                    assert isinstance(answer, dict)
                    return _checked(answer, file, CpuTime())
        raise AssertionError

    def _samples(
        self, file: BinaryIO, request: dict[str, Any], limits: ReplyLimits, cpu_time: CpuTime | None
    ) -> Generator[Samples, None, Reply]:
        """Pieces and reply of a helper; if it dies, another one continues after the delivered pieces."""
        given = 0
        with _kept_position(file):
            for is_last in (False, True):
                try:
                    with self._borrow(fresh=is_last) as helper:
                        pieces = 0
                        for answer in helper.ask(file, request, limits):
                            if isinstance(answer, dict):
                                break
                            pieces += len(answer) > 0
                            if pieces > given or not len(answer):
                                given = max(given, pieces)
                                yield answer
                except HelperDied as died:
                    _log_death(died, file)
                    if is_last:
                        raise Undecodable(f"The decoder crashed twice on this file ({died}).") from died
                else:
                    assert isinstance(answer, dict)
                    reply = _checked(answer, file, cpu_time or CpuTime())
                    if not given:
                        raise Corrupt(_NOT_DECODED)
                    return reply
        raise AssertionError

    @contextmanager
    def _borrow(self, *, fresh: bool = False) -> Iterator[Helper]:
        """A helper, which is returned to the pool, or killed if the block raises."""
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
        if helper.lacking and not self._has_warned:
            self._has_warned = True
            log.warning("the sandbox is incomplete, as this system lacks: %s", ", ".join(helper.lacking))
        return helper


def _checked(reply: Reply, file: BinaryIO, cpu_time: CpuTime) -> Reply:
    """The validated final reply; raises the error it reports. A compromised helper may send anything."""
    try:
        resample_s = number(reply["resample_s"], 0, LIFE_CPU_S)
        cpu_time.decode_s += number(reply["cpu_s"], 0, LIFE_CPU_S) - resample_s
        cpu_time.resample_s += resample_s
        if "error" in reply:
            raise _reported_error(reply)
    except INVALID_REPLY as error:
        raise Corrupt(_NOT_DECODED) from error
    if "unexpected" in reply:
        trace = _plain(reply["unexpected"])
        log.error("unexpected error in a decoder at %.300r: %r", _name(file), trace)
        raise Corrupt(_NOT_DECODED)
    return reply


def _decoded(reply: Reply, longest_s: float) -> Decoded:
    """The validated duration and warnings; the warnings are stored and shown to users."""
    try:
        duration_s, warnings = number(reply["duration_s"], 0, longest_s), list(reply["warnings"])
    except INVALID_REPLY as error:
        raise Corrupt(_NOT_DECODED) from error
    return Decoded(
        duration_s, tuple(_plain(warning)[:_WARNING_CHARACTERS] for warning in warnings[:_MAX_WARNINGS])
    )


def _reported_error(reply: Reply) -> ItemError:
    error = item_error(str(reply["error"]), _plain(reply["detail"]))
    return error if isinstance(error, ItemError) else Corrupt(_NOT_DECODED)


def _plain_tags(tags: dict[Any, Any]) -> dict[str, Any]:
    return {
        _plain(name): [_plain(value) for value in found] if isinstance(found, list) else _plain(found)
        for name, found in tags.items()
    }


def _plain(text: Any) -> str:
    """Text that can be stored in the database."""
    return str(text).replace("\0", "").encode(errors="replace").decode()[:_TEXT_CHARACTERS]


def _name(file: BinaryIO) -> str:
    return str(getattr(file, "name", file))


def _log_death(died: HelperDied, file: BinaryIO) -> None:
    log.warning("a decoding helper died at %.300r: %s", _name(file), died)


@contextmanager
def _kept_position(file: BinaryIO) -> Iterator[None]:
    """Restore the position of the descriptor, which the helper shares."""
    position = os.lseek(file.fileno(), 0, os.SEEK_CUR)
    try:
        yield
    finally:
        os.lseek(file.fileno(), position, os.SEEK_SET)
