"""Decides whether two spellings of a label or an artist are the same name.

Names are compared after NFKC and case folding (Unicode, annex 15 and section 3.13), without invisible
characters and with any run of white space as one space.
"""

import unicodedata
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


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) in _INVISIBLE
