"""The identity of audio: its packets, whatever container and tags they lie in."""

import hashlib
import os
from collections.abc import Callable, Iterator

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from core.errors import ItemError
from core.library.tag_blocks import leading_tags, trailing_tags_start
from core.library.window import Window
from core.ml.audio.pyav import open_container
from core.ml.audio.sniff import Format, sniff
from core.ml.audio.spliced import Spliced

# What the hashes of packets and of bytes begin with: no two kinds of hash are ever equal.
_OF_PACKETS, _OF_BYTES = b"mfa packets 1\0", b"mfa bytes 1\0"
_PROGRESS_BYTES = 16 << 20
_BLOCK_BYTES = 1 << 20


class _NoPackets(Exception):
    """FFmpeg cannot take the file apart."""


def audio_hash(descriptor: int, on_progress: Callable[[int], None] = lambda _: None) -> bytes:
    """SHA-256 over the packets of the first audio stream (32 bytes), for `on_progress` in bytes so far.

    Equal for files with the same stream in any container, with any tags and pictures, except for WavPack in
    Matroska, whose packets lack the headers that WavPack files have. As FFmpeg's
    `-c copy -f streamhash`, but with the codec in front and without the headers of ADTS frames. PCM says
    nothing of its own layout, so there the sample rate and the channels are part of it. A file that cannot
    be taken apart has the hash of its bytes without the tags in front and behind.
    """
    size = os.fstat(descriptor).st_size
    end = trailing_tags_start(descriptor, size)
    try:
        return _hash_links(descriptor, end, on_progress)
    except (ItemError, av.FFmpegError, _NoPackets):
        leading = leading_tags(descriptor, size)
        start = leading[-1].end if leading else 0
        return _hash_bytes(Window(descriptor, min(start, end), end), on_progress)


def _hash_links(descriptor: int, end: int, on_progress: Callable[[int], None]) -> bytes:
    """One hash over the file and, if it consists of joined WAV files, over each of them.

    FFmpeg's demuxer stops at the stated end of a WAV; what the decoder reads behind that is hashed too.
    """
    digest, last_codec = hashlib.sha256(_OF_PACKETS), b""
    done = reported = 0
    form: Format | None = sniff(descriptor)
    while form:
        with _open_link(descriptor, form, end) as container:
            stream = _audio_stream(container)
            codec = stream.codec_context.codec.canonical_name
            codec_and_layout = codec.encode() + _layout(stream, codec) + b"\0"
            if codec_and_layout != last_codec:
                digest.update(codec_and_layout)
                last_codec = codec_and_layout
            before = done
            for data in _packets(container, stream):
                digest.update(_without_adts_header(data) if codec == "aac" else data)
                done += len(data)
                if done - reported >= _PROGRESS_BYTES:
                    reported = done
                    on_progress(done)
        if done == before:
            raise _NoPackets
        following = form.following if form.demuxer == "wav" else None
        form = None if following is None else sniff(descriptor, following)
    return digest.digest()


def _open_link(descriptor: int, form: Format, end: int) -> InputContainer:
    if form.head and not form.is_uncounted:
        return open_container(Spliced(descriptor, form), form.demuxer)
    return open_container(Window(descriptor, form.offset, end), form.demuxer)


def _audio_stream(container: InputContainer) -> AudioStream:
    stream = next(iter(container.streams.audio), None)
    if stream is None or stream.codec_context is None:
        raise _NoPackets
    return stream


def _packets(container: InputContainer, stream: AudioStream) -> Iterator[memoryview]:
    for packet in container.demux(stream):
        if packet.size:
            yield memoryview(packet)


def _layout(stream: AudioStream, codec: str) -> bytes:
    if not codec.startswith(("pcm_", "adpcm_")):
        return b""
    return f" {stream.codec_context.sample_rate} {stream.codec_context.channels}".encode()


def _without_adts_header(data: memoryview) -> memoryview:
    """A frame of AAC; ISO 13818-7, 6.2: the header holds the frame's length, and may end in a CRC."""
    if len(data) < 7 or data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
        return data
    length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    return data[7 if data[1] & 1 else 9 :] if length == len(data) else data


def _hash_bytes(window: Window, on_progress: Callable[[int], None]) -> bytes:
    digest = hashlib.sha256(_OF_BYTES)
    done = 0
    while block := window.at(done, _BLOCK_BYTES):
        digest.update(block)
        done += len(block)
        if done % _PROGRESS_BYTES == 0:
            on_progress(done)
    return digest.digest()
