"""ID3 tags: version 2.2, 2.3 and 2.4 (https://id3.org), and version 1.

Only text frames are read; pictures are skipped.
"""

import zlib
from codecs import getincrementaldecoder
from collections.abc import Iterator

from mutagen.id3 import TCON

from core.library.tag_blocks import id3v2_bytes, synchsafe
from core.library.tags.found import VALUE_BYTES, Found
from core.library.window import Window

_MAX_FRAMES = 10_000
_FRAMES = {
    "TIT2": "title",
    "TPE1": "artist",
    "TALB": "album",
    "TPE2": "albumartist",
    "TCON": "genre",
    "TDRC": "date",
    "TYER": "date",
    "TRCK": "tracknumber",
    "TPOS": "discnumber",
    "TCOM": "composer",
    "TBPM": "bpm",
    "TSRC": "isrc",
}
_SHORT_FRAMES = {
    "TT2": "title",
    "TP1": "artist",
    "TAL": "album",
    "TP2": "albumartist",
    "TCO": "genre",
    "TYE": "date",
    "TRK": "tracknumber",
    "TPA": "discnumber",
    "TCM": "composer",
    "TBP": "bpm",
    "TRC": "isrc",
}
_NAMES = _FRAMES | _SHORT_FRAMES
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_UNKNOWN_GENRE = "Unknown"  # mutagen's name for an unknown genre number


def read_id3v2(window: Window, found: Found, length: int | None = None) -> None:
    """Read a tag; `length` in bytes overrides the one in its header."""
    head = window.at(0, 10)
    if len(head) < 10:
        found.fail("it is cut off")
        return
    version, flags = head[3], head[5]
    if version not in (2, 3, 4):
        found.fail(f"version 2.{version} is unknown")
        return
    if version == 2 and flags & 0x40:
        found.fail("compressed tags of version 2.2 are not supported")
        return
    end = (length or id3v2_bytes(head)) - (10 if version == 4 and flags & 0x10 else 0)
    if end > window.size:
        found.fail("it is cut off")
    body = window.part(10, end)
    if flags & 0x80 and version < 4:
        body = Window(_synchronised(body.at(0, body.size)))
    if version > 2 and flags & 0x40:
        body = _behind_extended_header(body, version)
    for name, frame_flags, data in _frames(body, version, found):
        if version == 4 and flags & 0x80:
            frame_flags |= 0x02
        _read_frame(name, frame_flags, data, version, found)


def read_id3v1(window: Window, found: Found) -> None:
    """Read version 1.1, whose fields are truncated to 30 characters."""
    data = window.at(window.size - 128, 128)
    for name, field in {
        "title": data[3:33],
        "artist": data[33:63],
        "album": data[63:93],
        "date": data[93:97],
    }.items():
        found.add(name, [found.decode_legacy(_whole_characters(field.split(b"\0", 1)[0]), name)])
    if data[125] == 0 and data[126]:
        found.add("tracknumber", [str(data[126])])
    found.add("genre", genres([str(data[127])]))


def _whole_characters(field: bytes) -> bytes:
    """A field of fixed length without a UTF-8 character that is cut off at its end."""
    text = getincrementaldecoder("utf-8")("ignore").decode(field)
    is_utf8 = not text.isascii() and field.startswith(text.encode())
    return text.encode() if is_utf8 else field


def genres(texts: list[str]) -> list[str]:
    """Names of genres: `(17)`, `17`, `(4)Eurodisco`, `(RX)` and plain names."""
    names: list[str] = TCON(encoding=3, text=texts).genres  # type: ignore[no-untyped-call]
    return [name for name in names if name != _UNKNOWN_GENRE or _UNKNOWN_GENRE in texts]


def _synchronised(data: bytes) -> bytes:
    return data.replace(b"\xff\x00", b"\xff")


def _behind_extended_header(body: Window, version: int) -> Window:
    size = body.at(0, 4)
    if _is_name(size):  # a flag without the header
        return body
    length = synchsafe(size) if version == 4 else 4 + int.from_bytes(size, "big")
    return body.part(length, body.size)


def _frames(body: Window, version: int, found: Found) -> Iterator[tuple[str, int, bytes]]:
    """Name, flags and the first `VALUE_BYTES` bytes of every text frame with a known field."""
    width = 3 if version == 2 else 4
    header = 6 if version == 2 else 10
    position = 0
    for _ in range(_MAX_FRAMES):
        head = body.at(position, header)
        if len(head) < header or not head[:width].strip(b"\0"):
            return
        if not _is_name(head[:width]):
            found.fail("it contains bytes that are not frames")
            return
        length = _frame_bytes(body, position + header, head[width : 2 * width], version)
        if position + header + length > body.size:
            found.fail("its last frame is cut off")
            return
        name = head[:width].rstrip(b"\0").decode("ascii")
        if name in _NAMES or name == "TDAT":
            flags = head[9] if version > 2 else 0
            yield name, flags, body.at(position + header, min(length, VALUE_BYTES))
        position += header + length
    found.fail("it has too many frames")


def _is_name(name: bytes) -> bool:
    """Whether it is a frame name. Some programs wrote NUL-padded names of version 2.2 into version 2.3."""
    stem = name[:-1] if name[-1:] == b"\0" and len(name) == 4 else name
    return len(stem) >= 3 and stem.isalnum() and stem == stem.upper()


def _frame_bytes(body: Window, start: int, size: bytes, version: int) -> int:
    """Length of a frame at `start`: a plain number in 2.3, synchsafe in 2.4.

    Some programs confuse the two; the reading after which a frame, padding or the end follows is used.
    """
    plain = int.from_bytes(size, "big")
    if version == 2 or plain < 128:
        return plain
    candidates = [plain, synchsafe(size)] if version == 3 else [synchsafe(size), plain]
    if max(size) > 127:
        candidates = [plain]
    for length in candidates:
        following = body.at(start + length, 4)
        if start + length == body.size or (
            len(following) > 0 and (not following.strip(b"\0") or _is_name(following))
        ):
            return length
    return candidates[0]


def _read_frame(name: str, flags: int, data: bytes, version: int, found: Found) -> None:
    content = _content(name, flags, data, version, found)
    if not content:
        return
    texts = _texts(name, content, found)
    if name == "TDAT":  # day and month, version 2.3
        year = found.values.get("date", [""])[0]
        day = texts[0].strip() if texts else ""
        if len(year) == 4 and len(day) == 4 and day.isdigit():
            found.values["date"] = [f"{year}-{day[2:]}-{day[:2]}"]
        return
    field = _NAMES[name]
    found.add(field, genres(texts) if field == "genre" else texts)


def _content(name: str, flags: int, data: bytes, version: int, found: Found) -> bytes:
    """The content of a frame, without the extra fields that its flags announce, decompressed."""
    if version == 4:
        is_compressed, is_encrypted = flags & 0x08, flags & 0x04
        extra = (1 if flags & 0x40 else 0) + (4 if flags & 0x09 else 0)
    else:
        is_compressed, is_encrypted = flags & 0x80, flags & 0x40
        extra = (1 if flags & 0x20 else 0) + (4 if is_compressed else 0)
    if is_encrypted:
        found.fail(f"the frame {name} is encrypted")
        return b""
    data = data[extra:]
    if version == 4 and flags & 0x02:
        data = _synchronised(data)
    if is_compressed:
        try:
            return zlib.decompressobj().decompress(data, VALUE_BYTES)
        except zlib.error:
            found.fail(f"the compressed frame {name} is damaged")
            return b""
    return data


def _texts(name: str, data: bytes, found: Found) -> list[str]:
    """The values of a text frame, whose first byte states the encoding."""
    encoding, text = data[0], data[1:]
    if encoding == 0:
        whole = found.decode_legacy(text, f"the frame {name}")
    elif encoding == 3:
        whole = found.decode(text, "utf-8", f"the frame {name}")
    elif encoding in (1, 2):
        codec = _BYTE_ORDER_MARKS.get(text[:2]) or (
            "utf-16-be" if encoding == 2 or _is_big_endian(text) else "utf-16-le"
        )
        whole = found.decode(text[: len(text) // 2 * 2], codec, f"the frame {name}")
    else:
        found.fail(f"the frame {name} has an unknown text encoding")
        return []
    return [value.lstrip("\ufeff\ufffe") for value in whole.split("\0")]


def _is_big_endian(text: bytes) -> bool:
    """Guess the byte order of UTF-16 without a mark: in most text, the high bytes are zero more often."""
    return text[::2].count(0) > text[1::2].count(0)
