"""What a preview counts is what is served before and after."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from core.ml.evaluation.comparison import MOST_CHANGES, Comparison, Labelling, Page
from core.states import Verdict
from core.store.predictions import given_labels, true_labels
from core.store.tables import Model

YES, NO, UNSURE = Verdict.YES, Verdict.NO, Verdict.UNSURE
NEW = ("rock", "jazz", "Hip Hop", "folk")
OLD = ("jazz", "hip hop", "rock", "polka")


def labelling(labels: tuple[str, ...], single: bool, threshold: float = 0.5) -> Labelling:
    return Labelling(labels, [threshold] * len(labels), single)


def served(
    labels: tuple[str, ...], single: bool, scores: np.ndarray, verdicts: dict[str, Verdict]
) -> set[str]:
    """The labels of an answer, by its own functions."""
    model = Model(labels=list(labels), thresholds=[0.5] * len(labels), single_label=single)
    said = true_labels(model, given_labels(model, [float(score) for score in scores]), verdicts)
    return {label.label.casefold() for label in said}


@pytest.mark.parametrize("single", [(False, False), (True, True), (True, False), (False, True)])
def test_gains_and_losses_are_those_of_the_answers(single):
    random = np.random.default_rng(0)
    count = 200
    new, old = (random.random((count, 4)).astype(np.float32) for _ in range(2))
    names = ["rock", "JAZZ", "hip  hop", "folk", "polka", "ska"]
    verdicts = [
        {name: random.choice([YES, NO, UNSURE]) for name in random.choice(names, 2, replace=False)}
        if random.random() < 0.5
        else {}
        for _ in range(count)
    ]
    comparison: Comparison[int] = Comparison(labelling(NEW, single[0]), labelling(OLD, single[1]))
    for start in (0, 150):
        part = slice(start, 150 if start == 0 else count)
        rows = range(count)[part]
        audio = [bytes([row]) for row in rows]
        comparison.add(Page(rows, audio, (new[part], old[part]), verdicts[part]))

    counted: dict[str, Counter[str]] = {"gained": Counter(), "lost": Counter(), "kept": Counter()}
    unchanged = 0
    for row in range(count):
        after = served(NEW, single[0], new[row], verdicts[row])
        before = served(OLD, single[1], old[row], verdicts[row])
        counted["gained"] += Counter(after - before)
        counted["lost"] += Counter(before - after)
        counted["kept"] += Counter(after & before)
        unchanged += after == before
    assert comparison.labels == ("rock", "jazz", "Hip Hop", "folk", "polka")
    assert list(comparison.common) == [True, True, True, False, False]
    for name, counts in counted.items():
        assert list(getattr(comparison, name)) == [counts[label.casefold()] for label in comparison.labels]
    assert (comparison.tracks, comparison.unchanged) == (count, unchanged)


def page(scores: list[list[float]], others: list[list[float]], *verdicts: dict[str, Verdict]) -> Page[int]:
    count = len(scores)
    said = list(verdicts) or [{}] * count
    both = (np.array(scores, np.float32), np.array(others, np.float32))
    return Page(range(count), [bytes([row]) for row in range(count)], both, said)


def test_a_label_that_somebody_decided_on_neither_changes_nor_ranks():
    comparison: Comparison[int] = Comparison(labelling(("a", "b"), False), labelling(("a", "b"), False))
    comparison.add(page([[0.9, 0.6]], [[0.0, 0.4]], {"a": NO}))
    assert (list(comparison.gained), list(comparison.lost)) == ([0, 1], [0, 0])
    (change,) = comparison.changes
    assert (change.label, change.given) == ("b", (True, False))
    assert change.scores == pytest.approx((0.6, 0.4))


def test_the_largest_changes_of_all_pages_are_kept_once_per_audio():
    random = np.random.default_rng(1)
    scores = random.random((300, 2)).astype(np.float32)
    comparison: Comparison[int] = Comparison(labelling(("a", "b"), False), labelling(("a", "b"), False))
    audio = [bytes([number % 100]) for number in range(300)]  # three copies of each
    scores = scores[np.arange(300) % 100]
    for start in range(0, 300, 60):
        part = slice(start, start + 60)
        zero = np.zeros((60, 2), np.float32)
        comparison.add(Page(range(start, start + 60), audio[part], (scores[part], zero), [{}] * 60))
    largest = sorted(scores[:100].max(axis=1), reverse=True)[:MOST_CHANGES]
    assert [change.size for change in comparison.changes] == pytest.approx(largest)
    assert len({change.audio for change in comparison.changes}) == MOST_CHANGES


def test_the_models_own_decisions_are_evaluated_on_each_audio_once():
    comparison: Comparison[int] = Comparison(labelling(("a", "b"), False), labelling(("b", "a"), False))
    found = page(
        [[0.9, 0.9], [0.1, 0.9]], [[0.1, 0.9], [0.1, 0.1]], {"a": YES, "b": UNSURE}, {"a": NO, "b": NO}
    )
    comparison.add(replace(found, sampled={b"\1"}))
    comparison.add(found)  # copies
    assert (comparison.tracks, comparison.evaluated.tracks, comparison.at_random.tracks) == (4, 2, 1)
    assert (list(comparison.at_random.negatives), int(comparison.at_random.positives.sum())) == ([1, 1], 0)
    assert comparison.at_random.false_alarms.tolist() == [[0, 1], [0, 0]]
    assert (list(comparison.evaluated.positives), list(comparison.evaluated.negatives)) == ([1, 0], [1, 1])
    assert comparison.evaluated.hits.tolist() == [[1, 0], [1, 0]]
    assert comparison.evaluated.false_alarms.tolist() == [[0, 1], [0, 0]]


def test_a_model_is_evaluated_by_scores_of_models_that_were_not_trained_on_the_audio():
    """The new model was trained on the first and the third track, the old one from none."""
    comparison: Comparison[int] = Comparison(labelling(("a", "b"), False), labelling(("b", "a"), False))
    new, old = [[0.9, 0.1]] * 3, [[0.1, 0.1]] * 3
    found = page(new, old, {"a": YES}, {"a": YES}, {"a": YES})
    comparison.add(replace(found, unseen=({b"\0": [0.2, 0.8], b"\2": None}, {})))
    assert (comparison.evaluated.tracks, comparison.not_evaluated) == (2, 1)
    assert comparison.out_of_fold.tolist() == [1, 0]
    assert list(comparison.evaluated.positives) == [2, 0]
    assert comparison.evaluated.hits.tolist() == [[1, 0], [0, 0]]
    assert list(comparison.kept) == [3, 0]  # served is what the model says itself
    assert np.asarray(found.scores[0]).tolist() == np.asarray(new, np.float32).tolist()


@pytest.mark.parametrize(("single", "refused"), [((True, True), 1), ((True, False), 0)])
def test_a_yes_refuses_other_labels_where_both_models_have_exclusive_ones(single, refused):
    comparison: Comparison[int] = Comparison(
        labelling(("a", "b"), single[0]), labelling(("a", "b"), single[1])
    )
    comparison.add(page([[0.2, 0.8]], [[0.8, 0.2]], {"a": YES}))
    assert list(comparison.evaluated.negatives) == [0, refused]
    assert comparison.evaluated.false_alarms[0].tolist() == [0, refused]


def test_models_without_a_common_label_lose_all_and_gain_all():
    comparison: Comparison[int] = Comparison(labelling(("a",), False), labelling(("b",), False))
    comparison.add(page([[0.9], [0.1]], [[0.9], [0.9]]))
    assert (list(comparison.gained), list(comparison.lost)) == ([1, 0], [0, 2])
    assert not comparison.common.any()
    assert comparison.changes == []


def test_no_tracks_are_no_error():
    comparison: Comparison[int] = Comparison(labelling(("a",), False), labelling(("a",), True))
    empty = np.zeros((0, 1), np.float32)
    comparison.add(Page([], [], (empty, empty), []))
    assert (comparison.tracks, comparison.evaluated.tracks, comparison.changes) == (0, 0, [])


@pytest.mark.parametrize("single", [False, True])
def test_labels_that_the_model_of_a_fold_had_not_learnt_are_not_evaluated(single):
    labels = ("a", "b")
    comparison: Comparison[int] = Comparison(labelling(labels, single), labelling(labels, single))
    both = page([[0.9, 0.1]] * 3, [[0.9, 0.1]] * 3, {"a": YES}, {"b": YES, "a": NO}, {"a": YES, "b": NO})
    unseen = {bytes([0]): [None, 0.8], bytes([1]): [None, 0.8]}
    comparison.add(replace(both, unseen=(unseen, {})))
    if single:
        assert (comparison.evaluated.tracks, comparison.not_evaluated) == (2, 1)
        assert list(comparison.evaluated.positives) == [1, 1]
    else:
        assert (comparison.evaluated.tracks, comparison.not_evaluated) == (2, 1)
        assert (list(comparison.evaluated.positives), list(comparison.evaluated.negatives)) == (
            [1, 1],
            [0, 1],
        )
    assert list(comparison.evaluated.hits[0]) == [1, 1]
    assert list(comparison.out_of_fold) == [1, 0]
