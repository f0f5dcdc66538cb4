"""How the labels of two models differ on the same tracks, and what each is worth by what people said.

Added up page by page, so that a library of any size takes little memory. Labels of the two models are one if
their spellings are (`core.spelling.name_key`). Shapes: N tracks, L labels of a model, U labels of either.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from core.ml.evaluation.arrays import Bools, argmax_decisions
from core.spelling import name_key
from core.states import Verdict

MOST_CHANGES = 20
Scores = npt.NDArray[np.float32]
Verdicts = Mapping[str, Verdict]  # by label
Unseen = Mapping[bytes, Sequence[float | None] | None]
K = TypeVar("K")
V = TypeVar("V", bound=np.generic)


@dataclass(frozen=True)
class Labelling:
    """How a model labels: by a threshold (L,) per label or, where it is exclusive, by the highest score."""

    labels: Sequence[str]
    thresholds: Sequence[float]
    exclusive: bool

    def decisions(self, scores: Scores) -> Bools:
        """Whether a track with these scores (N, L), NaN where there is none, gets a label (N, L)."""
        if self.exclusive:
            return argmax_decisions(np.nan_to_num(scores, nan=-1.0))
        return np.asarray(scores >= np.asarray(self.thresholds, np.float32))


@dataclass(frozen=True)
class Page(Generic[K]):
    """Tracks with the scores of both models; `audio` is equal for tracks that hold the same.

    `unseen`: the audio that each model was trained on, with out-of-fold scores (L,); None if there are none,
    or none of a label. `sampled`: the audio that a review had picked at random.
    """

    tracks: Sequence[K]
    audio: Sequence[bytes]
    scores: tuple[Scores, Scores]  # (N, L) of each model
    verdicts: Sequence[Verdicts]  # of people
    unseen: tuple[Unseen, Unseen] = field(default_factory=lambda: ({}, {}))
    sampled: Collection[bytes] = frozenset()

    def unseen_scores(self, which: int) -> Scores:
        """The scores (N, L) of a model; out-of-fold scores of tracks that it was trained on, NaN without."""
        known = self.unseen[which]
        scores = self.scores[which].copy() if known else self.scores[which]
        for row, audio in enumerate(self.audio):
            if (found := known.get(audio)) is not None:
                scores[row] = np.array(found, np.float32)
        return scores


@dataclass(frozen=True)
class ScoreChange(Generic[K]):
    """The label of a track whose score differs most between the models."""

    track: K
    audio: bytes
    label: str
    scores: tuple[float, float]
    given: tuple[bool, bool]  # whether the track has the label in what is served

    @property
    def size(self) -> float:
        return abs(self.scores[0] - self.scores[1])


class Counts:
    """Of evaluated audio: with a label, without it (U,), given it by each model, rightly or not (2, U)."""

    def __init__(self, labels: int) -> None:
        self.tracks = 0
        self.positives, self.negatives = np.zeros((2, labels), np.int64)
        self.hits, self.false_alarms = np.zeros((2, 2, labels), np.int64)

    def add(self, known: Mapping[int, bool], decided: Sequence[Bools]) -> None:
        """Count what is right, by column, and the decisions (U,) of each model."""
        self.tracks += 1
        places = np.fromiter(known, np.intp)
        said = np.fromiter(known.values(), bool)
        self.positives[places] += said
        self.negatives[places] += ~said
        for which, given in enumerate(decided):
            self.hits[which, places] += given[places] & said
            self.false_alarms[which, places] += given[places] & ~said


class Comparison(Generic[K]):
    """Counts of what is served by a new model and by an old one, in this order.

    What people said outranks both, so a label of which somebody said yes or no never changes. A label that
    only one model has is not given by the other.
    """

    def __init__(self, new: Labelling, old: Labelling) -> None:
        self._models = (new, old)
        keys = [[name_key(label) for label in model.labels] for model in self._models]
        spelt: dict[str, str] = {}
        for label in (*new.labels, *old.labels):
            spelt.setdefault(name_key(label), label)
        self._place = {key: place for place, key in enumerate(spelt)}
        self._columns = tuple(np.array([self._place[key] for key in of_model]) for of_model in keys)
        self.labels = tuple(spelt.values())
        self.of_model = np.zeros((2, len(self.labels)), bool)  # which model has the label (2, U)
        for has, columns in zip(self.of_model, self._columns, strict=True):
            has[columns] = True
        self.common = self.of_model[0] & self.of_model[1]
        self.tracks = self.unchanged = self.agreeing = self.corrected_tracks = 0
        self.gained, self.lost, self.kept, self.equal = np.zeros((4, len(self.labels)), np.int64)
        self.evaluated, self.at_random = Counts(len(self.labels)), Counts(len(self.labels))
        self.out_of_fold = np.zeros(2, np.int64)  # evaluated by scores of models that were not trained on it
        self.not_evaluated = 0  # as a model was trained on it and there are no such scores
        self.changes: list[ScoreChange[K]] = []  # the largest first
        self._evaluated: set[bytes] = set()

    def add(self, page: Page[K]) -> None:
        served = [self._decide(which, page.scores[which]) for which in (0, 1)]
        scores = [page.unseen_scores(which) for which in (0, 1)]
        unseen = [self._decide(which, of_model) for which, of_model in enumerate(scores)]
        unknown = [self._by_label(which, np.isnan(of_model)) for which, of_model in enumerate(scores)]
        is_fixed = np.zeros_like(served[0])
        for row, verdicts in enumerate(page.verdicts):
            if verdicts:
                truth = self._truth(verdicts)
                self._correct(truth, row, served, is_fixed)
                self._evaluate(
                    page, row, truth, [each[row] for each in unseen], [each[row] for each in unknown]
                )
        new, old = served
        self.tracks += len(page.tracks)
        self.corrected_tracks += int(is_fixed.any(axis=1).sum())
        self.gained += (new & ~old).sum(axis=0)
        self.lost += (old & ~new).sum(axis=0)
        self.kept += (new & old).sum(axis=0)
        same = new == old
        self.equal += same.sum(axis=0)
        self.unchanged += int(same.all(axis=1).sum())
        self.agreeing += int(same[:, self.common].all(axis=1).sum())
        self._note_changes(page, served, is_fixed)

    def _decide(self, which: int, scores: Scores) -> Bools:
        """The decisions (N, U) of a model by itself."""
        return self._by_label(which, self._models[which].decisions(scores))

    def _by_label(self, which: int, values: npt.NDArray[V]) -> npt.NDArray[V]:
        """Values (N, L) of a model for the labels of either (N, U); 0 where the model does not have one."""
        found = np.zeros((len(values), len(self.labels)), values.dtype)
        found[:, self._columns[which]] = values
        return found

    def _truth(self, verdicts: Verdicts) -> dict[int, bool]:
        """What people decided on labels of the models, by column."""
        found = {self._place.get(name_key(label)): verdict for label, verdict in verdicts.items()}
        return {
            place: verdict == Verdict.YES
            for place, verdict in found.items()
            if place is not None and verdict != Verdict.UNSURE
        }

    def _correct(self, truth: Mapping[int, bool], row: int, served: Sequence[Bools], is_fixed: Bools) -> None:
        """Put what people said of a track over what the models decided, as every answer does.

        A model of exclusive labels gives none beside one of its own that people gave.
        """
        for which, given in enumerate(served):
            own = self.of_model[which]
            if self._models[which].exclusive and any(said and own[place] for place, said in truth.items()):
                given[row] = False
            for place, said in truth.items():
                given[row, place] = said
        is_fixed[row, list(truth)] = True

    def _evaluate(
        self,
        page: Page[K],
        row: int,
        truth: Mapping[int, bool],
        decided: Sequence[Bools],
        unknown: Sequence[Bools],
    ) -> None:
        """Count what the models decide themselves, on each piece of audio once.

        A yes refuses the other labels only if both models have exclusive ones. Not evaluated is audio that a
        model was trained on if there are no other scores: none at all, or none of the labels in question.
        """
        audio = page.audio[row]
        if not truth or audio in self._evaluated:
            return
        self._evaluated.add(audio)
        known = self._decidable(truth, unknown)
        if not known or any(audio in each and each[audio] is None for each in page.unseen):
            self.not_evaluated += 1
            return
        self.out_of_fold += [audio in each for each in page.unseen]
        self.evaluated.add(known, decided)
        if audio in page.sampled:
            self.at_random.add(known, decided)

    def _decidable(self, truth: Mapping[int, bool], unknown: Sequence[Bools]) -> dict[int, bool]:
        """What is right, by column, of the labels that both models could decide on; `unknown` (U,) of each.

        A model of exclusive labels decides on all of them at once: on none if it lacks the right one.
        """
        said = dict(truth)
        if all(model.exclusive for model in self._models) and any(truth.values()):
            said = dict.fromkeys(range(len(self.labels)), False) | said
        for model, lacks in zip(self._models, unknown, strict=True):
            if model.exclusive and any(lacks[place] for place, is_right in said.items() if is_right):
                return {}
            said = {place: is_right for place, is_right in said.items() if not lacks[place]}
        return said

    def _note_changes(self, page: Page[K], served: Sequence[Bools], is_fixed: Bools) -> None:
        """Keep the largest changes of scores of common labels that nobody has decided, one per audio."""
        shared = np.flatnonzero(self.common)
        if not len(shared) or not len(page.tracks):
            return
        scores = [self._by_label(which, page.scores[which])[:, shared] for which in (0, 1)]
        sizes = np.where(is_fixed[:, shared], -1.0, np.abs(scores[0] - scores[1]))
        largest = sizes.argmax(axis=1)
        of_row = sizes[np.arange(len(sizes)), largest]
        best = {change.audio: change for change in self.changes}
        enough = len(best) + MOST_CHANGES
        for row in np.argsort(-of_row, kind="stable"):
            if of_row[row] < 0 or len(best) == enough:
                break
            place, column = shared[largest[row]], largest[row]
            change = ScoreChange(
                track=page.tracks[row],
                audio=page.audio[row],
                label=self.labels[place],
                scores=(float(scores[0][row, column]), float(scores[1][row, column])),
                given=(bool(served[0][row, place]), bool(served[1][row, place])),
            )
            best.setdefault(change.audio, change)
        ranked = sorted(best.values(), key=lambda change: (-change.size, change.audio))
        self.changes = ranked[:MOST_CHANGES]
