"""WAV and AIFF: locates the samples, even if the sizes in the headers are wrong."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from core.errors import Corrupt
from core.library.chunks import PADDING_LOOKAHEAD, is_chunk_name, padding_bytes
from core.ml.audio.pcm import Pcm, continues, silence_end
from core.ml.audio.tagblocks import audio_end, starts_with_tag

_MAX_CHUNKS = 1000
# Recorders and pipes write sizes near the 32-bit limits for "length unknown".
_OPEN_ENDED_BYTES = 0x7FFF0000
_UNKNOWN_SIZE_BYTES = 1 << 48  # larger 64-bit sizes also mean "length unknown"
# Fewer trailing bytes than this do not put the stated length in doubt.
_LEFTOVER_BYTES = 1 << 12
# More ignored bytes than this cause a warning: a fifth of a second of CD audio.
_WARNED_BYTES = 1 << 15

_PLAIN_WAV_CODECS = frozenset({1, 3, 6, 7})  # PCM, float, A-law, mu-law
_PLAIN_AIFF_CODECS = frozenset(
    {b"NONE", b"twos", b"sowt", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32", b"ulaw", b"alaw"}
)
# Sync words of DTS stored as 16-bit samples, in both byte orders, with 14 and 16 bits (ETSI TS 102 114)
_DTS = (b"\xfe\x7f\x01\x80", b"\x7f\xfe\x80\x01", b"\xff\x1f\x00\xe8", b"\x1f\xff\xe8\x00")
_DTS_SEARCH_BYTES = 1 << 14
_FLOAT = 3
_WAV_NAMES = (b"RIFF", b"RF64", b"BW64", b"RIFX")
_MAX_UINT32 = (1 << 32) - 1
# Bytes per sample of AIFF codecs, regardless of the stated number of bits.
_AIFF_SAMPLE_BYTES = {
    b"ulaw": 1, b"alaw": 1, b"in24": 3, b"in32": 4, b"fl32": 4, b"FL32": 4, b"fl64": 8, b"FL64": 8
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a file, by its headers if they are plausible."""

    declared_s: float | None
    is_plain: bool  # uncompressed samples that libsndfile reads
    end: int  # offset after the samples
    head: bytes = b""  # corrected headers to prepend to the samples; empty to use those of the file
    start: int = 0  # of the samples, if `head` is given
    has_more: bool = False  # another WAV begins at `end`
    ignored_bytes: int = 0  # after the stated end, neither samples nor chunks nor tags


def read_wav(descriptor: int, offset: int, size: int, order: str = "<") -> Layout:
    """The layout of a WAV file. Raises Corrupt if it has no samples or no description of them.

    `order`: byte order of all numbers, "<" or ">", as in `struct`.
    """
    fmt, ds64_bytes = b"", 0
    is_aligned = True
    for chunk in _chunks(descriptor, offset, size, order):
        is_aligned &= chunk.is_aligned
        if chunk.name == b"fmt ":
            fmt = os.pread(descriptor, min(chunk.length, 64), chunk.start)
        elif chunk.name == b"ds64":
            ds64_bytes = int.from_bytes(os.pread(descriptor, 8, chunk.start + 8), "little")
            ds64_bytes = ds64_bytes if ds64_bytes < _UNKNOWN_SIZE_BYTES else 0
        elif chunk.name == b"data" and len(fmt) >= 16:
            length = chunk.length if chunk.length < _OPEN_ENDED_BYTES else ds64_bytes
            return _wav_layout(descriptor, fmt, chunk.start, length, size, order, is_aligned=is_aligned)
    raise Corrupt("The file has no samples, or no description of them: it is cut off or damaged.")


def read_rifx(descriptor: int, offset: int, size: int) -> Layout:
    """The layout of a big-endian WAV file."""
    return read_wav(descriptor, offset, size, ">")


def _wav_layout(
    descriptor: int, fmt: bytes, start: int, length: int, size: int, order: str, *, is_aligned: bool
) -> Layout:
    codec, channels, sample_rate, _, frame_bytes = struct.unpack_from(f"{order}HHIIH", fmt)
    if codec == 0xFFFE and len(fmt) >= 26:
        (codec,) = struct.unpack_from(f"{order}H", fmt, 24)
    is_plain = codec in _PLAIN_WAV_CODECS and not (codec == 1 and _holds_dts(descriptor, start))
    is_signed = not channels or frame_bytes // channels > 1
    pcm = Pcm(channels, frame_bytes, sample_rate, order, codec == _FLOAT, is_signed) if is_plain else None
    end = start + length
    following = os.pread(descriptor, 12, end)
    has_more = following[:4] in _WAV_NAMES and following[8:] == b"WAVE"
    after = _Trailing() if has_more else _inspect_trailing(descriptor, pcm, start, end, size, order)
    is_believed = length > 0 and not after.continues
    if is_believed and (is_aligned or not is_plain):
        byte_rate = sample_rate * frame_bytes
        declared_s = length / byte_rate if byte_rate and is_plain else None
        return Layout(
            declared_s, is_plain, min(size, end), has_more=has_more, ignored_bytes=after.ignored_bytes
        )
    ignored_bytes = after.ignored_bytes if is_believed else 0
    end = min(size, end) if is_believed else audio_end(descriptor, start, size)
    head = _wav_head(fmt, end - start, order) if is_plain and end > start else b""
    return Layout(None, is_plain, end, head, start, is_believed and has_more, ignored_bytes)


def _wav_head(fmt: bytes, length: int, order: str) -> bytes:
    """Headers of a WAV with `length` bytes of samples; if possible with 64-bit sizes (EBU Tech 3306)."""
    fields = struct.pack(f"{order}4sI", b"fmt ", len(fmt)) + fmt + b"\0" * (len(fmt) % 2)
    if order == ">":
        riff_bytes, data_bytes = min(length + len(fields) + 12, _MAX_UINT32), min(length, _MAX_UINT32)
        fields += struct.pack(">4sI", b"data", data_bytes)
        return b"RIFX" + struct.pack(">I", riff_bytes) + b"WAVE" + fields
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, length + 64 + len(fmt), length, 0, 0)
    return b"RF64\xff\xff\xff\xffWAVE" + ds64 + fields + b"data\xff\xff\xff\xff"


def _holds_dts(descriptor: int, start: int) -> bool:
    """Whether the samples are really DTS frames, as on CDs, padded with zeros."""
    head = os.pread(descriptor, _DTS_SEARCH_BYTES, start).lstrip(b"\0")
    return head[:4] in _DTS


@dataclass(frozen=True, slots=True)
class _Trailing:
    """The content after the stated end of the samples."""

    continues: bool = False  # more samples
    ignored_bytes: int = 0  # other data that is neither chunk nor tag


def _inspect_trailing(
    descriptor: int, pcm: Pcm | None, start: int, end: int, size: int, order: str
) -> _Trailing:
    """Examine the content after `end`. `pcm`: layout of the samples in [start, end); None if compressed."""
    if size - end <= _LEFTOVER_BYTES or _is_end(descriptor, end, size, order):
        return _Trailing()
    tags_start = audio_end(descriptor, end, size)
    content = silence_end(descriptor, pcm, end, tags_start)
    if content is None or _is_end(descriptor, content, size, order):
        return _Trailing()
    if pcm and continues(descriptor, pcm, start, end, content):
        return _Trailing(continues=True)
    return _Trailing(ignored_bytes=tags_start - end if tags_start - content > _WARNED_BYTES else 0)


def _is_end(descriptor: int, end: int, size: int, order: str) -> bool:
    """Whether the samples end here, followed by another chunk or tags."""
    places = (end, end + 1) if end % 2 else (end,)
    heads = [os.pread(descriptor, 64, place) for place in places]
    return (
        any(starts_with_tag(head) for head in heads)
        or any(_is_chunk(head, size - place, order) for head, place in zip(heads, places, strict=True))
        or audio_end(descriptor, end, size) <= end + 1
    )


def _is_chunk(head: bytes, most: int, order: str) -> bool:
    """Whether `head` begins a chunk of at most `most` bytes, including its header."""
    if len(head) < 8 or not is_chunk_name(head[:4]):
        return False
    (length,) = struct.unpack_from(f"{order}I", head, 4)
    return bool(8 + length <= most)


def read_aiff(descriptor: int, offset: int, size: int) -> Layout:
    """The layout of an AIFF file. Raises Corrupt if it has no samples or no description of them."""
    common = b""
    kind = os.pread(descriptor, 4, offset + 8)
    for chunk in _chunks(descriptor, offset, size, ">"):
        if chunk.name == b"COMM":
            common = os.pread(descriptor, min(chunk.length, 1 << 10), chunk.start)
        elif chunk.name == b"SSND" and len(common) >= 18:
            return _aiff_layout(descriptor, kind, common, chunk, size)
    raise Corrupt("The file has no samples, or no description of them: it is cut off or damaged.")


def _aiff_layout(descriptor: int, kind: bytes, common: bytes, chunk: "_Chunk", size: int) -> Layout:
    channels, frames, bits, exponent, mantissa = struct.unpack_from(">HIHHQ", common)
    codec = common[18:22] if kind == b"AIFC" else b"NONE"
    is_plain = codec in _PLAIN_AIFF_CODECS
    sample_rate = mantissa * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63) if exponent < 16400 else 0.0
    declared_s = frames / sample_rate if sample_rate >= 1 and frames else None
    if not is_plain:
        return Layout(declared_s, is_plain, size)
    start = chunk.start + 8  # after offset and block size, which are unused in practice
    width = channels * _AIFF_SAMPLE_BYTES.get(codec, (bits + 7) // 8)
    order, is_float = "<" if codec == b"sowt" else ">", codec.lower().startswith(b"fl")
    end = start + frames * width
    pcm = Pcm(channels, width, int(sample_rate), order, is_float)
    after = _inspect_trailing(descriptor, pcm, start, end, size, ">") if frames and width else _Trailing()
    if frames and not after.continues:
        return Layout(declared_s, is_plain, size, ignored_bytes=after.ignored_bytes)
    chunk_end = chunk.start + chunk.length
    end = chunk_end if end + 1 < chunk_end <= size else audio_end(descriptor, start, size)
    frames = max(0, end - start) // width if width else 0
    common = common[:2] + struct.pack(">I", frames) + common[6:]
    sound = struct.pack(">4sIII", b"SSND", frames * width + 8, 0, 0)
    body = kind + struct.pack(">4sI", b"COMM", len(common)) + common + b"\0" * (len(common) % 2) + sound
    head = struct.pack(">4sI", b"FORM", len(body) + frames * width) + body
    return Layout(None, is_plain, end, head if frames else b"", start)


@dataclass(frozen=True, slots=True)
class _Chunk:
    name: bytes
    start: int  # of its content
    length: int
    is_aligned: bool  # begins where the previous chunk and its padding end


def _chunks(descriptor: int, offset: int, size: int, order: str) -> Iterator[_Chunk]:
    """The chunks of a RIFF or AIFF file up to the first truncated one."""
    position, is_aligned = offset + 12, True
    for _ in range(_MAX_CHUNKS):
        head = os.pread(descriptor, 8, position)
        if len(head) < 8:
            return
        name, length = struct.unpack(f"{order}4sI", head)
        yield _Chunk(name, position + 8, length, is_aligned)
        position += 8 + length
        padding = padding_bytes(length, os.pread(descriptor, PADDING_LOOKAHEAD, position))
        is_aligned = padding == length % 2
        position += padding
        if position > size:
            return
