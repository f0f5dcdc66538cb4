"""The audio hash: it covers the encoded packets, independently of container and tags."""

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

# Prefixes that keep hashes of packets and hashes of bytes distinct.
_OF_PACKETS, _OF_BYTES = b"mfa packets 1\0", b"mfa bytes 1\0"
_PROGRESS_BYTES = 16 << 20
_BLOCK_BYTES = 1 << 20


class _NoPackets(Exception):
    """FFmpeg cannot demux the file."""


def audio_hash(descriptor: int, on_progress: Callable[[int], None] = lambda _: None) -> bytes:
    """SHA-256 (32 bytes) over the packets of the first audio stream.

    `on_progress` is called with the bytes hashed so far. The hash is equal for the same stream in any
    container, with any tags and pictures, except for WavPack in Matroska, whose packets lack the WavPack
    headers. It corresponds to FFmpeg's `-c copy -f streamhash`, preceded by the codec and without ADTS
    headers. For PCM, the sample rate and the channels are included. A file that cannot be demuxed has the
    hash of its bytes without leading and trailing tags.
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
    """One hash over the file, including all of several concatenated WAV files.

    FFmpeg's demuxer stops at the stated end of a WAV; audio after it is decoded, and so is hashed too.
    """
    digest, last_codec = hashlib.sha256(_OF_PACKETS), b""
    done = reported = 0
    fmt: Format | None = sniff(descriptor)
    while fmt:
        with _open_link(descriptor, fmt, end) as container:
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
        following = fmt.following if fmt.demuxer == "wav" else None
        fmt = None if following is None else sniff(descriptor, following)
    return digest.digest()


def _open_link(descriptor: int, fmt: Format, end: int) -> InputContainer:
    if fmt.head and not fmt.has_no_xing:
        return open_container(Spliced(descriptor, fmt), fmt.demuxer)
    return open_container(Window(descriptor, fmt.offset, end), fmt.demuxer)


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
    """An AAC frame without its header, which holds the length and may end in a CRC (ISO 13818-7, 6.2)."""
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
