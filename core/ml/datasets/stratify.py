"""Stratified split of groups of tracks, so that every label is distributed as evenly as the groups allow.

The greedy algorithm of the Free Music Archive's split: the rarest label first, its largest groups first, each
assigned to the part with the largest deficit of that label.
"""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def allocate(counts: Ints, sizes: Ints, shares: Sequence[float], order: Sequence[int], seed: int) -> Ints:
    """Part of each group (G,): `counts` (G, L) tracks per label, `sizes` (G,) tracks, `shares` (P,) of all.

    `order` (P,): priority of the parts for labels with fewer groups than parts.
    """
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    division = _Division(counts, sizes, np.asarray(shares, dtype=np.float64), list(order))
    for label in np.argsort(counts.sum(axis=0), kind="stable"):
        waiting = shuffled[(division.parts[shuffled] < 0) & (counts[shuffled, label] > 0)]
        waiting = waiting[np.argsort(-counts[waiting, label], kind="stable")]
        for place, group in enumerate(waiting):
            division.put(group, division.part_for(label, group, left=len(waiting) - place))
    unlabelled = shuffled[division.parts[shuffled] < 0]
    for group in unlabelled[np.argsort(-sizes[unlabelled], kind="stable")]:
        division.put(group, division.emptiest_part(group))
    return division.parts


def assign_folds(targets: npt.ArrayLike, groups: Sequence[Hashable], folds: int, seed: int) -> list[int]:
    """The fold of each track, given its labels (N, L) as 0 or 1 and its group (N,).

    There are at most as many folds as groups.
    """
    numbers: dict[Hashable, int] = {}
    of_track = [numbers.setdefault(group, len(numbers)) for group in groups]
    counts: Ints = np.zeros((len(numbers), np.shape(targets)[1]), np.int64)
    np.add.at(counts, of_track, np.asarray(targets, np.int64))
    count = min(folds, len(numbers))
    parts = allocate(counts, np.bincount(of_track), [1 / count] * count, range(count), seed)
    return [int(parts[group]) for group in of_track]


class _Division:
    """The assignment so far."""

    def __init__(self, counts: Ints, sizes: Ints, shares: npt.NDArray[np.float64], order: list[int]) -> None:
        self._counts, self._sizes, self._shares, self._order = counts, sizes, shares, order
        self._labels = np.zeros((len(shares), counts.shape[1]), np.int64)
        self._tracks = np.zeros(len(shares), np.int64)
        self._totals = counts.sum(axis=0)
        self.parts: Ints = np.full(len(sizes), -1, np.int64)

    def part_for(self, label: int, group: int, left: int) -> int:
        """The part that would be least full, by the label, the group's other labels and its tracks.

        The last `left` groups are assigned to parts without the label.
        """
        empty = [part for part in self._order if not self._labels[part, label]]
        if left <= len(empty):
            return empty[0]
        own = np.flatnonzero(self._counts[group])
        fills = (self._labels[:, own] + self._counts[group, own]) / np.outer(self._shares, self._totals[own])
        fill = fills[:, own == label].ravel() + fills.mean(axis=1) + self._track_fill(group)
        return min(self._order, key=lambda part: float(fill[part]))

    def emptiest_part(self, group: int) -> int:
        fill = self._track_fill(group)
        return min(self._order, key=lambda part: float(fill[part]))

    def _track_fill(self, group: int) -> npt.NDArray[np.float64]:
        """Tracks of each part including the group, relative to its target (P,)."""
        fill: npt.NDArray[np.float64] = (self._tracks + self._sizes[group]) / (
            self._shares * self._sizes.sum()
        )
        return fill

    def put(self, group: int, part: int) -> None:
        self.parts[group] = part
        self._labels[part] += self._counts[group]
        self._tracks[part] += self._sizes[group]
