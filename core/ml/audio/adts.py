"""Frames of AAC without a container (ISO 14496-3, 1.A.2.2: ADTS)."""

import re

from core.ml.audio.framing import Frame, Syntax

_SAMPLE_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_HEADER_BYTES = 7


def parse_frame(header: bytes) -> Frame | None:
    """The frame described by its first 7 bytes; None if they are not a frame header."""
    if len(header) < _HEADER_BYTES or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return None
    rate_index = header[2] >> 2 & 15
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    if rate_index >= len(_SAMPLE_RATES) or length <= _HEADER_BYTES:
        return None
    blocks = (header[6] & 3) + 1
    channels = (header[2] & 1) << 2 | header[3] >> 6
    kind = (header[1] & 8, header[2] >> 6, rate_index, channels)
    return Frame(kind, _SAMPLE_RATES[rate_index], length, 1024 * blocks)


SYNTAX = Syntax(re.compile(rb"\xff[\xf0\xf1\xf8\xf9]", re.DOTALL), parse_frame)
