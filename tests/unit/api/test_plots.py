"""Where points of pictures lie, and which trials of a large study are drawn."""

from collections.abc import Collection
from itertools import pairwise

import pytest

from api.pages.plots import Axis, round_powers, round_steps, steps
from api.pages.study_plots import MOST_DRAWN, axis_of, choose_drawn, history
from core.config.tuning import Choices, FloatRange
from core.services.trial_lists import Outcome


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.71, 0.79, [0.72, 0.74, 0.76, 0.78]),
        (-3, 47, [0, 10, 20, 30, 40]),
        (0.5, 0.5, [0.5]),
    ],
)
def test_ticks_of_a_linear_axis_are_round(low, high, ticks):
    assert round_steps(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0003, 0.1, [0.001, 0.01, 0.1]),
        (16, 128, [20, 50, 100]),
        (1e-12, 1e8, [1e-12, 1e-8, 1e-4, 1, 1e4, 1e8]),
        (3, 4, [3, 4]),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_powers_of_ten(low, high, ticks):
    assert round_powers(low, high) == pytest.approx(ticks)


def test_an_axis_places_numbers_logarithms_and_choices():
    assert [Axis(0, 4).place(value) for value in (0, 1, 4)] == [0, 0.25, 1]
    assert Axis(0.01, 1, log=True).place(0.1) == pytest.approx(0.5)
    assert Axis(2, 2).place(2) == 0.5
    choices = Axis(0, 0, choices=["sgd", None, True])
    assert choices.place(None) == pytest.approx(0.5)
    assert [text for _, text in choices.ticks()] == ["sgd", "none", "true"]
    beside = [choices.place("sgd", number) for number in range(50)]
    assert len(set(beside)) == 50
    assert 0 < min(beside) < max(beside) < 1 / 3


def test_an_axis_spans_what_is_searched_and_also_values_beyond_it():
    axis = axis_of(FloatRange(low=0.001, high=0.1, log=True), [0.01, 0.5])
    assert (axis.low, axis.high, axis.log) == (0.001, 0.5, True)
    assert axis_of(Choices(choices=("a", "b")), ["c"]).choices == ["a", "b", "c"]
    assert axis_of(FloatRange(low=0, high=1), [0.5, "x"]).choices == [0.5, "x"]


def complete(values: list[float], best: Collection[int] = ()) -> list[Outcome]:
    return [Outcome(number, "complete", (value,), number in best) for number, value in enumerate(values)]


def test_a_line_keeps_the_best_until_there_is_a_better_one():
    assert steps([(0, 5), (2, 3)], 9) == "M0 5H2V3H9"


def test_of_many_trials_the_important_ones_and_an_even_choice_of_the_others_are_drawn():
    outcomes = complete([0.0] * 10_000, best=range(7000, 7020))
    numbers = [each.number for each in choose_drawn(outcomes, front=set(range(7020, 7040)))]
    assert len(numbers) == MOST_DRAWN
    assert numbers == sorted(set(numbers))
    assert set(range(7000, 7040)) <= set(numbers)
    assert max(after - before for before, after in pairwise(numbers)) < 70  # 9,960 others over 160 places
    assert len(choose_drawn(complete([0.0] * 999, best=range(999)))) == MOST_DRAWN
    assert choose_drawn(outcomes[:5]) == outcomes[:5]


def test_values_that_span_decades_have_a_logarithmic_axis():
    plot = history("parameters", 0, complete([1e6, 2.0, 3.0, 1.5], best=[0, 1, 3]))
    assert plot is not None
    assert plot.y_name == "Number of parameters (logarithmic)"
    assert [mark.trials for mark in plot.marks if mark.look == "best"] == ["0 1 3"]
    assert history("parameters", 0, [Outcome(0, "failed", None)]) is None
