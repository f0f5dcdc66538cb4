"""Bounded waiting."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(look: Callable[[], T | None], timeout_s: float, every_s: float = 0.05) -> T:
    """The first answer of `look` that is not None."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = look()
        if answer is not None:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"nothing for {timeout_s} s")
        time.sleep(every_s)
