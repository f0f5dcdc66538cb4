"""FLAC headers, and the boundaries of concatenated FLAC streams (RFC 9639)."""

import os
import re

_MARK = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
_MARK_BYTES = 8
_SEARCH_BYTES = 1 << 22

# Frame header (9.1): sync code, block size and sample rate, channels and bits; a coded number follows.
_FRAME = re.compile(rb"\xff[\xf8\xf9][\x10-\xfe][\x00-\xaf]")
_TAIL_BYTES = 1 << 16
_MAX_HEADER_BYTES = 16


def declared_s(head: bytes) -> float | None:
    """Duration by STREAMINFO (8.2): 20 bits sample rate, 3 channels, 5 bit depth, 36 number of samples."""
    fields = int.from_bytes(head[18:26], "big")
    sample_rate, samples = fields >> 44, fields & (1 << 36) - 1
    return samples / sample_rate if sample_rate and samples else None


def next_stream(descriptor: int, start: int, size: int) -> int | None:
    """Offset of the first stream at or after `start`; None if there is none."""
    while start < size:
        block = os.pread(descriptor, _SEARCH_BYTES, start)
        if found := _MARK.search(block):
            return start + found.start()
        if start + len(block) >= size or not block:
            return None
        start += max(1, len(block) - _MARK_BYTES)
    return None


def exceeds_declared_length(descriptor: int, start: int, end: int) -> bool:
    """Whether a frame near `end` lies beyond the number of samples in STREAMINFO.

    `start`: offset of the stream. A false positive, in about one file of a thousand, only costs time.
    """
    head = os.pread(descriptor, 26, start)
    samples = int.from_bytes(head[18:26], "big") & (1 << 36) - 1
    block_samples, frame_bytes = int.from_bytes(head[10:12], "big"), int.from_bytes(head[15:18], "big")
    if not samples:
        return False
    tail_start = max(start, end - max(_TAIL_BYTES, 2 * frame_bytes))
    tail = os.pread(descriptor, end - tail_start, tail_start)
    firsts = (
        _first_sample(tail[found.start() :][:_MAX_HEADER_BYTES], block_samples)
        for found in _FRAME.finditer(tail)
    )
    return any(first >= samples for first in firsts)


def _first_sample(header: bytes, block_samples: int) -> int:
    """Number of the first sample of a frame; -1 if these bytes are not a frame header."""
    number, length = _coded_number(header[4:])
    if not length:
        return -1
    size_code, rate_code = header[2] >> 4, header[2] & 15
    length += 4 + {6: 1, 7: 2}.get(size_code, 0) + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if len(header) <= length or _crc8(header[:length]) != header[length]:
        return -1
    return number if header[1] & 1 else number * block_samples


def _coded_number(data: bytes) -> tuple[int, int]:
    """A number of up to 36 bits in UTF-8 coding (9.1.5), and its length in bytes; 0 if it is invalid."""
    if not data:
        return 0, 0
    ones = 8 - (data[0] ^ 0xFF).bit_length()
    if ones == 0:
        return data[0], 1
    if ones in (1, 8) or len(data) < ones or any(byte >> 6 != 2 for byte in data[1:ones]):
        return 0, 0
    number = data[0] & (0x7F >> ones)
    for byte in data[1:ones]:
        number = number << 6 | byte & 63
    return number, ones


def _crc8(data: bytes) -> int:
    """CRC with the polynomial x^8 + x^2 + x + 1 (9.1.8)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 ^ (0x107 if crc & 0x80 else 0)
    return crc
