"""WAV and AIFF: where the samples lie, whatever the sizes in the headers say."""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.audio.tagblocks import audio_end, starts_with_tag
from core.errors import Corrupt

_MAX_CHUNKS = 1000
# Recorders and pipes write numbers near these 32-bit limits for "length not known yet".
_OPEN_ENDED_BYTES = 0x7FFF0000
_NO_FILE_BYTES = 1 << 48  # 64-bit sizes from here on mean "length not known" too
# Less than this behind the samples, of whatever kind, is no reason to doubt their number.
_LEFTOVER_BYTES = 1 << 12

_PLAIN_WAV_CODECS = frozenset({1, 3, 6, 7})  # PCM, float, A-law, mu-law
_PLAIN_AIFF_CODECS = frozenset(
    {b"NONE", b"twos", b"sowt", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32", b"ulaw", b"alaw"}
)
# DTS in the guise of 16-bit samples: its sync words, in both orders and of 14 and 16 bits (ETSI TS 102 114)
_DTS = (b"\xfe\x7f\x01\x80", b"\x7f\xfe\x80\x01", b"\xff\x1f\x00\xe8", b"\x1f\xff\xe8\x00")
_DTS_SEARCH_BYTES = 1 << 14
_FLOAT = 3
_MOST_LOUDER, _LEAST_LOUD, _MOST_ROUGHER = 3.0, 0.05, 0.4
_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_ ]{3}")


@dataclass(frozen=True, slots=True)
class Layout:
    """What the headers say, as far as it is believed."""

    promised_s: float | None
    is_plain: bool  # samples one after the other that libsndfile reads
    end: int  # offset behind the samples and what belongs to them
    head: bytes = b""  # true headers to put in front of the samples; empty: those of the file will do
    start: int = 0  # of the samples, where `head` is given
    has_more: bool = False  # another WAV begins at `end`


def read_wav(descriptor: int, offset: int, size: int) -> Layout:
    """Raises `Corrupt` for a file without a description of its samples, or without any."""
    form, ds64_bytes = b"", 0
    is_aligned = True
    for chunk in _chunks(descriptor, offset, size, "<"):
        is_aligned &= chunk.is_aligned
        if chunk.name == b"fmt ":
            form = os.pread(descriptor, min(chunk.length, 64), chunk.start)
        elif chunk.name == b"ds64":
            ds64_bytes = int.from_bytes(os.pread(descriptor, 8, chunk.start + 8), "little")
            ds64_bytes = ds64_bytes if ds64_bytes < _NO_FILE_BYTES else 0
        elif chunk.name == b"data" and len(form) >= 16:
            length = chunk.length if chunk.length < _OPEN_ENDED_BYTES else ds64_bytes
            return _wav_layout(descriptor, form, chunk.start, length, size, is_aligned=is_aligned)
    raise Corrupt("The file has no samples, or no description of them: it is cut off or damaged.")


def read_rifx(descriptor: int, offset: int, size: int) -> Layout:
    """The same for samples and sizes whose highest byte comes first."""
    byte_rate = 0
    for chunk in _chunks(descriptor, offset, size, ">"):
        if chunk.name == b"fmt ":
            _, _, _, byte_rate = struct.unpack(
                ">HHII", os.pread(descriptor, 12, chunk.start).ljust(12, b"\0")
            )
        elif chunk.name == b"data":
            promised_s = chunk.length / byte_rate if byte_rate else None
            return Layout(promised_s, is_plain=True, end=min(size, chunk.start + chunk.length))
    raise Corrupt("The file has no samples, or no description of them: it is cut off or damaged.")


def _wav_layout(
    descriptor: int, form: bytes, start: int, length: int, size: int, *, is_aligned: bool
) -> Layout:
    codec, _, sample_rate, _, block_align = struct.unpack_from("<HHIIH", form)
    if codec == 0xFFFE and len(form) >= 26:
        codec = int.from_bytes(form[24:26], "little")
    is_plain = codec in _PLAIN_WAV_CODECS and not (codec == 1 and _holds_dts(descriptor, start))
    end = start + length
    following = os.pread(descriptor, 12, end)
    has_more = following[:4] in (b"RIFF", b"RF64") and following[8:] == b"WAVE"
    is_believed = length > 0 and (
        end >= size
        or has_more
        or _is_end(descriptor, end, size)
        or not (is_plain and _goes_on(descriptor, codec, form, start, end))
    )
    if is_believed and (is_aligned or not is_plain):
        byte_rate = sample_rate * block_align
        promised_s = length / byte_rate if byte_rate and is_plain else None
        return Layout(promised_s, is_plain, min(size, end), has_more=has_more)
    end = min(size, end) if is_believed else audio_end(descriptor, start, size)
    head = _wav_head(form, end - start) if is_plain and end > start else b""
    return Layout(None, is_plain, end, head, start, has_more=is_believed and has_more)


def _wav_head(form: bytes, length: int) -> bytes:
    """Headers of a WAV of `length` bytes of samples, with sizes of 64 bits (EBU Tech 3306)."""
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, length + 64 + len(form), length, 0, 0)
    fields = struct.pack("<4sI", b"fmt ", len(form)) + form + b"\0" * (len(form) % 2)
    return b"RF64\xff\xff\xff\xffWAVE" + ds64 + fields + b"data\xff\xff\xff\xff"


def _holds_dts(descriptor: int, start: int) -> bool:
    """Whether what is called samples are frames of DTS, as on CDs; between them lies nothing but zeros."""
    head = os.pread(descriptor, _DTS_SEARCH_BYTES, start).lstrip(b"\0")
    return head[:4] in _DTS


def _is_end(descriptor: int, end: int, size: int) -> bool:
    """Whether the samples end here: nothing or little follows, another chunk, or tags."""
    follows = os.pread(descriptor, 64, end)
    behind_padding = follows[1:] if end % 2 else follows
    return (
        size - end <= _LEFTOVER_BYTES
        or any(_is_name(head[:4]) or starts_with_tag(head) for head in (follows, behind_padding))
        or audio_end(descriptor, end, size) <= end + 1
    )


def _goes_on(descriptor: int, codec: int, form: bytes, start: int, end: int) -> bool:
    """Whether what follows the samples resembles them, so that there are more of them than the header says.

    Junk is as loud as can be, and each of its values is independent of the one before.
    """
    channels, _, byte_rate, block_align = struct.unpack_from("<HIIH", form, 2)
    if not channels or not block_align:
        return False
    length = min(byte_rate, end - start) // block_align * block_align
    before, after = (
        _values(os.pread(descriptor, length, at), codec, channels, block_align) for at in (end - length, end)
    )
    if not len(before) or not after.any() or not np.isfinite(after).all():
        return False
    is_as_loud = np.abs(after).mean() <= _MOST_LOUDER * np.abs(before).mean() + _LEAST_LOUD
    return bool(is_as_loud and _roughness(after) <= _roughness(before) + _MOST_ROUGHER)


def _values(data: bytes, codec: int, channels: int, block_align: int) -> np.ndarray:
    """The samples of one channel, roughly, in [-1, 1]: (T,)."""
    width = block_align // channels
    whole = np.frombuffer(data, np.uint8)[: len(data) // block_align * block_align].reshape(-1, block_align)
    if codec == _FLOAT and width == 4:
        return np.ascontiguousarray(whole[:, :4]).view("<f4")[:, 0]
    loudest_byte = whole[:, width - 1]
    values = loudest_byte.astype(np.float32) - 128 if width == 1 else loudest_byte.view(np.int8)
    return values.astype(np.float32) / 128


def _roughness(values: np.ndarray) -> float:
    """How much each value differs from the one before, as a share of their size; 1.3 for random bytes."""
    return (
        float(np.abs(np.diff(values)).mean() / max(np.abs(values).mean(), 1e-6)) if len(values) > 1 else 0.0
    )


def read_aiff(descriptor: int, offset: int, size: int) -> Layout:
    """Raises `Corrupt` for a file without a description of its samples, or without any."""
    common = b""
    kind = os.pread(descriptor, 4, offset + 8)
    for chunk in _chunks(descriptor, offset, size, ">"):
        if chunk.name == b"COMM":
            common = os.pread(descriptor, min(chunk.length, 1 << 10), chunk.start)
        elif chunk.name == b"SSND" and len(common) >= 18:
            return _aiff_layout(kind, common, chunk.start, size)
    raise Corrupt("The file has no samples, or no description of them: it is cut off or damaged.")


def _aiff_layout(kind: bytes, common: bytes, start: int, size: int) -> Layout:
    channels, frames, bits, exponent, mantissa = struct.unpack_from(">HIHHQ", common)
    is_plain = kind == b"AIFF" or common[18:22] in _PLAIN_AIFF_CODECS
    sample_rate = mantissa * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63) if exponent < 16400 else 0.0
    if frames or not is_plain:
        return Layout(frames / sample_rate if sample_rate >= 1 and frames else None, is_plain, size)
    start += 8  # offset and block size, which nobody uses
    width = channels * (bits + 7) // 8
    frames = max(0, size - start) // width if width else 0
    common = common[:2] + struct.pack(">I", frames) + common[6:]
    sound = struct.pack(">4sIII", b"SSND", frames * width + 8, 0, 0)
    body = kind + struct.pack(">4sI", b"COMM", len(common)) + common + b"\0" * (len(common) % 2) + sound
    head = struct.pack(">4sI", b"FORM", len(body) + frames * width) + body
    return Layout(None, is_plain, size, head if frames else b"", start)


@dataclass(frozen=True, slots=True)
class _Chunk:
    name: bytes
    start: int  # of its content
    length: int
    is_aligned: bool  # lies where the length of the chunk before and its padding say


def _chunks(descriptor: int, offset: int, size: int, order: str) -> Iterator[_Chunk]:
    """The chunks of a RIFF or AIFF file up to the first that is cut off."""
    position, is_aligned = offset + 12, True
    for _ in range(_MAX_CHUNKS):
        head = os.pread(descriptor, 8, position)
        if len(head) < 8:
            return
        name, length = struct.unpack(f"{order}4sI", head)
        yield _Chunk(name, position + 8, length, is_aligned)
        position += 8 + length
        if length % 2:  # a byte of padding, which some programs forget
            following = os.pread(descriptor, 5, position)
            is_aligned = not _is_name(following[:4]) or _is_name(following[1:5])
            position += is_aligned
        if position > size:
            return


def _is_name(name: bytes) -> bool:
    """Whether a chunk may be called so: letters, digits, spaces and underscores behind one letter."""
    return _NAME.fullmatch(name) is not None
