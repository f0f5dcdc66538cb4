"""Opens one stream of a file with the most suitable decoder, and continues with another if it fails."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace

from core.errors import Corrupt, UnsupportedFormat
from core.ml.audio import flac, mpeg
from core.ml.audio.framed import open_frames
from core.ml.audio.pyav import open_av
from core.ml.audio.sndfile import open_sndfile
from core.ml.audio.sniff import Format
from core.ml.audio.source import Block, LengthCheck, Source


@contextmanager
def open_source(descriptor: int, fmt: Format) -> Iterator[Source]:
    """The audio of one stream, by libsndfile, which is faster, or by FFmpeg."""
    if fmt.decoder == "sndfile":
        length_check = fmt.length_check
        yield Source(_rescued(descriptor, fmt, length_check), length_check)
    else:
        with _open_other(descriptor, fmt) as source:
            yield source


def _rescued(descriptor: int, fmt: Format, length_check: LengthCheck) -> Iterator[Block]:
    """The blocks of libsndfile; if it stops early, FFmpeg continues from there."""
    frames, sample_rate = 0, 1
    with suppress(Corrupt), open_sndfile(descriptor, fmt) as source:
        length_check.declared_s = source.length_check.declared_s
        for block in source.blocks:
            frames, sample_rate = frames + len(block.samples), block.sample_rate
            yield block
        is_all = length_check.missing_s(frames / sample_rate, sample_rate) <= 0
        if fmt.demuxer not in _RESYNCED or (is_all and not exceeds_declared_length(descriptor, fmt)):
            return
    try:
        with _open_other(descriptor, fmt) as other:
            yield from _skip_frames(other.blocks, frames)
            length_check.declared_s = other.length_check.declared_s or length_check.declared_s
            if other.length_check.lost_is_complete:
                length_check.declared_s = None
            length_check.lost_s = other.length_check.lost_s
    except (Corrupt, UnsupportedFormat):
        if not frames:
            raise


# Formats that may have audio beyond the point where libsndfile stops.
_RESYNCED = frozenset({"mp3", "flac", "ogg"})


def _open_other(descriptor: int, fmt: Format) -> AbstractContextManager[Source]:
    if fmt.demuxer == "mp3" and fmt.decoder == "sndfile" and not fmt.syntax:
        fmt = replace(fmt, syntax=mpeg.SYNTAX)
    if fmt.syntax:
        return open_frames(descriptor, fmt)
    if fmt.demuxer == "flac":
        size = os.fstat(descriptor).st_size
        fmt = replace(fmt, end=flac.next_stream(descriptor, fmt.offset + 1, size) or fmt.end)
    return open_av(descriptor, fmt)


def _skip_frames(blocks: Iterator[Block], frames: int) -> Iterator[Block]:
    """The blocks without the first `frames` frames."""
    for block in blocks:
        if frames < len(block.samples):
            yield Block(block.sample_rate, block.samples[frames:])
        frames = max(0, frames - len(block.samples))


def next_stream_start(descriptor: int, fmt: Format) -> int | None:
    """Offset of the stream that follows the one just decoded; None if there is none."""
    if fmt.demuxer != "flac":
        return fmt.following
    size = os.fstat(descriptor).st_size
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    is_read_by_sndfile = position > fmt.offset
    start = max(fmt.offset + 1, position - _READ_AHEAD_BYTES) if is_read_by_sndfile else fmt.offset + 1
    return flac.next_stream(descriptor, start, size)


def exceeds_declared_length(descriptor: int, fmt: Format) -> bool:
    """Whether a FLAC stream has more samples than its header states, which libsndfile would not decode."""
    if fmt.demuxer != "flac":
        return False
    end = next_stream_start(descriptor, fmt) or fmt.end or os.fstat(descriptor).st_size
    return flac.exceeds_declared_length(descriptor, fmt.offset, end)


_READ_AHEAD_BYTES = 1 << 17  # of libFLAC
