"""Open one stream of a file with the decoder that suits it, and go on with the other where that fails."""

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
from core.ml.audio.source import Account, Block, Source


@contextmanager
def open_source(descriptor: int, form: Format) -> Iterator[Source]:
    """The audio of one stream: libsndfile where it can, being the fastest, FFmpeg elsewhere."""
    if form.decoder == "sndfile":
        account = form.account
        yield Source(_rescued(descriptor, form, account), account)
    else:
        with _open_other(descriptor, form) as source:
            yield source


def _rescued(descriptor: int, form: Format, account: Account) -> Iterator[Block]:
    """The blocks of libsndfile; where it stops early, FFmpeg goes on at the same place."""
    frames, sample_rate = 0, 1
    with suppress(Corrupt), open_sndfile(descriptor, form) as source:
        account.promised_s = source.account.promised_s
        for block in source.blocks:
            frames, sample_rate = frames + len(block.samples), block.sample_rate
            yield block
        is_all = account.missing_s(frames / sample_rate, sample_rate) <= 0
        if form.demuxer not in _RESYNCED or (is_all and not exceeds_promise(descriptor, form)):
            return
    try:
        with _open_other(descriptor, form) as other:
            yield from _behind(other.blocks, frames)
            account.promised_s = other.account.promised_s or account.promised_s
            if other.account.is_all_lost:
                account.promised_s = None
            account.lost_s = other.account.lost_s
    except (Corrupt, UnsupportedFormat):
        if not frames:
            raise


# Formats in which there may be sound behind the place where libsndfile takes them to end.
_RESYNCED = frozenset({"mp3", "flac", "ogg"})


def _open_other(descriptor: int, form: Format) -> AbstractContextManager[Source]:
    if form.demuxer == "mp3" and form.decoder == "sndfile" and not form.syntax:
        form = replace(form, syntax=mpeg.SYNTAX)
    if form.syntax:
        return open_frames(descriptor, form)
    if form.demuxer == "flac":
        size = os.fstat(descriptor).st_size
        form = replace(form, end=flac.next_stream(descriptor, form.offset + 1, size) or form.end)
    return open_av(descriptor, form)


def _behind(blocks: Iterator[Block], frames: int) -> Iterator[Block]:
    """The blocks without the first `frames` frames."""
    for block in blocks:
        if frames < len(block.samples):
            yield Block(block.sample_rate, block.samples[frames:])
        frames = max(0, frames - len(block.samples))


def following_stream(descriptor: int, form: Format) -> int | None:
    """Where the stream begins that follows one just decoded; None: none does."""
    if form.demuxer != "flac":
        return form.following
    size = os.fstat(descriptor).st_size
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    is_read_by_sndfile = position > form.offset
    start = max(form.offset + 1, position - _READ_AHEAD_BYTES) if is_read_by_sndfile else form.offset + 1
    return flac.next_stream(descriptor, start, size)


def exceeds_promise(descriptor: int, form: Format) -> bool:
    """Whether a FLAC stream has more samples than its header counts, which libsndfile does not decode."""
    if form.demuxer != "flac":
        return False
    end = following_stream(descriptor, form) or form.end or os.fstat(descriptor).st_size
    return flac.exceeds_promise(descriptor, form.offset, end)


_READ_AHEAD_BYTES = 1 << 17  # of libFLAC
