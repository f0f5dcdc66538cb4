"""A bounded queue between threads; closing it wakes every waiting thread."""

from collections import deque
from threading import Condition
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Closed(Exception):
    """The channel is closed."""


class Channel(Generic[Item]):
    """`put` blocks while `capacity` items are unread, `get` while there are none."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._changed = Condition()
        self._closed = False

    def put(self, item: Item) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> Item:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items)
            if self._closed:
                raise Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def would_wait(self) -> bool:
        """Whether `get` would block now."""
        with self._changed:
            return not self._items

    def close(self) -> None:
        """Refuse further items and discard unread ones."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
