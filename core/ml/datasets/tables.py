"""Reads delimited text: with or without byte order mark, with any line end, and rows of any length.

`root` is the dataset's folder; files outside it are refused.
"""

import csv
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from core.ml.datasets.errors import DatasetMalformed
from core.ml.datasets.paths import open_description

# Some cells, such as biographies, exceed the 128 KiB limit of the csv module.
_MAX_CELL = 1 << 24
_MAX_HEADER = 1 << 16


def rows(root: Path, path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Every row that is not empty, with its last line number. Raises DatasetMalformed."""
    csv.field_size_limit(_MAX_CELL)
    try:
        with _open_text(root, path) as file:
            reader = csv.reader(file, delimiter=delimiter)
            for row in reader:
                if row:
                    yield reader.line_num, row
    except csv.Error as error:
        raise DatasetMalformed(f"{path} is not a table: {error}.") from error


@contextmanager
def _open_text(root: Path, path: Path) -> Iterator[TextIOWrapper]:
    """Open a file in UTF-8, or UTF-16 with a byte order mark, as spreadsheets export it."""
    with open_description(path, root) as binary:
        encoding = "utf-16" if binary.read(2) in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig"
        binary.seek(0)
        try:
            with TextIOWrapper(binary, encoding=encoding, newline="") as file:
                yield file
        except UnicodeError as error:
            where = "" if encoding == "utf-16" else f", line {_first_line_not_utf8(root, path)},"
            raise DatasetMalformed(
                f"{path}{where} is not {encoding[:6].upper().rstrip('-')} text: save it as UTF-8."
            ) from error


def _first_line_not_utf8(root: Path, path: Path) -> int:
    with open_description(path, root) as binary:
        for number, line in enumerate(binary, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return number


def records(
    root: Path, path: Path, required: Sequence[str], delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str]]]:
    """Every row by the column names of the first, with trimmed cells. Raises DatasetMalformed."""
    table = rows(root, path, delimiter)
    _, header = next(table, (0, []))
    if header and header[0].lower().startswith("sep="):  # written by Excel above the column names
        _, header = next(table, (0, []))
    names = _column_names(header)
    if missing := [name for name in required if name not in names]:
        raise DatasetMalformed(f"{path} has no column {missing[0]!r} in its first line.")
    for line, row in table:
        if len(row) > len(names):
            raise malformed(path, line, f"{len(row)} cells under {len(names)} columns")
        cells = [cell.strip() for cell in row] + [""] * (len(names) - len(row))
        yield line, dict(zip(names, cells, strict=True))


def delimiter_of(root: Path, path: Path, required: Sequence[str], candidates: str) -> str:
    """The first of `candidates` that splits the first line into columns with all `required` names.

    If none does, the first candidate, so that reading reports the missing column.
    """
    with _open_text(root, path) as file:
        first = [line for line in (file.readline(_MAX_HEADER) for _ in range(2)) if line]
    for delimiter in candidates:
        for line in first:
            if set(required) <= set(_column_names(next(csv.reader([line], delimiter=delimiter), []))):
                return delimiter
    return candidates[0]


def _column_names(header: Sequence[str]) -> list[str]:
    return [name.strip() for name in header]


def lines(root: Path, path: Path) -> list[str]:
    """The non-blank lines of a file, trimmed."""
    return [row for line in text(root, path).splitlines() if (row := line.strip())]


def text(root: Path, path: Path) -> str:
    with _open_text(root, path) as file:
        return file.read()


def malformed(path: Path, line: int, what: str) -> DatasetMalformed:
    return DatasetMalformed(f"{path}, line {line}: {what}.")


def unique(labels: Sequence[str]) -> tuple[str, ...]:
    """The unique, trimmed, non-empty labels in their order."""
    trimmed = [label.strip() for label in labels]
    return tuple(dict.fromkeys(label for label in trimmed if label))
