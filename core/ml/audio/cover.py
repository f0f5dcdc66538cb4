"""The cover picture embedded in an audio file, scaled down and re-encoded.

Only decoded pixels are returned: none of the bytes in the file are passed on.
"""

from fractions import Fraction
from typing import cast

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from core.errors import ItemError
from core.library.content import COVER_BYTES
from core.library.window import Window
from core.ml.audio.pyav import open_container
from core.ml.audio.sniff import sniff

SIDE = 480  # pixels, of the longer side at most
_MOST_PICTURE_BYTES = 24 << 20
_MOST_PIXELS = 36_000_000  # as of a square of 6000
_DECODERS = ("mjpeg", "png")  # JPEG and PNG, which is what taggers write
_QUALITIES = (4, 8, 16, 31)  # quantiser scales of the encoder, the finest first


def read_cover(descriptor: int) -> bytes | None:
    """A JPEG of at most `SIDE` pixels a side and `COVER_BYTES` bytes; None if the file has no usable picture.

    The first picture of several, which is the front cover in files of common taggers. Raises OSError if the
    disk cannot read the file.
    """
    try:
        form = sniff(descriptor)
        start = 0 if form.demuxer in _TAGS_BEFORE else form.offset
        container = open_container(Window(descriptor, start), form.demuxer)
    except ItemError:  # no audio that is known here, which decoding reports
        return None
    with container:
        picture = _picture(container)
    return None if picture is None else _encode(picture)


# Formats whose pictures lie in ID3v2 tags before the audio, which FFmpeg reads together with it.
_TAGS_BEFORE = frozenset({"mp3", "aac", "tta", "flac", "wav", "aiff"})


def check_codecs() -> None:
    """Use every decoder and the encoder once, as what they need cannot be opened later in the sandbox."""
    blank = VideoFrame(16, 16, "rgb24")
    for name, pixels in (("png", "rgb24"), ("mjpeg", "yuvj420p")):
        encoder = _encoder(name, 16, 16, pixels, 4)
        picture = blank.reformat(format=pixels, threads=1)
        picture.pts, picture.time_base = 0, Fraction(1, 1)
        decoder = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
        for packet in [*encoder.encode(picture), *encoder.encode(None)]:
            for frame in [*decoder.decode(packet), *decoder.decode(None)]:
                _encode(frame)


def _picture(container: InputContainer) -> VideoFrame | None:
    for stream in container.streams.video:
        context = stream.codec_context
        if not stream.disposition & Disposition.attached_pic or context.name not in _DECODERS:
            continue
        context.thread_count = 1
        try:
            packet = next(iter(container.demux(stream)))
            if not 0 < packet.size <= _MOST_PICTURE_BYTES or context.width * context.height > _MOST_PIXELS:
                continue
            frames = [*context.decode(packet), *context.decode(None)]
        except (av.FFmpegError, StopIteration):
            continue
        if frames and 0 < frames[0].width * frames[0].height <= _MOST_PIXELS:
            return frames[0]
    return None


def _encode(picture: VideoFrame) -> bytes | None:
    share = min(1.0, SIDE / max(picture.width, picture.height))
    width, height = (max(2, round(side * share)) for side in (picture.width, picture.height))
    small = picture.reformat(width, height, "yuvj420p", interpolation="AREA", threads=1)
    small.pts, small.time_base = 0, Fraction(1, 1)
    for quality in _QUALITIES:
        encoder = _encoder("mjpeg", width, height, "yuvj420p", quality)
        packets = [*encoder.encode(small), *encoder.encode(None)]
        jpeg = b"".join(bytes(packet) for packet in packets)
        if len(jpeg) <= COVER_BYTES:
            return jpeg
    return None


def _encoder(name: str, width: int, height: int, pixels: str, quality: int) -> VideoCodecContext:
    encoder = cast(VideoCodecContext, av.CodecContext.create(name, "w"))
    encoder.width, encoder.height, encoder.pix_fmt = width, height, pixels
    encoder.time_base, encoder.thread_count = Fraction(1, 1), 1
    encoder.options = {"qmin": str(quality), "qmax": str(quality)}
    return encoder
