"""Tables of values: boxes on a terminal, tab-separated values everywhere else."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from uuid import UUID

from rich.table import Table
from rich.text import Text

from core.output.terminal import console, printable

SHORT_ID = 8  # characters of an id, at least
WHOLE_WIDTH = 36  # a longer name may be folded
DAY_S = 86400
TSV_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Name(str):
    """Text to copy from a table, such as a model: not folded if it can be helped."""


class Tenths(float):
    """A number of which people read one decimal, such as seconds."""


Cell = str | int | float | UUID | datetime | None


def show_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Cell]]) -> None:
    """Print values: on a terminal shortened to what people read, else as they are.

    A table without a title comes first or alone: through a pipe it is a header and rows, nothing else. There
    each row is written when it has come.
    """
    if console.is_terminal:
        _print_boxed(title, list(columns), [list(row) for row in rows])
    else:
        _write_tsv(title, columns, rows)


def _print_boxed(title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Without the columns of which no row has a value."""
    table = Table(title=printable(title) or None, title_justify="left", title_style="bold")
    filled = [place for place in range(len(columns)) if any(row[place] not in (None, "") for row in rows)]
    cells = [words_of([row[place] for row in rows]) for place in filled]
    for place, words in zip(filled, cells, strict=True):
        values = [row[place] for row in rows if row[place] is not None]
        width = max(map(len, words), default=0)
        is_text = any(isinstance(value, str) for value in values)
        is_whole = not is_text or all(isinstance(value, Name) for value in values)
        keep = is_whole and width <= WHOLE_WIDTH
        is_number = bool(values) and all(isinstance(value, int | float) for value in values)
        table.add_column(
            columns[place],
            justify="right" if is_number else "left",
            no_wrap=keep,
            min_width=width if keep else None,
            overflow="fold",
        )
    for row in zip(*cells, strict=True):
        table.add_row(*map(Text, row))
    console.print(table)


def _write_tsv(title: str, columns: Iterable[str], rows: Iterable[Iterable[Cell]]) -> None:
    if title:
        console.file.write(f"\n{printable(title)}\n")
    for row in chain([columns], rows):
        console.file.write("\t".join(map(tsv_value, row)) + "\n")


def tsv_value(value: Cell) -> str:
    r"""As it is, in UTC; empty for None. Tabs, line feeds and backslashes as `\t`, `\n` and `\\`."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    return printable(str(value).translate(TSV_ESCAPES))


def words_of(values: Sequence[Cell]) -> list[str]:
    """The cells of a column for people: ids as short as they still differ, `5 min ago`, three decimals."""
    ids = {value for value in values if isinstance(value, UUID)}
    short = next(size for size in range(SHORT_ID, 37) if len({str(each)[:size] for each in ids}) == len(ids))
    return [_word(value, short) for value in values]


def _word(value: Cell, short: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, UUID):
        return str(value)[:short]
    if isinstance(value, Tenths):
        return f"{value:.1f}"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime):
        return age_of(value)
    return printable(str(value))


def age_of(when: datetime, now: datetime | None = None) -> str:
    """`now`, `5 min ago`, `3 h ago`, `12 d ago`, then the date."""
    seconds = ((now or datetime.now(UTC)) - when).total_seconds()
    if seconds < 60:
        return "now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < DAY_S:
        return f"{seconds // 3600:.0f} h ago"
    if seconds < 30 * DAY_S:
        return f"{seconds // DAY_S:.0f} d ago"
    return when.astimezone().strftime("%Y-%m-%d")
