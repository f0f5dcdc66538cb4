"""Idle pool children are replaced, busy ones and new ones are not."""

import pytest
from celery.worker import state

from workers.recycling import IDLE_LOOKS, Recycling


class Pool:
    """A pool of two, as Celery shrinks and grows it."""

    def __init__(self) -> None:
        self.num_processes, self.replaced, self.looks = 2, 0, 0

    def shrink(self, count: int) -> None:
        self.num_processes -= count
        self.replaced += count

    def grow(self, count: int) -> None:
        self.num_processes += count

    def maintain_pool(self) -> None:
        self.looks += 1


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
def recycling(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> Recycling:
    monkeypatch.setattr(state, "all_total_count", [0])
    monkeypatch.setattr(state, "reserved_requests", set())
    return Recycling(pool, lambda _, call: call())


def look(recycling: Recycling, times: int) -> None:
    for _ in range(times):
        recycling.look()


def test_children_that_have_not_worked_stay(pool, recycling):
    look(recycling, 3 * IDLE_LOOKS)
    assert pool.replaced == 0


def test_idle_children_are_replaced_once(pool, recycling):
    state.all_total_count[0] = 1
    look(recycling, IDLE_LOOKS)  # the first one sees the unit
    assert pool.replaced == 0
    look(recycling, 3 * IDLE_LOOKS)
    assert (pool.replaced, pool.num_processes) == (2, 2)
    assert pool.looks > 1  # as a child may end a little later than it says
    state.all_total_count[0] = 2
    look(recycling, 1 + IDLE_LOOKS)
    assert pool.replaced == 4


def test_busy_children_stay(pool, recycling):
    state.all_total_count[0] = 1
    look(recycling, IDLE_LOOKS)
    state.reserved_requests.add("a unit of many minutes")
    look(recycling, 3 * IDLE_LOOKS)
    state.reserved_requests.clear()
    look(recycling, IDLE_LOOKS - 1)
    assert pool.replaced == 0


def test_a_unit_between_two_looks_counts_as_work(pool, recycling):
    for units in range(3 * IDLE_LOOKS):
        state.all_total_count[0] = units
        recycling.look()
    assert pool.replaced == 0


def test_a_pool_that_had_lost_a_child_gets_its_size_back(pool, recycling, monkeypatch):
    def shrink(count: int) -> None:
        pool.num_processes -= 1
        raise ValueError("Can't shrink pool. All processes busy!")

    monkeypatch.setattr(pool, "shrink", shrink)
    state.all_total_count[0] = 1
    with pytest.raises(ValueError, match="shrink"):
        look(recycling, 1 + IDLE_LOOKS)
    assert pool.num_processes == 2
