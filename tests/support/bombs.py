"""Small files made to cost much: time, memory, disk, or a look at what is none of theirs."""

import struct
import zlib
from collections.abc import Callable

from tests.support import sounds

HOUR_S = 3600
RATE = 44_100
_RATE_CODES = {44_100: 9, 96_000: 11}  # RFC 9639, 9.1.2; 0: as STREAMINFO says

# Named in playlists: a listener waits there, and the file is never to be read.
PLAYLIST_PORT = 18_734


def flac_of_one_value(seconds: float, sample_rate: int = RATE, channels: int = 2, value: int = 1) -> bytes:
    """FLAC that unpacks 13,000-fold and more: frames of 65,535 samples that are all the same (RFC 9639)."""
    bits = sample_rate << 44 | (channels - 1) << 41 | 15 << 36
    stream_info = struct.pack(">HH6x", 16, 65_535) + bits.to_bytes(8, "big") + bytes(16)
    header = bytes([0xFF, 0xF8, 7 << 4 | _RATE_CODES.get(sample_rate, 0), (channels - 1) << 4 | 4 << 1, 0])
    header += struct.pack(">H", 65_534)
    header += bytes([_crc(header, 8, 0x07)])
    frame = header + struct.pack(">BH", 0, value) * channels
    frame += _crc(frame, 16, 0x8005).to_bytes(2, "big")
    return b"fLaC\x80\0\0\x22" + stream_info + frame * round(seconds * sample_rate / 65_535)


def ogg_with_granule(ogg: bytes, granule: int) -> bytes:
    """The same Ogg stream whose last page claims another position."""
    start = ogg.rfind(b"OggS")
    return ogg[:start] + signed(ogg[start : start + 6] + struct.pack("<q", granule) + ogg[start + 14 :])


def opus_of_silence(seconds: float) -> bytes:
    """Opus whose packets of 20 ms say nothing in 3 bytes, 250 of them to a page (RFC 3533, 6716, 7845)."""
    pages = [(2, 0, [b"OpusHead\1\2\0\0\x80\xbb\0\0\0\0\0"]), (0, 0, [b"OpusTags" + bytes(8)])]
    last = round(seconds / 5)
    pages += [(4 * (page == last), page * 240_000, [b"\xfc\xff\xfe"] * 250) for page in range(1, last + 1)]
    return b"".join(
        signed(
            struct.pack("<4sBBqIII", b"OggS", 0, flags, granule, 1, number, 0)
            + bytes([len(packets), *map(len, packets)])
            + b"".join(packets)
        )
        for number, (flags, granule, packets) in enumerate(pages)
    )


def signed(page: bytes) -> bytes:
    """An Ogg page with its checksum."""
    unsigned = page[:22] + bytes(4) + page[26:]
    return page[:22] + _crc(unsigned, 32, 0x04C11DB7).to_bytes(4, "little") + page[26:]


def _crc(data: bytes, width: int, polynomial: int) -> int:
    value = 0
    for byte in data:
        value ^= byte << (width - 8)
        for _ in range(8):
            value = value << 1 ^ (polynomial if value >> (width - 1) else 0)
            value &= (1 << width) - 1
    return value


def wav(channels: int = 1, sample_rate: int = RATE, claimed_bytes: int = 0, data: bytes = b"") -> bytes:
    """A WAV file whose header says what it is told."""
    align = min(2 * channels, 65_535)
    fmt = struct.pack("<HHIIHH", 1, channels, sample_rate, sample_rate * align % (1 << 32), align, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", claimed_bytes) + data
    return b"RIFF" + struct.pack("<I", min(claimed_bytes + 36, 0xFFFFFFFF)) + chunks


def _wav_of_empty_chunks() -> bytes:
    return b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * 1_000_000


def _aiff_channels() -> bytes:
    aiff = bytearray(sounds.encoded_music("aiff"))
    at = aiff.index(b"COMM") + 8
    aiff[at : at + 2] = b"\xff\xff"
    return bytes(aiff)


def _xing() -> bytes:
    """An MP3 file whose first frame counts four thousand million frames."""
    mp3 = sounds.encoded_music("mp3")
    at = max(mp3.find(b"Xing"), mp3.find(b"Info"))
    return mp3[: at + 8] + b"\xff\xff\xff\xff" + mp3[at + 12 :]


def _tiny_mpeg_frames() -> bytes:
    """Frames of 24 bytes: every one of them is walked to find out how long the file is."""
    return (b"\xff\xf3\x14\xc4".ljust(24, b"\0")) * 300_000


def _id3_chain() -> bytes:
    return sounds.id3_tag(0) * 2_000_000 + sounds.encoded_music("mp3")


def _compressed_id3() -> bytes:
    """Tag frames of 4 kB that inflate to 4 MB, a thousand of them."""
    packed = zlib.compress(bytes(4 << 20), 9)
    body = struct.pack(">I", 4 << 20) + packed
    frames = (b"TIT2" + _synchsafe(len(body)) + b"\0\x09" + body) * 1000
    return b"ID3\4\0\0" + _synchsafe(len(frames)) + frames + sounds.encoded_music("mp3")


def _synchsafe(length: int) -> bytes:
    return bytes(length >> shift & 127 for shift in (21, 14, 7, 0))


def _mp4_tables() -> bytes:
    """An m4a file whose table of sample sizes claims to be as long as a table can be."""
    m4a = bytearray(_m4a())
    at = m4a.index(b"stts")
    m4a[at + 8 : at + 12] = struct.pack(">I", 0x0FFFFFFF)
    at = m4a.index(b"stsz")
    m4a[at + 8 : at + 16] = struct.pack(">II", 1, 0x7FFFFFFF)
    return bytes(m4a)


def _mp4_dolls() -> bytes:
    """Boxes in boxes in boxes."""
    box = b""
    for _ in range(20_000):
        box = struct.pack(">I", len(box) + 8) + b"moov" + box
    return struct.pack(">I", 8) + b"free" + box


def _m4a() -> bytes:
    return sounds.encode_av(sounds.noise(4, RATE), RATE, "mp4", "aac")


def _flac_comments() -> bytes:
    """FLAC whose comments claim to be four thousand million."""
    flac = sounds.encoded_music("flac")
    comment = struct.pack("<I", 0) + struct.pack("<I", 0xFFFFFFFF) + struct.pack("<I", 0) * 100_000
    return flac[:4] + flac[4:42] + b"\4" + len(comment).to_bytes(3, "big") + comment + flac[42:]


def _hls() -> bytes:
    return (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:{PLAYLIST_PORT}/a.ts\n"
        "#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    ).encode() * 50


def _concat() -> bytes:
    return f"ffconcat version 1.0\nfile /etc/passwd\nfile http://127.0.0.1:{PLAYLIST_PORT}/\n".encode() * 50


def _sdp() -> bytes:
    return (
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        b"m=audio 18734 RTP/AVP 97\na=rtpmap:97 opus/48000/2\n"
    ) * 50


# name -> its bytes, and the codes that are honest about it; None: it may be labelled
BOMBS: dict[str, tuple[Callable[[], bytes], set[str | None]]] = {
    "flac claims 433 hours": (
        lambda: sounds.with_flac_length(sounds.encoded_music("flac"), (1 << 36) - 1),
        {"corrupt"},
    ),
    "flac of 200 hours in 7 MB": (lambda: flac_of_one_value(200 * HOUR_S), {"too_long", "too_complex"}),
    "flac of 8 channels at 384 kHz": (
        lambda: flac_of_one_value(4 * HOUR_S, 384_000, 8),
        {"too_long", "too_complex"},
    ),
    "flac of an hour of silence": (lambda: flac_of_one_value(HOUR_S, value=0), {"too_complex"}),
    "opus of an hour of silence": (lambda: opus_of_silence(HOUR_S), {"silent"}),
    "flac of endless comments": (_flac_comments, {"corrupt", None}),
    "wav of 65,535 channels": (
        lambda: wav(channels=65_535, data=bytes(1 << 20)),
        {"corrupt", "unsupported_format"},
    ),
    "wav of 4 GHz": (
        lambda: wav(sample_rate=(1 << 32) - 1, data=bytes(1 << 20)),
        {"corrupt", "unsupported_format"},
    ),
    "wav claims 2 GB": (lambda: wav(claimed_bytes=2_000_000_000, data=bytes(1 << 20)), {"corrupt"}),
    "wav of a million chunks": (_wav_of_empty_chunks, {"corrupt", "not_audio"}),
    "aiff of 65,535 channels": (_aiff_channels, {"corrupt", "unsupported_format"}),
    "mp3 claims 4,000 million frames": (_xing, {None}),
    "mp3 of 300,000 tiny frames": (_tiny_mpeg_frames, {"silent", "corrupt", "too_long", "too_complex"}),
    "mp3 after two million tags": (_id3_chain, {None}),
    "mp3 with inflating tags": (_compressed_id3, {None}),
    "ogg ends at the end of time": (
        lambda: ogg_with_granule(sounds.encoded_music("ogg"), (1 << 62)),
        {"corrupt"},
    ),
    "opus ends before its start": (
        lambda: ogg_with_granule(sounds.encoded_music("opus"), -(1 << 62)),
        {"corrupt", None},
    ),
    "m4a of endless tables": (_mp4_tables, {"corrupt"}),
    "m4a of 20,000 nested boxes": (_mp4_dolls, {"corrupt", "empty", "undecodable"}),
    "playlist": (_hls, {"not_audio"}),
    "ffconcat": (_concat, {"not_audio"}),
    "sdp": (_sdp, {"not_audio"}),
}
