"""Frames of MPEG audio (layers I to III), and Xing and VBRI headers."""

import os
import re
from dataclasses import dataclass
from functools import partial

from core.ml.audio.framing import Frame, Syntax, find_run

# ISO 11172-3 and 13818-3, kbit/s by the header's 4-bit index (0: free format, 15: forbidden)
_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_LAYERS = {3: 1, 2: 2, 1: 3}
_READ_BYTES = 1 << 20

# Sync, version and layer; a stated (or free) valid bit rate; a valid sample rate.
_SECOND = b"[\xe2-\xe7\xf2-\xff]"
_STATED = b"[" + b"".join(re.escape(bytes([b])) for b in range(0x10, 0xF0) if b & 0x0C != 0x0C) + b"]"
_FREE = b"[" + b"".join(re.escape(bytes([b])) for b in range(0x10) if b & 0x0C != 0x0C) + b"]"
_START = re.compile(b"\xff" + _SECOND + _STATED, re.DOTALL)
_FREE_START = re.compile(b"\xff" + _SECOND + _FREE, re.DOTALL)
_MAX_FREE_BYTES = 1 << 13  # more than 640 kbit/s at 32 kHz

_DECODER_DELAY = 529  # samples, of every decoder; LAME's technical FAQ


@dataclass(frozen=True, slots=True)
class XingHeader:
    """A Xing, Info or VBRI header, in the first frame of a song."""

    frames: int  # excluding the one with the header
    stream_bytes: int  # including it; 0 if not stated
    skip: int = 0  # samples of encoder and decoder delay at the start, which players skip
    padding: int = 0  # samples at the end

    def seconds(self, frame: Frame) -> float:
        return max(0, self.frames * frame.samples - self.skip - self.padding) / frame.sample_rate


def parse_frame(header: bytes) -> Frame | None:
    """The frame described by its first 4 bytes; None if they are no frame header or of a free bit rate."""
    return _parse(header, free_length=0)


SYNTAX = Syntax(_START, parse_frame)


def _parse(header: bytes, free_length: int) -> Frame | None:
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, _LAYERS.get(header[1] >> 1 & 3)
    bitrate_index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer is None or bitrate_index == 15 or rate_index == 3 or header[3] & 3 == 2:
        return None
    if (bitrate_index == 0) != (free_length > 0):
        return None
    sample_rate = _SAMPLE_RATES[version][rate_index]
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    slot = 4 if layer == 1 else 1
    if free_length:
        length = free_length + padding * slot
    else:
        table = (1, layer) if version == 3 else (2, min(layer, 2))
        bits = _BITRATES[table][bitrate_index - 1] * 1000
        length = (samples // 8 // slot * bits // sample_rate + padding) * slot
    is_mono = header[3] >> 6 == 3
    return Frame((version, layer, sample_rate, is_mono), sample_rate, length, samples)


def find_free_format(descriptor: int, start: int, end: int) -> tuple[int, Syntax] | None:
    """Offset of the first frame with a free bit rate near `start`, and the syntax of such frames.

    These frames do not state their length, which is the distance to the next header.
    """
    head = os.pread(descriptor, min(_READ_BYTES, end - start), start)
    for match in _FREE_START.finditer(head, 0, 1 << 16):
        at = match.start()
        padding = head[at + 2] >> 1 & 1
        for following in _FREE_START.finditer(head, at + 32, at + _MAX_FREE_BYTES):
            length = following.start() - at - padding
            syntax = Syntax(_FREE_START, partial(_parse, free_length=length))
            if find_run(descriptor, start + at, end, syntax, 4, most=1) is not None:
                return start + at, syntax
    return None


def read_xing_header(descriptor: int, offset: int) -> XingHeader | None:
    """The header in the frame at `offset`; None if it is an ordinary audio frame."""
    return parse_xing_header(os.pread(descriptor, 256, offset))


def parse_xing_header(data: bytes) -> XingHeader | None:
    """The header in a frame, from the frame's first 256 bytes; None if there is none."""
    frame = _parse(data, 0) or _parse(data, 1)
    if frame is None or frame.kind[1] != 3:
        return None
    at = 4 + _side_info_bytes(frame)
    if data[at : at + 4] in (b"Xing", b"Info"):
        return _parse_xing(data[at:])
    if data[36:40] == b"VBRI":
        return XingHeader(int.from_bytes(data[50:54], "big"), int.from_bytes(data[46:50], "big"))
    return None


def _parse_xing(data: bytes) -> XingHeader:
    """The fields announced by the flags, and the delays of LAME's tag after them."""
    flags, at = data[7], 8
    frames = stream_bytes = skip = padding = 0
    if flags & 1:
        frames, at = int.from_bytes(data[at : at + 4], "big"), at + 4
    if flags & 2:
        stream_bytes, at = int.from_bytes(data[at : at + 4], "big"), at + 4
    at += (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
    if data[at : at + 4] in (b"LAME", b"Lavc", b"Lavf", b"GOGO"):
        delays = int.from_bytes(data[at + 21 : at + 24], "big")
        skip, padding = (delays >> 12) + _DECODER_DELAY, max(0, (delays & 0xFFF) - _DECODER_DELAY)
    return XingHeader(frames, stream_bytes, skip, padding)


@dataclass(frozen=True, slots=True)
class Count:
    """The frames of a stream up to the first bytes that are not a frame."""

    frames: int
    end: int  # offset of those bytes
    is_uniform: bool  # constant version, layer, sample rate and channels, and a single song


def count_frames(descriptor: int, offset: int, end: int) -> Count:
    """Count the frames from `offset`, using a table of lengths: this runs on every file of a library."""
    lengths = _length_table()
    frames, base, block = 0, offset, b""
    kinds: set[tuple[int, int, bool]] = set()
    songs = 0
    while True:
        block = os.pread(descriptor, min(_READ_BYTES, end - base), base)
        songs += block.count(b"Xing\0\0\0") + block.count(b"Info\0\0\0")
        position, last = 0, len(block) - 4
        while position <= last and block[position] == 0xFF:
            second, third = block[position + 1], block[position + 2]
            length = lengths[second << 8 | third]
            if not length or base + position + length > end:
                break
            kinds.add((second & 0xFE, third & 0x0C, block[position + 3] >> 6 == 3))
            frames += 1
            position += length
        is_over = position <= last or base + len(block) >= end
        base += position
        if is_over or not block:
            return Count(frames, base, len(kinds) <= 1 and songs <= 1)


def _length_table() -> list[int]:
    if not _LENGTHS:
        _LENGTHS.extend(
            frame.length if (frame := parse_frame(bytes([0xFF, second, third, 0]))) else 0
            for second in range(256)
            for third in range(256)
        )
    return _LENGTHS


_LENGTHS: list[int] = []


def xing_frame(first: bytes, count: int) -> bytes:
    """A frame with a Xing header that states `count` frames, to prepend to a stream with the header `first`.

    Without one, decoders estimate the length from the first frame's bit rate and stop there.
    """
    header = bytes([first[0], first[1] | 1, 0x90 | first[2] & 0x0D, first[3]])  # no CRC, a medium bit rate
    frame = parse_frame(header)
    assert frame is not None
    body = header + bytes(_side_info_bytes(frame)) + b"Xing" + bytes([0, 0, 0, 1]) + count.to_bytes(4, "big")
    return body.ljust(frame.length, b"\0")


def _side_info_bytes(frame: Frame) -> int:
    version, _, _, is_mono = frame.kind
    if version == 3:
        return 17 if is_mono else 32
    return 9 if is_mono else 17
