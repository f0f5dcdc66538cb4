"""Decoding with FFmpeg's libraries: formats unknown to libsndfile, and Opus, which FFmpeg decodes faster.

Packets that cannot be decoded are skipped, and their duration counts as lost.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition

from core.errors import Corrupt, Empty, UnsupportedFormat
from core.library.window import Window
from core.ml.audio.sniff import Format
from core.ml.audio.source import (
    MAX_DSD_SAMPLE_RATE,
    MAX_SAMPLE_RATE,
    Block,
    LengthCheck,
    Samples,
    Source,
    block_frames,
    check_layout,
)
from core.ml.audio.spliced import Spliced

# A container may refer to other files, which are never opened.
_OPTIONS = {"protocol_whitelist": "none", "enable_drefs": "0"}
_MICROSECONDS = 1_000_000
_MAX_FAULTS = 100  # successive errors of a container, each of which may be followed by valid packets
_DSD_SAMPLE_RATE = 352_800  # of DSD64 as decoded by FFmpeg

Piece = tuple[int, np.ndarray]  # sample rate, and values (T, C) of any type

# Formats whose frames have checksums, which are verified: damaged frames would be decoded as noise.
_CHECKED = frozenset({"flac", "wavpack", "tta", "ape", "tak", "shorten"})
_CHECK = {"err_detect": "crccheck+explode"}
_ENCRYPTED = {
    "drms": "DRM-protected AAC (FairPlay)",
    "enca": "Encrypted MPEG-4 audio (Common Encryption)",
    "aavd": "DRM-protected Audible audio",
}


@contextmanager
def open_av(descriptor: int, fmt: Format) -> Iterator[Source]:
    """The audio of an open file, from its start."""
    with open_container(Window(descriptor, fmt.offset, fmt.end), fmt.demuxer) as container:
        stream = _audio_stream(container)
        length_check = fmt.length_check
        length_check.declared_s = length_check.declared_s or _promised_s(container, stream)
        yield Source(blocks(map(piece, _frames(container, stream, length_check))), length_check)


def open_container(file: Window | Spliced, demuxer: str) -> InputContainer:
    """Open a container of a known format, so that no playlist is followed and no other file opened.

    Raises Corrupt, also for a forged header that makes FFmpeg run out of memory.
    """
    try:
        return av.open(file, "r", demuxer, container_options=_OPTIONS, metadata_errors="replace")
    except av.FFmpegError as error:
        raise Corrupt("The headers of the file are damaged or cut off.") from error


def _audio_stream(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        raise Empty("The file holds no audio track.")
    stream = container.streams.audio[0]
    context = stream.codec_context
    if context is None:
        raise UnsupportedFormat
    if context.codec_tag in _ENCRYPTED:
        raise UnsupportedFormat(f"{_ENCRYPTED[context.codec_tag]} cannot be decoded.")
    context.thread_count = 1  # parallelism comes from decoding several tracks
    if context.name in _CHECKED:
        context.options = _CHECK
    return stream


def _frames(
    container: InputContainer, stream: AudioStream, length_check: LengthCheck
) -> Iterator[AudioFrame]:
    """All decodable frames. Raises UnsupportedFormat if there are none because the decoder is missing."""
    length_s, found, faults = 0.0, False, 0
    lacking: Exception | None = None
    while faults < _MAX_FAULTS:
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except (av.error.DecoderNotFoundError, av.error.PatchWelcomeError) as error:
                    lacking = error
                    length_check.lost_s += _packet_s(packet) or length_s
                except av.FFmpegError:
                    length_check.lost_s += _packet_s(packet) or length_s
                else:
                    for frame in frames:
                        if frame.samples:
                            found, faults = True, 0
                            length_s = frame.samples / frame.sample_rate
                            yield frame
            break
        except av.FFmpegError:
            faults += 1
    if lacking and not found:
        raise UnsupportedFormat from lacking


def _packet_s(packet: "Packet[AudioStream]") -> float:
    """Duration of a packet; 0 if its container does not state it."""
    return float(packet.duration * packet.time_base) if packet.duration and packet.time_base else 0.0


def blocks(pieces: Iterator[Piece]) -> Iterator[Block]:
    """Join the short pieces of equal layout into blocks (T, C)."""
    collected: list[np.ndarray] = []
    layout: tuple[int, int, np.dtype] | None = None
    count = most = 0
    for sample_rate, values in pieces:
        its_layout = sample_rate, values.shape[1], values.dtype
        if its_layout != layout or count >= most:
            if layout and collected:
                yield Block(layout[0], _to_float32(np.concatenate(collected)))
            if its_layout != layout:
                is_dsd = sample_rate % _DSD_SAMPLE_RATE == 0
                check_layout(*its_layout[:2], MAX_DSD_SAMPLE_RATE if is_dsd else MAX_SAMPLE_RATE)
            layout, collected, count = its_layout, [], 0
            most = block_frames(*its_layout[:2])
        collected.append(values)
        count += len(values)
    if layout and collected:
        yield Block(layout[0], _to_float32(np.concatenate(collected)))


def piece(frame: AudioFrame) -> Piece:
    """Sample rate and undecoded values of a frame."""
    values = frame.to_ndarray()
    channels = frame.layout.nb_channels
    return frame.sample_rate, values.T if frame.format.is_planar else values.reshape(-1, channels)


def _to_float32(values: np.ndarray) -> Samples:
    """Values (T, C) of any type as float32; integers are scaled to [-1, 1]."""
    samples: Samples = values.astype(np.float32, copy=False)
    if values.dtype == np.uint8:
        samples -= np.float32(128)
        samples *= np.float32(1 / 128)
    elif values.dtype.kind == "i":
        samples *= np.float32(-1 / np.iinfo(values.dtype).min)
    return samples


def _promised_s(container: InputContainer, stream: AudioStream) -> float | None:
    """The stated duration of the audio track, or of the container unless that is a film.

    None for formats that state none, for which FFmpeg estimates one from the bit rate.
    """
    if container.format.name in _GUESSED:
        return None
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    is_film = any(not video.disposition & Disposition.attached_pic for video in container.streams.video)
    return container.duration / _MICROSECONDS if container.duration and not is_film else None


_GUESSED = frozenset({"ac3", "eac3", "dts", "amr", "mpeg", "mpegts", "loas"})
