"""Decides whether two spellings of a label or an artist are the same name.

Names are compared after NFKC and case folding (Unicode, annex 15 and section 3.13), without invisible
characters and with any run of white space as one space.
"""

import difflib
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

_JOINERS = "\u200c\u200d"  # needed within words of some scripts; shown, but ignored in comparisons
_INVISIBLE = ("Cf", "Cc")  # zero-width characters, byte order marks, soft hyphens; control characters


def clean(text: str) -> str:
    """A name for display: NFC, single spaces, no invisible characters, unchanged case."""
    spaced = " ".join(unicodedata.normalize("NFC", text).split())
    visible = "".join(char for char in spaced if char in _JOINERS or not _is_invisible(char))
    return " ".join(visible.split()).strip(_JOINERS)


@lru_cache(maxsize=100_000)
def name_key(text: str) -> str:
    """A key that is equal for all spellings of a name; empty if no character is visible."""
    folded = unicodedata.normalize("NFKC", clean(text)).casefold()
    visible = "".join(char for char in unicodedata.normalize("NFKC", folded) if not _is_invisible(char))
    return " ".join(visible.split())


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is spelt most like this one; None if none is like it."""
    by_key = {name_key(each): each for each in known}
    near = difflib.get_close_matches(name_key(name), by_key, n=1)
    return by_key[near[0]] if near else None


def suggest(name: str, known: Iterable[str], otherwise: str) -> str:
    """How a sentence about an unknown name ends: `; did you mean 'jazz'?`, or `; ` and another hint."""
    near = nearest(name, known)
    return f"; {otherwise}" if near is None else f"; did you mean {near!r}?"


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) in _INVISIBLE
