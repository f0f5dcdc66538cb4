"""Tell what a file is by its content, and how long it claims to be. File names are never looked at."""

import os
import struct
from dataclasses import dataclass

from core.audio import mpeg
from core.errors import Corrupt, Empty, NotAudio

# More leftovers than this behind the last page of an Ogg stream are a hole, not a stray tag.
_TRAILER_BYTES = 1 << 16
_MAX_CHUNKS = 1000

# Codes that recorders and pipes write for "length not known yet" are near these 32-bit limits.
_OPEN_ENDED_BYTES = 0x7FFF0000

_PLAIN_WAV_CODECS = frozenset({1, 3, 6, 7})  # PCM, float, A-law, mu-law
_PLAIN_AIFF_CODECS = frozenset(
    {b"NONE", b"twos", b"sowt", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32", b"ulaw", b"alaw"}
)
_ASF = bytes.fromhex("3026b2758e66cf11")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_HEADER_BYTES = 1 << 16
_MATROSKA = bytes.fromhex("1a45dfa3")
_MP4_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


@dataclass(frozen=True, slots=True)
class Format:
    """How to decode a file."""

    demuxer: str  # FFmpeg's name of the container
    offset: int = 0  # where the audio container starts, behind tags and junk
    promised_s: float | None = None  # what its own header claims; None: nothing, or not believable
    needs_av: bool = False  # libsndfile cannot decode it
    is_uncounted: bool = False  # MPEG audio without a count of its frames
    is_opus: bool = False


def sniff(descriptor: int) -> Format:
    """The format of an open file; raises `Empty`, `NotAudio` or `Corrupt`."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        raise Empty("The file is empty.")
    offset = _skip_id3(descriptor, size)
    head = os.pread(descriptor, 64, offset)
    if head[:4] == b"fLaC":
        return Format("flac", offset, _flac_promise(head))
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _sniff_wav(descriptor, offset)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _sniff_aiff(descriptor, offset)
    if head[:4] == b"OggS":
        _check_pages(descriptor, offset, size)
        is_opus = offset == 0 and head[28:36] == b"OpusHead"
        return Format("ogg", offset, is_opus=is_opus)
    if head[4:8] in _MP4_ATOMS and int.from_bytes(head[:4], "big") <= size:
        return Format("mov", needs_av=True)
    if head[:8] == _ASF:
        return Format("asf", promised_s=_asf_promise(descriptor), needs_av=True)
    if head[:4] == _MATROSKA:
        return Format("matroska", needs_av=True)
    if _is_adts(descriptor, offset, head):
        return Format("aac", needs_av=True)
    return _sniff_mpeg(descriptor, offset, size)


def _skip_id3(descriptor: int, size: int) -> int:
    """Offset behind all leading ID3v2 tags (which may carry megabytes of cover art)."""
    offset = 0
    while True:
        head = os.pread(descriptor, 10, offset)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 127:
            return offset
        length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        offset += 10 + length + (10 if head[5] & 0x10 else 0)
        if offset == size:
            raise Empty("The file holds tags, but no audio.")
        if offset > size:
            raise Corrupt("The file is cut off inside of its tags.")


def _sniff_mpeg(descriptor: int, start: int, size: int) -> Format:
    offset = mpeg.find_first_frame(descriptor, start, size)
    if offset is None:
        raise NotAudio
    frame = mpeg.parse_frame(os.pread(descriptor, 4, offset))
    assert frame is not None
    frame_s = frame.samples / frame.sample_rate
    promised = mpeg.promised_frames(descriptor, offset)
    if promised is not None:
        return Format("mp3", offset, promised * frame_s)
    counted, to_the_end = mpeg.count_frames(descriptor, offset, size)
    return Format("mp3", offset, counted * frame_s if to_the_end else None, is_uncounted=True)


def _flac_promise(head: bytes) -> float | None:
    """STREAMINFO (RFC 9639, 8.2): 20 bits sample rate, 3 channels, 5 bits, 36 bits number of samples."""
    fields = int.from_bytes(head[18:26], "big")
    sample_rate, samples = fields >> 44, fields & (1 << 36) - 1
    return samples / sample_rate if sample_rate and samples else None


def _asf_promise(descriptor: int) -> float | None:
    """Play duration of the File Properties object (ASF specification, 3.2), less its preroll."""
    head = os.pread(descriptor, _ASF_HEADER_BYTES, 0)
    fields = head[head.find(_ASF_PROPERTIES) :][64:96] if _ASF_PROPERTIES in head else b""
    if len(fields) < 28:
        return None
    duration, _, preroll_ms, flags = struct.unpack_from("<QQQI", fields)
    is_broadcast = flags & 1
    return None if is_broadcast else max(0.0, duration / 1e7 - preroll_ms / 1e3) or None


def _sniff_wav(descriptor: int, offset: int) -> Format:
    byte_rate, data_bytes, is_plain = 0, 0, True
    for name, position, length in _chunks(descriptor, offset, "<"):
        if name == b"fmt ":
            fields = os.pread(descriptor, 26, position)
            codec, _, sample_rate, _, block_align = struct.unpack_from("<HHIIH", fields.ljust(26, b"\0"))
            codec = int.from_bytes(fields[24:26], "little") if codec == 0xFFFE else codec
            byte_rate, is_plain = sample_rate * block_align, codec in _PLAIN_WAV_CODECS
        elif name == b"ds64":
            data_bytes = int.from_bytes(os.pread(descriptor, 8, position + 8), "little")
        elif name == b"data":
            data_bytes = length if length < _OPEN_ENDED_BYTES else data_bytes
            break
    else:
        raise Corrupt
    promised = data_bytes / byte_rate if byte_rate and data_bytes and is_plain else None
    return Format("wav", offset, promised, needs_av=not is_plain)


def _sniff_aiff(descriptor: int, offset: int) -> Format:
    for name, position, _ in _chunks(descriptor, offset, ">"):
        if name != b"COMM":
            continue
        fields = os.pread(descriptor, 22, position).ljust(22, b"\0")
        _, frames, _, exponent, mantissa = struct.unpack_from(">HIHHQ", fields)
        is_plain = fields[18:22] in _PLAIN_AIFF_CODECS or os.pread(descriptor, 4, offset + 8) == b"AIFF"
        sample_rate = mantissa * 2.0 ** ((exponent & 0x7FFF) - 16383 - 63) if exponent < 16400 else 0.0
        promised = frames / sample_rate if sample_rate >= 1 and frames else None
        return Format("aiff", offset, promised, needs_av=not is_plain)
    raise Corrupt


def _chunks(descriptor: int, offset: int, order: str) -> list[tuple[bytes, int, int]]:
    """Name, position and length of the chunks of a RIFF or AIFF file up to the first that is cut off."""
    found = []
    position = offset + 12
    for _ in range(_MAX_CHUNKS):
        head = os.pread(descriptor, 8, position)
        if len(head) < 8:
            break
        name, length = struct.unpack(f"{order}4sI", head)
        found.append((name, position + 8, length))
        position += 8 + length + length % 2
    return found


def _check_pages(descriptor: int, offset: int, size: int) -> None:
    """Walk the pages of an Ogg stream (RFC 3533): its last one must be whole, and nothing big behind it."""
    while offset < size:
        head = os.pread(descriptor, 27 + 255, offset)
        if head[:4] != b"OggS":
            if size - offset > _TRAILER_BYTES or b"OggS".startswith(head[:4]):
                raise Corrupt
            return
        if len(head) < 27 or len(head) < 27 + head[26]:
            raise Corrupt
        offset += 27 + head[26] + sum(head[27 : 27 + head[26]])
    if offset > size:
        raise Corrupt


def _is_adts(descriptor: int, offset: int, head: bytes) -> bool:
    """Two AAC frames in a row."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return False
    length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    following = os.pread(descriptor, 2, offset + length)
    return length >= 7 and len(following) == 2 and following[0] == 0xFF and following[1] & 0xF6 == 0xF0
