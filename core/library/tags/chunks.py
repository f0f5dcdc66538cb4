"""Tags in chunk-based files: WAV (RIFF, RIFX, RF64), AIFF, DSF and DSDIFF."""

from collections.abc import Iterator

from core.library.chunks import PADDING_LOOKAHEAD, padding_bytes
from core.library.tags.found import Found
from core.library.window import Window

_MAX_CHUNKS = 10_000
_OPEN_ENDED = 0xFFFFFFFF
_TEXT_BYTES = 4096

# Of LIST/INFO: Multimedia Programming Interface and Data Specifications 1.0 (Microsoft, 1991), and usage.
_INFO = {
    b"INAM": "title",
    b"IART": "artist",
    b"IPRD": "album",
    b"IGNR": "genre",
    b"ICRD": "date",
    b"ITRK": "tracknumber",
    b"IPRT": "tracknumber",
    b"IMUS": "composer",
}
_AIFF = {b"NAME": "title", b"AUTH": "artist"}
_DSDIFF = {b"DITI": "title", b"DIAR": "artist"}


def read_id3_chunks(window: Window) -> list[Window]:
    """The ID3v2 tags in chunks of the file."""
    head = window.at(0, 28)
    if head[:4] == b"DSD ":  # DSF states the offset of its tag
        place = int.from_bytes(head[20:28], "little")
        return [window.part(place, window.size)] if 0 < place < window.size else []
    return [content for name, content in _chunks(window) if name.upper() == b"ID3 "]


def read_text_chunks(window: Window, found: Found) -> None:
    """Read the native texts of these formats."""
    head = window.at(0, 4)
    for name, content in _chunks(window):
        if name == b"LIST" and content.at(0, 4) == b"INFO":
            order = ">" if head == b"RIFX" else "<"
            _add_texts(_walk(content, 4, order), _INFO, found)
        elif name in _AIFF and head == b"FORM":
            _add_text(content, _AIFF[name], found)
        elif name == b"DIIN":
            for inner, text in _walk(content, 0, ">", width=8):
                if inner in _DSDIFF:
                    _add_text(text.part(4, text.size), _DSDIFF[inner], found)


def _add_texts(chunks: Iterator[tuple[bytes, Window]], names: dict[bytes, str], found: Found) -> None:
    for name, content in chunks:
        if (field := names.get(name.upper())) is not None:
            _add_text(content, field, found)


def _add_text(content: Window, name: str, found: Found) -> None:
    found.add(name, [found.decode_legacy(content.at(0, _TEXT_BYTES).split(b"\0", 1)[0], name)])


def _chunks(window: Window) -> Iterator[tuple[bytes, Window]]:
    head = window.at(0, 16)
    if head[:4] in (b"RIFF", b"RF64", b"BW64", b"RIFX"):
        return _walk(window, 12, ">" if head[:4] == b"RIFX" else "<")
    if head[:4] == b"FRM8":
        return _walk(window, 16, ">", width=8)
    return _walk(window, 12, ">")


def _walk(window: Window, position: int, order: str, width: int = 4) -> Iterator[tuple[bytes, Window]]:
    """Name and content of the chunks from `position` on, up to the first truncated one."""
    long_data = 0
    for _ in range(_MAX_CHUNKS):
        head = window.at(position, 4 + width)
        if len(head) < 4 + width or not head[:4].isascii():
            return
        length = int.from_bytes(head[4:], "little" if order == "<" else "big")
        if head[:4] == b"ds64":  # 64-bit sizes (EBU Tech 3306)
            long_data = int.from_bytes(window.at(position + 16, 8), "little")
        if head[:4] == b"data" and length == _OPEN_ENDED:
            length = long_data or window.size
        if head[:4] == b"data" and length == 0:  # size never written: its end is unknown
            return
        start = position + 4 + width
        yield head[:4], window.part(start, start + length)
        position = start + length
        position += padding_bytes(length, window.at(position, PADDING_LOOKAHEAD))
