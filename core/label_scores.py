"""Labels with the scores that are meant, as in queries: `sad`, `sad:0.4..`, `sad:..0.2`, `sad:0.4..0.8`."""

import re
from dataclasses import dataclass

from core.errors import Invalid

FORMS = "`sad:0.4..`, `sad:..0.2` or `sad:0.4..0.8`"
_NUMBER = r"(?:0|1|0?\.\d{1,9}|0\.\d{0,9}|1\.0{0,9})"
_RANGE = re.compile(rf"({_NUMBER})??\.\.({_NUMBER})?")
_MEANT_AS_RANGE = re.compile(r".*\.\..*|[\d\s]*\.[\d\s]*")


@dataclass(frozen=True)
class LabelScores:
    """A label and the scores of it that are meant, unless a person gave it."""

    label: str
    least: float | None = None  # None: the label's threshold
    most: float = 1.0

    def __str__(self) -> str:
        """As in a query."""
        if self.least is None and self.most >= 1:
            return self.label
        return f"{self.label}:{_plain(self.least or 0.0)}..{'' if self.most >= 1 else _plain(self.most)}"


def read_label(text: str) -> str | LabelScores:
    """A label as a query names it, with the scores that stand behind its last colon.

    Labels may hold colons themselves: only what looks like a range is one. Raises Invalid for what looks like
    one and is none.
    """
    label, colon, scores = text.rpartition(":")
    if not colon or not _MEANT_AS_RANGE.fullmatch(scores):
        return text
    found = _RANGE.fullmatch(scores)
    if not label.strip() or found is None or not any(found.groups()):
        raise Invalid(f"{text!r} names no range of scores from 0 to 1: write it as in {FORMS}.")
    least, most = float(found[1] or 0), float(found[2] or 1)
    if least > most:
        raise Invalid(f"{text!r} starts at a higher score than it ends: write the lower one first.")
    return LabelScores(label, least, most)


def _plain(number: float) -> str:
    return f"{number:.9f}".rstrip("0").rstrip(".")
