"""Reads the tags of audio files of every format, and reports those that cannot be read."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, BinaryIO, Protocol

from core.library.content import TagReading
from core.library.tag_blocks import TagBlock, TagKind, leading_tags, trailing_tags
from core.library.tags.ape import read_ape
from core.library.tags.asf import read_asf
from core.library.tags.chunks import read_id3_chunks, read_text_chunks
from core.library.tags.found import FIELDS, Found
from core.library.tags.id3 import read_id3v1, read_id3v2
from core.library.tags.mp4 import read_mp4
from core.library.tags.vorbis import read_flac, read_ogg
from core.library.window import Window

_MAX_ERROR = 500
_CHUNKED = (b"RIFF", b"RF64", b"BW64", b"RIFX", b"FORM", b"FRM8", b"DSD ")
_APE_FIRST = (b"wvpk", b"MPCK", b"MP+", b"MAC ")  # formats whose native tag is APEv2
_MP4_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp")
_ASF = bytes.fromhex("3026b2758e66cf11")

# Several values of these are one fact in several spellings ("date" and "year"), of others several facts.
_NUMBERS = ("date", "tracknumber", "discnumber", "bpm")

_APPLE_PREFIX = "com.apple.quicktime."  # QuickTime File Format, metadata keys

Reader = Callable[[Found], None]


class Container(Protocol):
    """The audio of a file, as seen by the decoder."""

    @property
    def start(self) -> int | None:
        """Offset of the audio, after tags and junk; None if unknown."""

    def metadata(self) -> Mapping[str, str]:
        """Metadata read by FFmpeg, also of formats that are not supported here."""


def read_tags(file: BinaryIO, container: Container | None = None) -> TagReading:
    """Text by field (several values joined by "; ", `genre` a list), and an error if tags are unreadable.

    If a file has several tags, the first with a value is used, in this order: the format's own, ID3v2, APEv2,
    the texts of WAV and AIFF, ID3v1, whose texts are truncated. Without any, FFmpeg's metadata is used. Does
    not change the position. Raises OSError if the disk cannot read the file.
    """
    blocks = _read_blocks(_readers(file.fileno(), container))
    if container is not None and not any(found.values for found in blocks):
        blocks += _read_blocks([("Metadata", partial(_add_metadata, container))])
    tags: dict[str, Any] = {}
    for field in dict.fromkeys(FIELDS.values()):
        values = next((found.values[field] for found in blocks if field in found.values), None)
        if values is not None:
            tags[field] = _one_value(field, values)
    problems = [f"{found.block}: {problem}." for found in blocks for problem in found.problems]
    return TagReading(tags, " ".join(problems)[:_MAX_ERROR] or None)


def _one_value(field: str, values: list[str]) -> list[str] | str:
    if field == "genre":
        return values
    return values[0] if field in _NUMBERS else "; ".join(values)


def _read_blocks(readers: Iterable[tuple[str, Reader]]) -> list[Found]:
    blocks: list[Found] = []
    for name, reader in readers:
        found = Found(name)
        try:
            reader(found)
        except (MemoryError, OSError):
            raise
        except Exception as error:  # any error of a reader on a damaged tag; other tags are still read
            if (cause := _disk_error(error)) is not None:
                raise cause from None
            found.fail(f"it is damaged ({type(error).__name__}: {error})")
        blocks.append(found)
    return blocks


def _disk_error(error: BaseException) -> OSError | None:
    """The OSError that mutagen has wrapped, if any."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    return cause


def _readers(descriptor: int, container: Container | None) -> Iterator[tuple[str, Reader]]:
    """The tags of a file by name, in order of precedence."""
    size = os.fstat(descriptor).st_size
    leading, start = _leading_tags(descriptor, size, container)
    trailing = trailing_tags(descriptor, size)
    end = min((block.start for block in trailing), default=size)
    audio = Window(descriptor, start, end)
    head = audio.at(0, 12)
    id3: list[tuple[str, Reader]] = []
    ape: list[tuple[str, Reader]] = []
    id3v1: list[tuple[str, Reader]] = []
    for block in (*leading, *trailing):
        window = Window(descriptor, block.start, block.end)
        if block.kind is TagKind.ID3V2:
            id3.append(("ID3v2", partial(read_id3v2, window, length=block.end - block.start)))
        elif block.kind is TagKind.APE:
            ape.append(("APEv2", partial(read_ape, window)))
        elif block.kind is TagKind.ID3V1:
            id3v1.append(("ID3v1", partial(read_id3v1, window)))
    yield from _own(audio, head)
    if head.startswith(_CHUNKED):
        id3 = [("ID3v2", partial(read_id3v2, window)) for window in read_id3_chunks(audio)] + id3
    yield from (*ape, *id3) if head.startswith(_APE_FIRST) else (*id3, *ape)
    if head.startswith(_CHUNKED):
        yield "Texts of the container", partial(read_text_chunks, audio)
    yield from id3v1


def _leading_tags(descriptor: int, size: int, container: Container | None) -> tuple[list[TagBlock], int]:
    """The tags before the audio, and the offset of the audio."""
    leading = leading_tags(descriptor, size)
    start = leading[-1].end if leading else 0
    audio = Window(descriptor, start)
    head = audio.at(0, 12)
    is_known = head.startswith(_CHUNKED) or next(_own(audio, head), None) is not None
    audio_start = container.start if container is not None and not is_known else None
    if audio_start is None:
        return leading, start
    return leading_tags(descriptor, size, audio_start), audio_start


def _own(audio: Window, head: bytes) -> Iterator[tuple[str, Reader]]:
    """The native tags of the format."""
    if head.startswith(b"fLaC"):
        yield "Vorbis comments", partial(read_flac, audio)
    elif head.startswith(b"OggS"):
        yield "Vorbis comments", partial(read_ogg, audio)
    elif head[4:8] in _MP4_ATOMS:
        yield "MP4 tags", partial(read_mp4, audio)
    elif head.startswith(_ASF):
        yield "ASF tags", partial(read_asf, audio)


def _add_metadata(container: Container, found: Found) -> None:
    for key, value in container.metadata().items():
        if (name := FIELDS.get(key.lower().removeprefix(_APPLE_PREFIX))) is not None:
            found.add(name, [value])
