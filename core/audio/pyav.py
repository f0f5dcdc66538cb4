"""Decode with FFmpeg's libraries what libsndfile cannot decode, and Opus, which it decodes half as fast."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from core.audio.sniff import Format
from core.audio.source import Samples, Source, block_frames, check_layout
from core.errors import Corrupt, Empty, UnsupportedFormat
from core.library.window import Window

# A container may name further files: none of them is ever opened.
_OPTIONS = {"protocol_whitelist": "none", "enable_drefs": "0"}
_MICROSECONDS = 1_000_000


@contextmanager
def open_av(descriptor: int, form: Format) -> Iterator[Source]:
    """The audio of an open file, from its start. The container is fixed, so no playlist is ever followed.

    The layout is that of the first frame: headers tell half the sample rate of HE-AAC.
    """
    with open_container(Window(descriptor, form.offset), form.demuxer) as container:
        stream = _audio_stream(container)
        frames = _frames(container, stream)
        first = next(frames, None)
        if first is None:
            raise Corrupt
        sample_rate, channels = first.sample_rate, first.layout.nb_channels
        check_layout(sample_rate, channels)
        promised_s = form.promised_s or _promised_s(container, stream, form)
        yield Source(sample_rate, channels, _blocks(chain([first], frames), first), lambda: promised_s)


def open_container(file: Window, demuxer: str) -> InputContainer:
    """A container of a known kind, so no playlist is ever followed and no further file opened.

    FFmpeg lacks memory when a forged header asks for too much of it: that is the file's fault too.
    """
    try:
        return av.open(file, "r", demuxer, container_options=_OPTIONS, metadata_errors="replace")
    except av.FFmpegError as error:
        raise Corrupt from error


def _audio_stream(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        raise Empty("The file holds no audio track.")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise UnsupportedFormat
    stream.codec_context.thread_count = 1  # parallelism comes from decoding several tracks
    return stream


def _frames(container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    try:
        yield from (frame for frame in container.decode(stream) if frame.samples)
    except (av.error.DecoderNotFoundError, av.error.PatchWelcomeError) as error:
        raise UnsupportedFormat from error
    except av.FFmpegError as error:
        raise Corrupt from error


def _blocks(frames: Iterator[AudioFrame], first: AudioFrame) -> Iterator[Samples]:
    """Frames hold some milliseconds; many of them make a block (T, C)."""
    layout = (first.sample_rate, first.layout.nb_channels, first.format.name)
    length = block_frames(first.sample_rate, first.layout.nb_channels)
    collected: list[np.ndarray] = []
    count = 0
    for frame in frames:
        if (frame.sample_rate, frame.layout.nb_channels, frame.format.name) != layout:
            raise Corrupt("The sample rate or the number of channels changes within the track.")
        collected.append(_values(frame))
        count += frame.samples
        if count >= length:
            yield _to_float32(np.concatenate(collected))
            collected, count = [], 0
    if collected:
        yield _to_float32(np.concatenate(collected))


def _values(frame: AudioFrame) -> np.ndarray:
    """The values (T, C) as the decoder gives them."""
    values = frame.to_ndarray()
    return values.T if frame.format.is_planar else values.reshape(-1, frame.layout.nb_channels)


def _to_float32(values: np.ndarray) -> Samples:
    """Values (T, C) of any type; integers become [-1, 1]."""
    samples: Samples = values.astype(np.float32, copy=False)
    if values.dtype == np.uint8:
        samples -= np.float32(128)
        samples *= np.float32(1 / 128)
    elif values.dtype.kind == "i":
        samples *= np.float32(-1 / np.iinfo(values.dtype).min)
    return samples


def _promised_s(container: InputContainer, stream: AudioStream, form: Format) -> float | None:
    """The length of the audio track, or of the container; a film's says little about its sound track.

    A bare stream of AAC frames tells no length: FFmpeg makes one up from the bit rate.
    """
    if form.demuxer == "aac":
        return None
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    is_film = any(not video.disposition & Disposition.attached_pic for video in container.streams.video)
    return container.duration / _MICROSECONDS if container.duration and not is_film else None
