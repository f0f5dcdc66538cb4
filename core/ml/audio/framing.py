"""Streams of frames that each begin with a header, without a container: MPEG audio and ADTS.

Walks from header to header; where there is none, skips tags and searches for the next run of frames.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.ml.audio import tagblocks

# How much junk (broken tags, web pages, remains of other files) is searched for the first frame.
SEARCH_BYTES = 4 << 20
_READ_BYTES = 1 << 20
_RUN_BYTES = 1 << 16  # upper bound of the length of a run
_GAP_BYTES = 1 << 14  # longer than most gaps
_HEADER_BYTES = 8
# Frames in a row that are accepted as audio: a single header may occur by chance in any data.
_RUN = 3
_RUN_AFTER_DAMAGE = 2
_MAX_CANDIDATES = 200_000


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as described by its header."""

    kind: tuple[int, ...]  # fields that are constant in a stream
    sample_rate: int
    length: int  # bytes, including the header
    samples: int

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate


@dataclass(frozen=True, slots=True)
class Syntax:
    """How the frames of a format are recognised."""

    start: re.Pattern[bytes]  # matches the first bytes of a header
    parse: Callable[[bytes], Frame | None]  # None if the bytes are not a header


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes between frames."""

    length: int
    is_tag: bool = False
    cut: Frame | None = None  # a frame that begins here and extends beyond the end


def find_run(
    descriptor: int, start: int, end: int, syntax: Syntax, count: int = _RUN, most: int = SEARCH_BYTES
) -> int | None:
    """Offset of the first of `count` successive frames within `most` bytes of `start`, or None.

    Directly at `start`, fewer frames are accepted if the file ends after them.
    """
    data = os.pread(descriptor, min(most, end - start) + _RUN_BYTES, start)[: end - start]
    for number, match in enumerate(syntax.start.finditer(data)):
        if match.start() >= most or number > _MAX_CANDIDATES:
            return None
        if _is_run(data, match.start(), syntax, count, at_start=match.start() == 0):
            return start + match.start()
    return None


def _is_run(data: bytes, position: int, syntax: Syntax, count: int, *, at_start: bool) -> bool:
    first = syntax.parse(data[position : position + _HEADER_BYTES])
    frame = first
    for _ in range(count - 1):
        if frame is None or first is None or frame.kind != first.kind:
            return False
        position += frame.length
        if position >= len(data):
            return at_start
        frame = syntax.parse(data[position : position + _HEADER_BYTES])
        if frame is None and tagblocks.starts_with_tag(data[position : position + _HEADER_BYTES]):
            return at_start
    return frame is not None and first is not None and frame.kind == first.kind


def walk(descriptor: int, start: int, end: int, syntax: Syntax) -> Iterator[tuple[int, Frame | Gap]]:
    """All frames and gaps from `start` to `end`, each with its offset.

    A frame that extends beyond `end` is reported as a gap.
    """
    window = _Window(descriptor, end)
    offset = start
    while offset < end:
        frame = syntax.parse(window.peek(offset, _HEADER_BYTES))
        if frame is not None and offset + frame.length <= end:
            yield offset, frame
            offset += frame.length
            continue
        if frame is not None and find_run(descriptor, offset + 1, end, syntax, _RUN_AFTER_DAMAGE) is None:
            yield offset, Gap(end - offset, cut=frame)
            return
        gap = _gap(descriptor, offset, end, syntax)
        yield offset, gap
        offset += gap.length


def _gap(descriptor: int, offset: int, end: int, syntax: Syntax) -> Gap:
    tag = tagblocks.tag_length(os.pread(descriptor, 64, offset))
    if tag and offset + tag <= end:
        return Gap(tag, is_tag=True)
    position, most = offset + 1, _GAP_BYTES
    while position < end:
        found = find_run(descriptor, position, end, syntax, _RUN_AFTER_DAMAGE, most)
        if found is not None:
            return Gap(found - offset)
        position, most = position + most, min(16 * most, SEARCH_BYTES)
    return Gap(end - offset)


class _Window:
    """A buffered view of a file for small reads."""

    def __init__(self, descriptor: int, end: int) -> None:
        self._descriptor, self._end = descriptor, end
        self._start, self._data = 0, b""

    def peek(self, offset: int, length: int) -> bytes:
        at = offset - self._start
        if at < 0 or at + length > len(self._data):
            self._data = os.pread(self._descriptor, min(_READ_BYTES, self._end - offset), offset)
            self._start, at = offset, 0
        return self._data[at : at + length]
