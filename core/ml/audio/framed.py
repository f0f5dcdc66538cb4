"""Decode streams of bare frames one by one: songs in a row, changes in mid-stream, damage, captures.

Bytes that are no frames are passed over. What they would have held at the bit rate around them counts as
lost, except where a song's own count of its frames tells better.
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
from core.ml.audio.source import Account, Source

_MPEG_DECODERS = {1: "mp1float", 2: "mp2float", 3: "mp3float"}


@contextmanager
def open_frames(descriptor: int, form: Format) -> Iterator[Source]:
    """The audio of a stream of frames whose `Format` has a syntax."""
    account = Account(lost_s=form.lost_s)
    yield Source(blocks(_pieces(descriptor, form, account)), account)


@dataclass
class _Song:
    """What lies between two Xing headers, or all there is."""

    claim: mpeg.Claim | None = None
    frame_s: float = 0.0
    head_bytes: int = 0  # of the frame that holds the claim
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
        """What its header counts and is not there; without one, what the junk in it would have held."""
        if self.claim and self.claim.frames and not self._has_stated_bytes():
            absent = self.claim.frames - self.frames
            return max(self.undecodable_s, absent * self.frame_s if absent > 1 else 0.0)
        return self.undecodable_s + self.junk_bytes * self.seconds / max(1, self.stream_bytes)

    def _has_stated_bytes(self) -> bool:
        """Whether all bytes that its header states are there as frames: then a higher count is wrong."""
        stated = self.claim.stream_bytes if self.claim else 0
        return 0 < stated <= self.head_bytes + self.stream_bytes and not self.junk_bytes

    def audible(self, frame: Frame, found: Piece) -> Piece:
        """A piece of the latest frame without the delays of encoder and decoder, which players cut off."""
        sample_rate, values = found
        if self.claim is None or self.frames > self.claim.frames or len(values) != frame.samples:
            return found
        start = (self.frames - 1) * frame.samples
        end = self.claim.frames * frame.samples - self.claim.padding
        return sample_rate, values[max(0, self.claim.skip - start) : max(0, end - start)]


def _pieces(descriptor: int, form: Format, account: Account) -> Iterator[Piece]:
    assert form.syntax is not None
    song, junk_bytes = _Song(), 0
    decoder: AudioCodecContext | None = None
    end = os.fstat(descriptor).st_size if form.end is None else form.end
    for offset, found in walk(descriptor, form.offset, end, form.syntax):
        if isinstance(found, Gap):
            if found.cut:
                song.undecodable_s += found.cut.seconds
                account.breaks_off = song.claim is None
            junk_bytes += 0 if found.is_tag else found.length
            continue
        data = os.pread(descriptor, found.length, offset)
        claim = mpeg.parse_claim(data[:256]) if form.demuxer == "mp3" else None
        if claim:
            account.lost_s += song.lost_s()
            song, junk_bytes = _Song(claim, found.seconds, found.length), 0
            decoder = None
            continue
        name = _MPEG_DECODERS[found.kind[1]] if form.demuxer == "mp3" else form.demuxer
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
                account.is_all_lost = True
                yield song.audible(found, piece(frame))
    account.lost_s += song.lost_s()


def _decoder(name: str) -> AudioCodecContext:
    context = av.CodecContext.create(name, "r")
    assert isinstance(context, AudioCodecContext)
    context.thread_count = 1
    return context
