"""Other thresholds for a model, and what they are worth on tracks that they were chosen without.

Shapes: N tracks, L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from core.ml.evaluation.arrays import Bools, Floats
from core.ml.evaluation.randomization import chance_of_gain
from core.ml.evaluation.thresholds import choose_thresholds, cross_fitted, thresholds_for_precision

Folds = npt.NDArray[np.int64]  # (N,)
Verdict = Literal["better", "undecided", "not_better", "unchanged"]
STEPS = 6
MOST_CHANCE = 0.05  # of a gain that counts as shown
NOT_LEARNT = "no validation track that has it was scored by a model that had learnt it"


@dataclass(frozen=True)
class Aim:
    """What thresholds are chosen for: the most recall at a precision or, without one, the highest F-beta."""

    beta: float = 1.0
    min_precision: float | None = None

    def describe(self, labels: int) -> str:
        """What `TunedThresholds.value` is, measured over this number of labels."""
        if self.min_precision is None:
            return f"mean F{self.beta:g} of {labels} labels"
        return f"mean recall of {labels} labels, 0 for those with a precision below {self.min_precision:g}"


@dataclass(frozen=True)
class Counts:
    """Decisions per label (..., L) on the tracks that count for it."""

    hits: npt.NDArray[np.int64]
    given: npt.NDArray[np.int64]
    positives: npt.NDArray[np.int64]

    @property
    def precision(self) -> Floats:
        """NaN for a label that is never given."""
        return _shares(self.hits, self.given)

    @property
    def recall(self) -> Floats:
        """NaN for a label that no track has."""
        return _shares(self.hits, self.positives)


def _shares(parts: npt.NDArray[np.int64], wholes: npt.NDArray[np.int64]) -> Floats:
    return np.asarray(np.divide(parts, wholes, out=np.full(parts.shape, np.nan), where=wholes > 0))


@dataclass(frozen=True)
class TunedThresholds:
    """Thresholds (L,) with their decisions and those of the former ones, on the same tracks.

    Labels that keep their former threshold have the former decisions. The others have decisions by thresholds
    that were chosen without the track, if there are several folds; the former thresholds may have been chosen
    on these very tracks, which flatters them.
    """

    thresholds: Floats
    counts: Counts
    before: Counts
    kept: tuple[str | None, ...]  # why a label keeps its threshold; None if it gets another one
    measured: Bools  # (L,): whether a model that had learnt the label has scored tracks that have it
    unreached: Bools  # (L,): labels without the precision that was asked for
    value_before: float  # of the aim, a mean over the measured labels; NaN without any
    value: float
    chance: float | None  # of a gain as high if both thresholds were worth the same; None without a gain

    def verdict(self, before: Sequence[float]) -> Verdict:
        """Whether the aim is shown to be reached better than by the thresholds `before` (L,).

        Undecided if it is reached better, but by no more than chance may do.
        """
        if np.allclose(self.thresholds, before, rtol=0, atol=1e-6):
            return "unchanged"
        if self.chance is None:
            return "not_better"
        return "better" if self.chance < MOST_CHANCE else "undecided"


def tune(
    aim: Aim,
    targets: Bools,
    scores: Floats,
    known: Bools,
    groups: Sequence[int],
    folds: Sequence[int],
    former: Sequence[float],
) -> TunedThresholds:
    """Choose thresholds on scores (N, L), of which only `known` ones count, in place of `former` ones (L,).

    `groups` (N,): tracks of a group, as of an artist, are not independent; each is in one of the `folds`.

    A label that cannot be measured, or whose precision on tracks of other `folds` (N,) is lower than asked
    for, keeps its former threshold. So does one whose former threshold has that precision and no less recall.
    With a single fold nothing is known of other tracks, so that no label is taken to reach a precision.
    """
    limits, numbers = np.asarray(former, float), np.asarray(folds)
    selected = _select(aim, targets, scores, known, numbers, limits)
    before, counts, measured = selected.before, selected.counts, selected.measured
    value_before, value = float(_value(aim, before, measured)), float(_value(aim, counts, measured))
    chance = None
    if value > value_before:
        chance = _chance(aim, targets, scores, known, groups, numbers, limits)
    return TunedThresholds(
        thresholds=selected.thresholds,
        counts=counts,
        before=before,
        kept=selected.kept,
        measured=measured,
        unreached=selected.unreached,
        value_before=value_before,
        value=value,
        chance=chance,
    )


@dataclass(frozen=True)
class _Selected:
    """See `TunedThresholds`."""

    thresholds: Floats
    counts: Counts
    before: Counts
    kept: tuple[str | None, ...]
    measured: Bools
    unreached: Bools


def _select(
    aim: Aim, targets: Bools, scores: Floats, known: Bools, folds: Folds, limits: Floats
) -> _Selected:
    """Choose thresholds, and which labels get them in place of `limits` (L,)."""
    chosen = _choose(aim, targets, scores, known, folds)

    def choose(rows: npt.NDArray[np.intp]) -> Floats:
        return _choose(aim, targets[rows], scores[rows], known[rows], folds[rows])

    new = _count(targets, cross_fitted(targets, scores, folds, choose), known)
    before = _count(targets, scores >= limits, known)
    measured = before.positives > 0
    is_single = len(np.unique(folds)) == 1
    fitted = _count(targets, scores >= chosen, known)
    missed = [
        NOT_LEARNT if not measured[place] else _why_missed(aim, fitted, new, place, is_single=is_single)
        for place in range(len(limits))
    ]
    kept = tuple(reason or _why_no_gain(aim, before, new, place) for place, reason in enumerate(missed))
    keeps = np.array([reason is not None for reason in kept])
    return _Selected(
        thresholds=np.where(keeps, limits, chosen),
        counts=Counts(
            np.where(keeps, before.hits, new.hits), np.where(keeps, before.given, new.given), before.positives
        ),
        before=before,
        kept=kept,
        measured=measured,
        unreached=np.array([reason is not None and aim.min_precision is not None for reason in missed]),
    )


def _choose(aim: Aim, targets: Bools, scores: Floats, known: Bools, folds: Folds) -> Floats:
    if aim.min_precision is None:
        return choose_thresholds(targets, scores, known, beta=aim.beta)
    return _for_precision(aim.min_precision, targets, scores, known, folds)


def _for_precision(least: float, targets: Bools, scores: Floats, known: Bools, folds: Folds) -> Floats:
    """Thresholds (L,) that reach a precision on tracks of other folds, as far as these can tell.

    The lowest threshold that reaches it on the tracks it is chosen on does so barely, and on others half of
    the time. So of `STEPS` higher precisions the least is asked for with which it is reached on other folds
    by a standard error or, if there is none, that with which it is missed least.
    """
    asked = np.linspace(least, 1, STEPS)
    hits, given = np.zeros((2, STEPS, targets.shape[1]), np.int64)
    for fold in np.unique(folds):
        inside = folds == fold
        others = inside if inside.all() else ~inside
        limits = thresholds_for_precision(targets[others], scores[others], asked, known[others])
        for step in range(STEPS):
            counts = _count(targets[inside], scores[inside] >= limits[step], known[inside])
            hits[step] += counts.hits
            given[step] += counts.given
    margins = _margin(Counts(hits, given, (targets & known).sum(axis=0)), least)  # (STEPS, L)
    first = np.where((margins >= 0).any(axis=0), (margins >= 0).argmax(axis=0), margins.argmax(axis=0))
    thresholds = thresholds_for_precision(targets, scores, asked, known)
    return np.asarray(thresholds[first, np.arange(len(first))])


def _margin(counts: Counts, least: float) -> Floats:
    """By how much more than a standard error a precision is reached (..., L); -1 for labels never given."""
    error = np.sqrt(counts.precision * (1 - counts.precision) / np.maximum(counts.given, 1))
    return np.nan_to_num(counts.precision - error - least, nan=-1.0)


def _count(targets: Bools, decisions: Bools, known: Bools) -> Counts:
    truth, given = targets & known, decisions & known
    return Counts((truth & given).sum(axis=0), given.sum(axis=0), truth.sum(axis=0))


def _why_missed(aim: Aim, fitted: Counts, new: Counts, place: int, *, is_single: bool) -> str | None:
    """Why a label is not taken to reach the precision with the chosen threshold; None if it is.

    `fitted`: decisions by the chosen threshold on the tracks it was chosen on, `new` on others.
    """
    least = aim.min_precision
    if least is None:
        return None
    if is_single:
        return "all validation tracks are of one artist or album, so its precision on others is not known"
    if fitted.precision[place] < least:
        return f"no threshold has a precision of {least:g}"
    if not new.given[place]:
        return f"thresholds for a precision of {least:g} give it to no other track"
    if new.precision[place] < least:
        shown = f"{new.hits[place]} of {new.given[place]}"
        return f"of the tracks that a threshold chosen without them gives it to, {shown} have it"
    return None


def _why_no_gain(aim: Aim, before: Counts, new: Counts, place: int) -> str | None:
    """Why a label keeps a threshold that has the precision already; None if another one has more recall."""
    least = aim.min_precision
    if least is None or not before.given[place] or before.precision[place] < least:
        return None
    if new.recall[place] > before.recall[place]:
        return None
    return f"it has a precision of {before.precision[place]:.3f} already, and no other one more recall"


def _value(aim: Aim, counts: Counts, measured: Bools) -> Floats:
    """The mean F-beta, or the mean recall at the precision, which is 0 for labels that do not reach it.

    One for each row of the counts (..., L); NaN if no label is measured.
    """
    if aim.min_precision is not None:
        reached = np.nan_to_num(counts.precision) >= aim.min_precision
        of_labels = np.where(reached, counts.recall, 0.0)
    else:
        weight = aim.beta**2
        whole = counts.given + weight * counts.positives
        of_labels = np.divide((1 + weight) * counts.hits, whole, out=np.zeros(whole.shape), where=whole > 0)
    if not measured.any():
        return np.full(of_labels.shape[:-1], np.nan)
    return np.asarray(of_labels[..., measured].mean(axis=-1))


def _by_group(targets: Bools, changes: npt.NDArray[np.int64], groups: Sequence[int]) -> tuple[Floats, Floats]:
    """How many more hits, and labels given, each group has by changed decisions (N, L): (G, L) of each."""
    numbers, places = np.unique(np.asarray(groups), return_inverse=True)
    hits, given = np.zeros((2, len(numbers), changes.shape[1]))
    np.add.at(hits, places, changes * targets)
    np.add.at(given, places, changes)
    return hits, given


def _chance(
    aim: Aim,
    targets: Bools,
    scores: Floats,
    known: Bools,
    groups: Sequence[int],
    folds: Folds,
    limits: Floats,
) -> float:
    """The chance of as high a gain over `limits` (L,), were both thresholds alike.

    The gain is that of decisions in whose thresholds the track has no say, nor in which labels get them:
    labels that were picked by the decisions under test would show a gain of whatever is worth the same.
    """

    def choose(rows: npt.NDArray[np.intp]) -> Floats:
        return _select(aim, targets[rows], scores[rows], known[rows], folds[rows], limits).thresholds

    decided, decided_before = cross_fitted(targets, scores, folds, choose), scores >= limits
    new, old = _count(targets, decided, known), _count(targets, decided_before, known)
    measured = old.positives > 0
    changes = np.where(known, decided.astype(np.int64) - decided_before, 0)
    differences = _by_group(targets, changes, groups)

    def gain(exchanged: Floats) -> Floats:
        hits, given = (np.rint(exchanged @ each).astype(np.int64) for each in differences)
        positives = np.broadcast_to(new.positives, hits.shape)
        ours = Counts(new.hits - hits, new.given - given, positives)
        theirs = Counts(old.hits + hits, old.given + given, positives)
        return _value(aim, ours, measured) - _value(aim, theirs, measured)

    return chance_of_gain(gain, len(differences[0]))
