"""Tags as bytes, in the forms in which programs write them, and containers to put them into."""

import base64
import struct
import tempfile
from pathlib import Path

import av
from mutagen.apev2 import APEv2

from tests.support import sounds

ENCODINGS = {"latin-1": 0, "utf-16": 1, "utf-16-be": 2, "utf-8": 3}


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 127 for shift in (21, 14, 7, 0))


def text_frame(name: str, content: bytes, version: int, flags: int = 0, *, plain_size: bool = False) -> bytes:
    """A frame; names of three letters make one of version 2.2."""
    if version == 2:
        return name.encode() + len(content).to_bytes(3, "big") + content
    is_plain = plain_size if version == 4 else not plain_size
    size = len(content).to_bytes(4, "big") if is_plain else synchsafe(len(content))
    return name.encode().ljust(4, b"\0") + size + flags.to_bytes(2, "big") + content


def encoded(text: str, encoding: str) -> bytes:
    return bytes([ENCODINGS[encoding]]) + text.encode(encoding)


def id3(version: int, *frames: bytes, flags: int = 0) -> bytes:
    body = b"".join(frames)
    return b"ID3" + bytes([version, 0, flags]) + synchsafe(len(body)) + body


def id3v1(title: str = "", artist: str = "", genre: int = 255) -> bytes:
    fields = title.encode("latin-1").ljust(30, b"\0") + artist.encode("latin-1").ljust(30, b"\0")
    return (b"TAG" + fields).ljust(127, b"\0") + bytes([genre])


def ape(**items: str) -> bytes:
    """A whole APEv2 tag with header and footer."""
    tags = APEv2()  # type: ignore[no-untyped-call]
    for key, value in items.items():
        tags[key] = value.split("\0")
    with tempfile.NamedTemporaryFile() as file:
        tags.save(file.name)
        return Path(file.name).read_bytes()


def chunk(name: bytes, content: bytes, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(content)) + content + b"\0" * (len(content) % 2)


def with_chunks(form: bytes, *chunks: bytes, order: str = "<") -> bytes:
    """A WAV or AIFF file with further chunks at its end."""
    body = form[8:] + b"".join(chunks)
    return form[:4] + struct.pack(f"{order}I", len(body)) + body


def vorbis_comments(*comments: bytes) -> bytes:
    return (
        struct.pack("<I", 4)
        + b"test"
        + struct.pack("<I", len(comments))
        + b"".join(struct.pack("<I", len(comment)) + comment for comment in comments)
    )


def flac(comments: bytes, *blocks: bytes) -> bytes:
    """FLAC with these comments, behind metadata blocks of pictures."""
    plain = sounds.encoded_music("flac")
    position, head = 4, b""
    while True:
        is_last, kind = plain[position] & 0x80, plain[position] & 0x7F
        end = position + 4 + int.from_bytes(plain[position + 1 : position + 4], "big")
        if kind == 0:
            head = bytes([0]) + plain[position + 1 : end]
        position = end
        if is_last:
            break
    pictures = b"".join(b"\6" + len(block).to_bytes(3, "big") + block for block in blocks)
    return (
        b"fLaC" + head + pictures + b"\x84" + len(comments).to_bytes(3, "big") + comments + plain[position:]
    )


def picture_comment(size: int) -> bytes:
    return b"METADATA_BLOCK_PICTURE=" + base64.b64encode(bytes(size))


def remux(content: bytes, container: str, **metadata: str) -> bytes:
    """The same packets in another container, as `ffmpeg -c copy` does it."""
    with tempfile.NamedTemporaryFile() as before, tempfile.NamedTemporaryFile() as after:
        Path(before.name).write_bytes(content)
        with av.open(before.name) as source, av.open(after.name, "w", container) as output:
            output.metadata.update(metadata)
            stream = output.add_stream_from_template(source.streams.audio[0])
            for packet in source.demux(source.streams.audio[0]):
                if packet.size:
                    packet.stream = stream
                    output.mux(packet)
        return Path(after.name).read_bytes()
