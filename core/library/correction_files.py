"""Corrections as CSV: `path,label,verdict`, or `path,labels` with labels like `+jazz; -rock; ?pop`."""

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

from core.errors import Invalid
from core.spelling import name_key
from core.states import Verdict

MOST_ROWS = 200_000
MOST_LABEL = 200  # characters
SIGNS = {"+": Verdict.YES, "-": Verdict.NO, "?": Verdict.UNSURE}
HEADERS = ({"path", "label", "verdict"}, {"path", "labels"})
EXPECTED = "a CSV file of corrections starts with `path,label,verdict` or `path,labels`"


class Row(NamedTuple):
    """A verdict on one label of one track."""

    line: int  # of the file, from 1
    path: str  # relative to the library
    label: str
    verdict: Verdict


def read_rows(text: str) -> list[Row]:
    """The rows of a file, checked as a whole. Raises Invalid, which names the line."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        names = [(name or "").strip().lower() for name in reader.fieldnames or ()]
        if set(names) not in HEADERS or len(names) != len(set(names)):
            raise Invalid(f"Line 1: {EXPECTED}.")
        reader.fieldnames = names
        rows: list[Row] = []
        for cells in reader:
            rows += _read_line(reader.line_num, cells)
            if len(rows) > MOST_ROWS:
                raise Invalid(f"The file has more than {MOST_ROWS:,} labels: import it in parts.")
    except csv.Error as error:
        raise Invalid(f"Line {reader.line_num}: this is not CSV: {error}.") from error
    return rows


def _read_line(line: int, cells: dict[str, str | None]) -> Iterator[Row]:
    if None in cells or None in cells.values():
        raise Invalid(f"Line {line}: it has more or fewer cells than the first line.")
    path = cells["path"] or ""
    if not path:
        raise Invalid(f"Line {line}: the path is empty.")
    if "labels" not in cells:
        label, verdict = (cells["label"] or "").strip(), (cells["verdict"] or "").strip().lower()
        yield Row(line, path, _checked(line, label), _verdict(line, verdict))
        return
    for word in (cells["labels"] or "").split(";"):
        label, verdict_of = signed(word)
        if word.strip():
            yield Row(line, path, _checked(line, label), verdict_of)


def signed(word: str) -> tuple[str, Verdict]:
    """`-rock` -> rock, no; without a sign it is yes."""
    label = word.strip()
    sign = SIGNS.get(label[:1])
    return (label, Verdict.YES) if sign is None else (label[1:].strip(), sign)


def _checked(line: int, label: str) -> str:
    if not name_key(label) or len(label) > MOST_LABEL:
        raise Invalid(f"Line {line}: a label has 1 to {MOST_LABEL} visible characters.")
    return label


def _verdict(line: int, word: str) -> Verdict:
    try:
        return SIGNS[word] if word in SIGNS else Verdict(word)
    except ValueError:
        raise Invalid(f"Line {line}: the verdict is yes, no or unsure, not {word!r}.") from None
