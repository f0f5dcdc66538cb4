"""Cutting a page of tracks into units of about the same time."""

from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from core.config.params import AnalysisParams
from core.services.planning import PlannedItem
from core.states import ItemState
from workers import planning
from workers.planning import MAX_UNIT_ITEMS, REALTIME_FACTOR, cut_by_time

OUTCOMES = st.sampled_from([ItemState.PENDING, ItemState.PENDING, ItemState.SKIPPED, ItemState.FAILED])


def items(*states: ItemState) -> list[PlannedItem]:
    return [PlannedItem(UUID(int=number), state) for number, state in enumerate(states)]


def pending(count: int) -> list[PlannedItem]:
    return items(*[ItemState.PENDING] * count)


def sizes(chunks: list[list[PlannedItem]]) -> list[int]:
    return [len(chunk) for chunk in chunks]


def test_chunks_are_filled_up_to_the_target():
    assert sizes(cut_by_time(pending(7), [10.0] * 7, 30.0)) == [3, 3, 1]


def test_a_giant_gets_a_unit_of_its_own():
    assert sizes(cut_by_time(pending(5), [1.0, 1.0, 500.0, 1.0, 1.0], 30.0)) == [2, 1, 2]


def test_a_unit_has_a_bounded_number_of_items_however_small_they_are():
    assert sizes(cut_by_time(pending(600), [0.0] * 600, 30.0)) == [MAX_UNIT_ITEMS, MAX_UNIT_ITEMS, 88]


def test_outcomes_that_are_known_cost_nothing():
    mixed = items(ItemState.SKIPPED, ItemState.PENDING, ItemState.FAILED, ItemState.PENDING)
    assert sizes(cut_by_time(mixed, [100.0, 15.0, 100.0, 15.0], 30.0)) == [4]


def test_tracks_that_are_relabelled_cost_next_to_nothing_and_keep_their_places():
    page = pending(3) + [PlannedItem(UUID(int=number), content_hash=b"a") for number in range(3, 803)]
    assert sizes(cut_by_time(page, [10.0] * 803, 30.0)) == [3, 800]
    assert [item for chunk in cut_by_time(page, [10.0] * 803, 45.0) for item in chunk] == page


@settings(deadline=None, derandomize=True)
@given(st.lists(st.tuples(OUTCOMES, st.floats(0, 100)), min_size=1, max_size=400), st.floats(1, 50))
def test_cutting_keeps_every_item_in_order_and_no_unit_above_its_target(planned, target_s):
    page = items(*(state for state, _ in planned))
    cost_s = {
        item.track_id: cost if item.state is ItemState.PENDING else 0.0
        for item, (_, cost) in zip(page, planned, strict=True)
    }
    chunks = cut_by_time(page, [cost for _, cost in planned], target_s)
    assert [item for chunk in chunks for item in chunk] == page
    for chunk in chunks:
        costs = [cost_s[item.track_id] for item in chunk]
        assert len(chunk) > 0
        assert sum(item.state is ItemState.PENDING for item in chunk) <= MAX_UNIT_ITEMS
        assert sum(costs) <= target_s * (1 + 1e-9) or sum(cost > 0 for cost in costs) == 1


@pytest.mark.parametrize(
    ("path", "size", "audio_s"),
    [("a.wav", 1_764_000, 10), ("A.FLAC", 1_000_000, 10), ("a.mp3", 200_000, 10), ("a.opus", 0, 0)],
)
def test_the_work_is_guessed_from_the_size_of_the_file(path, size, audio_s):
    params = AnalysisParams(library="music")
    assert planning._work_s(path, size, params) == pytest.approx(audio_s / REALTIME_FACTOR)


def test_a_few_windows_of_a_long_track_are_little_work():
    params = AnalysisParams.model_validate({"library": "music", "coverage": {"windows": 2}})
    assert planning._work_s("a.wav", 176_400 * 3600, params) == pytest.approx(6 / REALTIME_FACTOR)
    assert planning._work_s("a.wav", 176_400 * 2, params) == pytest.approx(2 / REALTIME_FACTOR)
