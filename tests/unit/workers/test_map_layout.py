"""A thread that lays out landmarks for a stopped unit leaves the next one alone."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from threading import enumerate as threads
from typing import Any, cast

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from workers import maps
from workers.lease import Lease, Stop, Stopped

VECTORS = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)


@dataclass
class Looks:
    """A lease of which only the looks for a stop are used."""

    check: Callable[[], None]


def lay_out(check: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "LOOK_EVERY_S", 0.01)
    maps._lay_out(cast(Lease, Looks(check)), VECTORS, seed=0)


def limits() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info()}


def test_limits_of_threads_end_with_the_unit_and_not_with_the_layout(monkeypatch):
    at_work, go_on = Event(), Event()
    inside: list[set[int]] = []

    def take_long(_: Any, components: Any) -> Any:
        inside.append(limits())
        at_work.set()
        go_on.wait(10)
        return components[:, :2]

    def stop() -> None:
        if at_work.is_set():
            raise Stopped(Stop.CANCELLED)

    monkeypatch.setattr("sklearn.manifold.TSNE.fit_transform", take_long)
    with threadpool_limits(limits=2):
        with pytest.raises(Stopped):
            lay_out(stop, monkeypatch)
        assert inside == [{1}]
        assert limits() == {2}
        (thread,) = [each for each in threads() if each.name == "layout"]
        with threadpool_limits(limits=1):  # those of the next unit
            go_on.set()
            thread.join()
            assert limits() == {1}
        assert limits() == {2}


def test_whatever_a_layout_raises_ends_the_unit(monkeypatch):
    class Ended(BaseException):
        """No Exception, as an exit of the interpreter is none."""

    def fail(*_: Any) -> None:
        raise Ended

    looks = iter(range(100))

    def look() -> None:
        next(looks)  # raises after so many, instead of waiting for ever

    monkeypatch.setattr(maps, "lay_out", fail)
    with pytest.raises(Ended):
        lay_out(look, monkeypatch)
