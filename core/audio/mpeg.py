"""Read the frame headers of MPEG audio (MP3 and its kin): where it starts, how long it claims to be."""

import os
from dataclasses import dataclass

# ISO 11172-3 and 13818-3, kbit/s by the header's 4-bit index (0: free format, 15: forbidden; both refused)
_BITRATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_LAYERS = {3: 1, 2: 2, 1: 3}

# Junk that players skip before the first frame; no tag editor is known to leave more than a sector or two.
_SEARCH_BYTES = 1 << 16
_CHAIN = 3
_READ_BYTES = 1 << 20
_TRAILER_BYTES = 1 << 16  # tags behind the last frame


@dataclass(frozen=True, slots=True)
class Frame:
    """One MPEG audio frame's header."""

    version: int  # the header's 2-bit field: 3 is MPEG-1, 2 is MPEG-2, 0 is MPEG-2.5
    layer: int
    sample_rate: int
    length: int  # bytes, the header included
    samples: int
    is_mono: bool

    @property
    def kind(self) -> tuple[int, int, int]:
        """What stays the same over a whole stream."""
        return self.version, self.layer, self.sample_rate


def parse_frame(header: bytes) -> Frame | None:
    """Frame from its first 4 bytes; None if they are no frame header."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, _LAYERS.get(header[1] >> 1 & 3)
    bitrate_index, rate_index, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer is None or bitrate_index in (0, 15) or rate_index == 3 or header[3] & 3 == 2:
        return None
    table = (1, layer) if version == 3 else (2, min(layer, 2))
    bits = _BITRATES[table][bitrate_index - 1] * 1000
    sample_rate = _SAMPLE_RATES[version][rate_index]
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    slot = 4 if layer == 1 else 1
    length = (samples // 8 // slot * bits // sample_rate + padding) * slot
    return Frame(version, layer, sample_rate, length, samples, is_mono=header[3] >> 6 == 3)


def find_first_frame(descriptor: int, start: int, size: int) -> int | None:
    """Offset of the first of three frames in a row at or shortly behind `start`; None: not MPEG audio.

    One header alone proves nothing: any text or picture may hold its eleven set bits.
    """
    head = os.pread(descriptor, _SEARCH_BYTES, start)
    position = head.find(b"\xff")
    while position >= 0:
        frame = parse_frame(head[position : position + 4])
        if frame and _is_chain(descriptor, start + position, frame, size, cut_off=position == 0):
            return start + position
        position = head.find(b"\xff", position + 1)
    return None


def _is_chain(descriptor: int, offset: int, frame: Frame, size: int, *, cut_off: bool) -> bool:
    """Whether enough frames follow; a file cut inside of its very first frames counts only at its start."""
    first = frame
    for _ in range(_CHAIN - 1):
        offset += frame.length
        if offset >= size:
            return cut_off
        header = os.pread(descriptor, 4, offset)
        if header[:3] == b"TAG" or header == b"APET":
            return cut_off
        following = parse_frame(header)
        if following is None or following.kind != first.kind:
            return False
        frame = following
    return True


def promised_frames(descriptor: int, offset: int) -> int | None:
    """Number of frames that a Xing, Info or VBRI header in the first frame claims; None: no such header."""
    data = os.pread(descriptor, 200, offset)
    frame = parse_frame(data)
    if frame is None or frame.layer != 3:
        return None
    xing = data[4 + _side_info_bytes(frame) :]
    if xing[:4] in (b"Xing", b"Info") and xing[7] & 1:
        count = int.from_bytes(xing[8:12], "big")
    elif data[36:40] == b"VBRI":
        count = int.from_bytes(data[50:54], "big")
    else:
        return None
    return count or None


def count_frames(descriptor: int, offset: int, size: int) -> tuple[int, bool]:
    """Number of frames from `offset` by walking their headers, and whether that came to the file's end."""
    count, base, block = 0, offset, b""
    while True:
        if offset + 4 > base + len(block):
            base, block = offset, os.pread(descriptor, _READ_BYTES, offset)
        frame = parse_frame(block[offset - base : offset - base + 4])
        if frame is None or offset + frame.length > size:
            return count, size - offset <= _TRAILER_BYTES
        count += 1
        offset += frame.length


def counting_frame(first: bytes, count: int) -> bytes:
    """A frame to put in front of a stream that starts with the header `first`: it says how many follow.

    Without one, decoders guess the length from the first frame's bit rate and stop there.
    """
    header = bytes([first[0], first[1] | 1, 0x90 | first[2] & 0x0D, first[3]])  # no CRC, a middling bit rate
    frame = parse_frame(header)
    assert frame is not None
    body = header + bytes(_side_info_bytes(frame)) + b"Xing" + bytes([0, 0, 0, 1]) + count.to_bytes(4, "big")
    return body.ljust(frame.length, b"\0")


def _side_info_bytes(frame: Frame) -> int:
    if frame.version == 3:
        return 17 if frame.is_mono else 32
    return 9 if frame.is_mono else 17
