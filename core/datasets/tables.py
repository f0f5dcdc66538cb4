"""Read delimited text as it comes: with or without byte order mark, any line end, rows of any length.

`root` is the dataset's folder, which no link may lead out of.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path

from core.datasets.errors import DatasetMalformed
from core.datasets.paths import open_description

# Biographies in one cell are longer than the 128 KiB that the csv module allows.
_MAX_CELL = 1 << 24


def rows(root: Path, path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Every row that is not empty, with the number of the line it ends on."""
    csv.field_size_limit(_MAX_CELL)
    try:
        with (
            open_description(path, root) as binary,
            TextIOWrapper(binary, encoding="utf-8-sig", newline="") as file,
        ):
            reader = csv.reader(file, delimiter=delimiter)
            for row in reader:
                if row:
                    yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetMalformed(f"{path} is not a UTF-8 table: {error}.") from error


def records(
    root: Path, path: Path, required: Sequence[str], delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str]]]:
    """Every row by the names in the first one, in which all `required` must be; cells are trimmed."""
    table = rows(root, path, delimiter)
    _, header = next(table, (0, []))
    names = [name.strip() for name in header]
    if missing := [name for name in required if name not in names]:
        raise DatasetMalformed(f"{path} has no column {missing[0]!r} in its first line.")
    for line, row in table:
        if len(row) > len(names):
            raise malformed(path, line, f"{len(row)} cells under {len(names)} columns")
        cells = [cell.strip() for cell in row] + [""] * (len(names) - len(row))
        yield line, dict(zip(names, cells, strict=True))


def lines(root: Path, path: Path) -> list[str]:
    """The lines of a list that are not blank, trimmed."""
    return [row for line in text(root, path).splitlines() if (row := line.strip())]


def text(root: Path, path: Path) -> str:
    try:
        with open_description(path, root) as file:
            return file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetMalformed(f"{path} is not UTF-8 text: {error}.") from error


def malformed(path: Path, line: int, what: str) -> DatasetMalformed:
    return DatasetMalformed(f"{path}, line {line}: {what}.")


def unique(labels: Sequence[str], names: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Labels trimmed and renamed by `names`, each once, in their order, without empty ones."""
    trimmed = [label.strip() for label in labels]
    renamed = [names.get(label, label) for label in trimmed] if names else trimmed
    return tuple(dict.fromkeys(label for label in renamed if label))
