"""Decodes MPEG and ADTS streams frame by frame: concatenated songs, format changes, damage, captures.

Bytes that are not frames are skipped. The audio that they would have held at the surrounding bit rate counts
as lost, unless the song's Xing header states the number of its frames.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import av
from av.audio.codeccontext import AudioCodecContext
from av.packet import Packet

from core.ml.audio import mpeg
from core.ml.audio.framing import Frame, Gap, walk
from core.ml.audio.pyav import Piece, blocks, piece
from core.ml.audio.sniff import Format
from core.ml.audio.source import LengthCheck, Source

_MPEG_DECODERS = {1: "mp1float", 2: "mp2float", 3: "mp3float"}


@contextmanager
def open_frames(descriptor: int, fmt: Format) -> Iterator[Source]:
    """The audio of a stream of frames; its `Format` must have a syntax."""
    length_check = LengthCheck(lost_s=fmt.lost_s)
    yield Source(blocks(_pieces(descriptor, fmt, length_check)), length_check)


@dataclass
class _Song:
    """The frames between two Xing headers, or of the whole stream."""

    xing: mpeg.XingHeader | None = None
    frame_s: float = 0.0
    head_bytes: int = 0  # of the frame with the Xing header
    frames: int = 0
    stream_bytes: int = 0
    seconds: float = 0.0
    junk_bytes: int = 0
    undecodable_s: float = 0.0

    def add(self, frame: Frame) -> None:
        self.frames += 1
        self.stream_bytes += frame.length
        self.seconds += frame.seconds

    def lost_s(self) -> float:
        """Frames missing by its header; without a header, the audio that its junk would have held."""
        if self.xing and self.xing.frames and not self._has_stated_bytes():
            absent = self.xing.frames - self.frames
            return max(self.undecodable_s, absent * self.frame_s if absent > 1 else 0.0)
        return self.undecodable_s + self.junk_bytes * self.seconds / max(1, self.stream_bytes)

    def _has_stated_bytes(self) -> bool:
        """Whether all bytes stated by the header are present as frames; a higher count is then wrong."""
        stated = self.xing.stream_bytes if self.xing else 0
        return 0 < stated <= self.head_bytes + self.stream_bytes and not self.junk_bytes

    def audible(self, frame: Frame, found: Piece) -> Piece:
        """The latest frame without encoder and decoder delay, which players skip."""
        sample_rate, values = found
        if self.xing is None or self.frames > self.xing.frames or len(values) != frame.samples:
            return found
        start = (self.frames - 1) * frame.samples
        end = self.xing.frames * frame.samples - self.xing.padding
        return sample_rate, values[max(0, self.xing.skip - start) : max(0, end - start)]


def _pieces(descriptor: int, fmt: Format, length_check: LengthCheck) -> Iterator[Piece]:
    assert fmt.syntax is not None
    song, junk_bytes = _Song(), 0
    decoder: AudioCodecContext | None = None
    end = os.fstat(descriptor).st_size if fmt.end is None else fmt.end
    for offset, found in walk(descriptor, fmt.offset, end, fmt.syntax):
        if isinstance(found, Gap):
            if found.cut:
                song.undecodable_s += found.cut.seconds
                length_check.is_truncated = song.xing is None
            junk_bytes += 0 if found.is_tag else found.length
            continue
        data = os.pread(descriptor, found.length, offset)
        xing = mpeg.parse_xing_header(data[:256]) if fmt.demuxer == "mp3" else None
        if xing:
            length_check.lost_s += song.lost_s()
            song, junk_bytes = _Song(xing, found.seconds, found.length), 0
            decoder = None
            continue
        name = _MPEG_DECODERS[found.kind[1]] if fmt.demuxer == "mp3" else fmt.demuxer
        if decoder is None or decoder.name != name:
            decoder = _decoder(name)
        elif junk_bytes:
            decoder.flush_buffers()
        song.add(found)
        song.junk_bytes, junk_bytes = song.junk_bytes + junk_bytes, 0
        try:
            frames = decoder.decode(Packet(data))
        except av.FFmpegError:
            song.undecodable_s += found.seconds
            continue
        for frame in frames:
            if frame.samples:
                length_check.lost_is_complete = True
                yield song.audible(found, piece(frame))
    length_check.lost_s += song.lost_s()


def _decoder(name: str) -> AudioCodecContext:
    context = av.CodecContext.create(name, "r")
    assert isinstance(context, AudioCodecContext)
    context.thread_count = 1
    return context
