"""APEv1 and APEv2 tags (https://wiki.hydrogenaud.io/index.php?title=APEv2_specification)."""

from core.library.tags.found import FIELDS, VALUE_BYTES, Found
from core.library.window import Window

_FOOTER_BYTES = 32
_MAX_ITEMS = 10_000
_KEY_BYTES = 256


def read_ape(window: Window, found: Found) -> None:
    """Read a tag, from its header or first item to its footer."""
    end = window.size - _FOOTER_BYTES
    is_first_version = window.at(end + 8, 4) == (1000).to_bytes(4, "little")
    position = _FOOTER_BYTES if window.at(0, 8) == b"APETAGEX" else 0
    count = int.from_bytes(window.at(end + 16, 4), "little")
    for _ in range(min(count, _MAX_ITEMS)):
        head = window.at(position, 8)
        key, terminator, _ = window.at(position + 8, _KEY_BYTES).partition(b"\0")
        start = position + 8 + len(key) + 1
        length = int.from_bytes(head[:4], "little")
        if len(head) < 8 or not terminator or start + length > end:
            found.fail("one of its items is damaged")
            return
        name = FIELDS.get(key.decode("latin-1").lower())
        is_text = int.from_bytes(head[4:8], "little") >> 1 & 3 == 0
        if name is not None and is_text:
            data = window.at(start, min(length, VALUE_BYTES))
            text = found.decode_legacy(data, name) if is_first_version else found.decode(data, "utf-8", name)
            found.add(name, text.split("\0"))
        position = start + length
    if count > _MAX_ITEMS:
        found.fail("it has too many items")
