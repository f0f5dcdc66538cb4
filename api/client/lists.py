"""Lists of the gateway: read page by page, and shown as a table or as JSON."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Annotated, Any, Generic, TypeVar

import typer
from pydantic import BaseModel

from api import schemas
from api.client import display
from api.client.http import UsageError

T = TypeVar("T", bound=BaseModel)
PAGE = 1000
SHOWN = 20  # items on a terminal, unless more are asked for

Limit = Annotated[
    int | None, typer.Option(min=1, help=f"How many; not given: {SHOWN} on a terminal, else all.")
]


class Pages(Generic[T]):
    """The items of a list, at most `most` of them; then `next_cursor` says where the rest begins.

    `read`: a page of a limit and a cursor.
    """

    def __init__(self, read: Callable[[int, str | None], schemas.Page[T]], most: int | None = None) -> None:
        self._read, self._most = read, most
        self.next_cursor: str | None = None
        self.count = 0

    def __iter__(self) -> Iterator[T]:
        while self._most is None or self.count < self._most:
            limit = PAGE if self._most is None else min(PAGE, self._most - self.count)
            page = self._read(limit, self.next_cursor)
            self.count += len(page.items)
            self.next_cursor = page.next_cursor
            yield from page.items
            if page.next_cursor is None:
                return


def most_of(limit: int | None, shown: int = SHOWN) -> int | None:
    """How many items a list shows: what was asked for, else what fits a terminal, else all (None)."""
    return shown if limit is None and display.console.is_terminal else limit


def check_limit(limit: int | None, item: str | None) -> None:
    """Raise UsageError for a limit where one item is meant."""
    if limit is not None and item is not None:
        raise UsageError("--limit goes with a list: leave the ID out.")


def show_list(
    found: Pages[T],
    columns: Iterable[str],
    row_of: Callable[[T], Iterable[display.Cell]],
    *,
    as_json: bool,
    when_empty: Callable[[], str],
) -> None:
    """Through a pipe, each row is written when its page has come. `when_empty` says what to do next."""
    if as_json:
        items: list[Any] = list(found)
        display.show_json(schemas.Page(items=items, next_cursor=found.next_cursor))
        return
    items_left = iter(found)
    first = next(items_left, None)
    if first is None:
        display.note(when_empty())
        return
    display.show_table("", columns, map(row_of, chain([first], items_left)))
    if found.next_cursor:
        shown = "This is the first one" if found.count == 1 else f"These are the first {found.count}"
        display.note(f"{shown}; `--limit NUMBER` shows more.")
