"""Detects the format and the stated length of a file by its content; file names are not used."""

import os
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from core.errors import Corrupt, Empty, NotAudio, UnsupportedFormat
from core.library.tag_blocks import id3v2_bytes, id3v2_content_end, plain_id3v2_bytes
from core.ml.audio import adts, flac, framing, mp4, mpeg, ogg, riff, signatures
from core.ml.audio.framing import Syntax
from core.ml.audio.source import LengthCheck
from core.ml.audio.tagblocks import audio_end

_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_ENCRYPTIONS = (
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),  # Content Encryption Object
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),  # Extended Content Encryption Object
)
_ASF_HEADER_BYTES = 1 << 16
_MP4_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp")
# Other signatures that are searched for after leading junk.
_AFTER_JUNK = re.compile(
    rb"fLaC[\x00\x80]\x00\x00\x22|OggS\x00\x02|(?:RIFF|RF64)....WAVEfmt |FORM....AIF[FC]|"
    rb"\x00\x00\x00[\x0c-\x40]ftyp[A-Za-z0-9 ]{4}|\x30\x26\xb2\x75\x8e\x66\xcf\x11|wvpk....[\x00-\x20]",
    re.DOTALL,
)
# Files of chunks: their first and third four bytes -> demuxer, and reader of the layout.
_CHUNKED: dict[tuple[bytes, bytes], tuple[str, Callable[[int, int, int], riff.Layout]]] = {
    (b"RIFF", b"WAVE"): ("wav", riff.read_wav),
    (b"RF64", b"WAVE"): ("wav", riff.read_wav),
    (b"BW64", b"WAVE"): ("wav", riff.read_wav),
    (b"RIFX", b"WAVE"): ("wav", riff.read_rifx),
    (b"FORM", b"AIFF"): ("aiff", riff.read_aiff),
    (b"FORM", b"AIFC"): ("aiff", riff.read_aiff),
}
# The size in a Xing header may exclude the header's own frame, or include tags.
_XING_TOLERANCE_BYTES = 1 << 13

# Formats whose headers state the number of samples.
_COUNTED = frozenset({"flac", "wav", "aiff"})

Decoder = Literal["sndfile", "av", "frames"]


@dataclass(frozen=True, slots=True)
class Format:
    """How to decode a file, or one of several concatenated streams in it."""

    demuxer: str  # FFmpeg's name of the container
    offset: int = 0  # start of the audio container, after tags and junk
    end: int | None = None  # end of the container, before tags; None for the end of the file
    declared_s: float | None = None  # duration by its header; None if not stated or implausible
    decoder: Decoder = "sndfile"
    has_fast_seek: bool = False  # libsndfile seeks in it, although FFmpeg decodes it faster
    syntax: Syntax | None = None  # of a stream of bare frames
    head: bytes = b""  # to prepend to the bytes from `offset` to `end`, for libsndfile
    has_no_xing: bool = False  # MPEG audio without a Xing header; `head` is one
    lost_s: float = 0.0  # known to be missing before decoding
    is_truncated: bool = False  # ends within a frame or page, and states no length
    cut_share: float = 0.0  # ratio of missing to present bytes
    following: int | None = None  # offset of the next stream of the same kind
    ignored_bytes: int = 0  # after the stated end, neither audio nor tags, and not decoded

    @property
    def length_check(self) -> LengthCheck:
        """What is known about the length before decoding."""
        is_exact = self.declared_s is not None and self.demuxer in _COUNTED
        return LengthCheck(
            self.declared_s, self.lost_s, is_exact, is_truncated=self.is_truncated, cut_share=self.cut_share
        )


def sniff(descriptor: int, start: int = 0) -> Format:
    """The format of an open file from `start` on.

    Raises `Empty`, `NotAudio`, `UnsupportedFormat` or `Corrupt`.
    """
    size = os.fstat(descriptor).st_size
    if size <= start:
        raise Empty("The file is empty.")
    offsets = _after_id3(descriptor, start, size)
    for offset in offsets:
        if offset < size and (found := _sniff_at(descriptor, offset, size)):
            return found
    usable = [offset for offset in offsets if offset < size]
    is_tagged = offsets != [start]
    return _search(descriptor, usable[0] if usable else start + 10, size, offsets[0] if is_tagged else None)


def _after_id3(descriptor: int, start: int, size: int) -> list[int]:
    """Possible ends of the leading ID3v2 tags, the most likely first.

    A tag may state a size that is too large; audio then begins right after its frames.
    """
    offset, head = start, os.pread(descriptor, 10, start)
    while len(head) == 10 and head[:3] == b"ID3":
        following = offset + id3v2_bytes(head)
        next_head = os.pread(descriptor, 10, following)
        if next_head[:3] == b"ID3":
            offset, head = following, next_head
            continue
        content_end = id3v2_content_end(descriptor, offset, min(following, size))
        if content_end == following or not _is_audio_or_tag(descriptor, content_end, size):
            plain = offset + plain_id3v2_bytes(head)
            return [following] if plain == following else [following, plain]
        offset, head = content_end, os.pread(descriptor, 10, content_end)
    return [offset]


def _is_audio_or_tag(descriptor: int, offset: int, size: int) -> bool:
    """Whether audio or an ID3v2 tag begins exactly here."""
    head = os.pread(descriptor, signatures.HEAD_BYTES, offset)
    if head[:3] == b"ID3" or _AFTER_JUNK.match(head):
        return True
    runs = (
        framing.find_run(descriptor, offset, size, syntax, most=1) for syntax in (mpeg.SYNTAX, adts.SYNTAX)
    )
    return any(run is not None for run in runs)


def _sniff_at(descriptor: int, offset: int, size: int) -> Format | None:
    """The format of the audio that begins exactly here; None if there is none."""
    head = os.pread(descriptor, signatures.HEAD_BYTES, offset)
    if head[:4] == b"fLaC":
        return Format("flac", offset, audio_end(descriptor, offset, size), flac.declared_s(head))
    if found := _CHUNKED.get((head[:4], head[8:12])):
        demuxer, read_layout = found
        return _from_layout(demuxer, offset, read_layout(descriptor, offset, size))
    if head[:4] == b"OggS":
        return _sniff_ogg(descriptor, offset, size)
    if head[4:8] in _MP4_ATOMS and int.from_bytes(head[:4], "big") <= size:
        cut_share = mp4.cut_share(descriptor, offset, size)
        return Format("mov", offset, decoder="av", is_truncated=cut_share > 0, cut_share=cut_share)
    if signature := signatures.find(head):
        if not signature.demuxer:
            raise UnsupportedFormat(f"{signature.name} cannot be decoded.")
        return _by_signature(descriptor, signature.demuxer, offset, size)
    for syntax in (mpeg.SYNTAX, adts.SYNTAX):
        if framing.find_run(descriptor, offset, size, syntax, most=1) is not None:
            return _frames(descriptor, syntax, offset, size)
    return None


def _search(descriptor: int, start: int, size: int, tag_end: int | None) -> Format:
    """The format of audio after leading junk; `tag_end` is the stated end of leading tags, if any."""
    data = os.pread(descriptor, framing.SEARCH_BYTES, start)
    places: list[tuple[int, Syntax | None]] = []
    if container := _AFTER_JUNK.search(data):
        places.append((start + container.start(), None))
    for syntax in (mpeg.SYNTAX, adts.SYNTAX):
        if (found := framing.find_run(descriptor, start, size, syntax)) is not None:
            places.append((found, syntax))
    if not places and (free := mpeg.find_free_format(descriptor, start, size)):
        return _free_format(descriptor, *free, size)
    if places:
        offset, known = min(places, key=lambda place: place[0])
        found_format = (
            _frames(descriptor, known, offset, size) if known else _sniff_at(descriptor, offset, size)
        )
        if found_format:
            return found_format
    if tag_end == size:
        raise Empty("The file holds tags, but no audio.")
    if tag_end is not None and tag_end > size:
        raise Corrupt("The file is cut off inside its tags.")
    raise NotAudio(signatures.explain_not_audio(data))


def _frames(descriptor: int, syntax: Syntax, offset: int, size: int) -> Format:
    if syntax is adts.SYNTAX:
        return Format("aac", offset, audio_end(descriptor, offset, size), decoder="frames", syntax=syntax)
    return _sniff_mpeg(descriptor, offset, audio_end(descriptor, offset, size))


def _sniff_mpeg(descriptor: int, offset: int, end: int) -> Format:
    """MPEG audio: libsndfile decodes a single undamaged song, everything else is decoded frame by frame."""
    first = os.pread(descriptor, 4, offset)
    frame = mpeg.parse_frame(first)
    assert frame is not None
    xing = mpeg.read_xing_header(descriptor, offset)
    declared_s = xing.seconds(frame) if xing and xing.frames else None
    if xing and declared_s and abs(offset + xing.stream_bytes - end) <= _XING_TOLERANCE_BYTES:
        return Format("mp3", offset, end, declared_s)
    count = mpeg.count_frames(descriptor, offset, end)
    continues = end - count.end > frame.length * 8 and (
        framing.find_run(descriptor, count.end, end, mpeg.SYNTAX, 2) is not None
    )
    audio_frames = count.frames - (xing is not None)
    has_more_frames = xing is not None and 0 < xing.frames < audio_frames - 1
    if not count.is_uniform or continues or has_more_frames or not audio_frames:
        return Format("mp3", offset, end, decoder="frames", syntax=mpeg.SYNTAX)
    if declared_s:
        return Format("mp3", offset, end, declared_s)
    head = mpeg.xing_frame(first, audio_frames)
    cut = mpeg.parse_frame(os.pread(descriptor, 4, count.end))
    lost_s = cut.seconds if cut and count.end < end else 0.0
    declared_s = audio_frames * frame.seconds
    return Format(
        "mp3",
        offset,
        count.end,
        declared_s,
        head=head,
        has_no_xing=True,
        lost_s=lost_s,
        is_truncated=lost_s > 0,
    )


def _free_format(descriptor: int, offset: int, syntax: Syntax, size: int) -> Format:
    """MPEG audio with a free bit rate, which only libsndfile decodes."""
    xing = mpeg.read_xing_header(descriptor, offset)
    frame = syntax.parse(os.pread(descriptor, 8, offset))
    assert frame is not None
    return Format("mp3", offset, size, xing.seconds(frame) if xing and xing.frames else None)


def _sniff_ogg(descriptor: int, offset: int, size: int) -> Format:
    link = ogg.read_link(descriptor, offset, size)
    is_alone = offset == 0 and not link.has_more and link.is_plain
    decoder: Decoder = "sndfile" if link.codec == "vorbis" and is_alone else "av"
    following = link.end if link.has_more else None
    return Format(
        "ogg",
        offset,
        link.end,
        decoder=decoder,
        has_fast_seek=link.codec == "opus" and is_alone,
        lost_s=link.cut_s,
        is_truncated=link.is_cut,
        following=following,
    )


def _from_layout(demuxer: str, offset: int, layout: riff.Layout) -> Format:
    return Format(
        demuxer,
        layout.start if layout.head else offset,
        layout.end,
        layout.declared_s,
        decoder="sndfile" if layout.is_plain else "av",
        head=layout.head,
        following=layout.end if layout.has_more else None,
        ignored_bytes=layout.ignored_bytes,
    )


def _by_signature(descriptor: int, demuxer: str, offset: int, size: int) -> Format:
    declared_s = _asf_duration(descriptor, offset) if demuxer == "asf" else None
    return Format(demuxer, offset, audio_end(descriptor, offset, size), declared_s, decoder="av")


def _asf_duration(descriptor: int, offset: int) -> float | None:
    """Play duration of the File Properties object (ASF specification, 3.2), less its preroll."""
    head = os.pread(descriptor, _ASF_HEADER_BYTES, offset)
    if any(encryption in head for encryption in _ASF_ENCRYPTIONS):
        raise UnsupportedFormat("DRM-protected Windows Media audio cannot be decoded.")
    fields = head[head.find(_ASF_PROPERTIES) :][64:96] if _ASF_PROPERTIES in head else b""
    if len(fields) < 28:
        return None
    duration, _, preroll_ms, flags = struct.unpack_from("<QQQI", fields)
    is_broadcast = flags & 1
    return None if is_broadcast else max(0.0, duration / 1e7 - preroll_ms / 1e3) or None
