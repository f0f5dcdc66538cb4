"""Opaque keyset cursors for paged lists."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from core.errors import InvalidCursor

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    items: Sequence[T]
    next_cursor: str | None


def encode_cursor(*key: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(key, default=str).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *types: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The key in a cursor, with each part converted to its type. Raises InvalidCursor."""
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key = json.loads(packed)
        if not isinstance(key, list) or len(key) != len(types):
            raise InvalidCursor
        return tuple(convert(part) for convert, part in zip(types, key, strict=True))
    except (binascii.Error, UnicodeDecodeError, ValueError, TypeError, AttributeError, OverflowError):
        raise InvalidCursor from None


def cut_page(rows: Sequence[T], limit: int, key: Any) -> Page[T]:
    """A page from up to `limit + 1` rows; the extra row only indicates that there are more."""
    items = rows[:limit]
    return Page(items, encode_cursor(*key(items[-1])) if len(rows) > limit else None)
