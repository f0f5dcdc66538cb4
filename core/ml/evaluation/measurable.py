"""Which labels and tracks held-out scores can say something of. Shapes: N tracks, L labels."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from core.ml.evaluation.arrays import Bools


def learnt_labels(truth: Bools, known: Bools) -> Bools:
    """Whether tracks that have a label were scored by a model that had learnt it (L,).

    `known` (N, L): whether the model that scored a track had learnt the label. A label that no track has
    counts as learnt: that it is given to some is an error. If all tracks of a label are of one artist, every
    model was either trained on them or had not learnt the label.
    """
    return np.asarray((truth & known).any(axis=0) | ~truth.any(axis=0))


def measured_tracks(truth: Bools, learnt: Bools) -> Bools:
    """The tracks to measure on (N,): all but those whose labels were all unknown to the model; else all."""
    kept = truth[:, learnt].any(axis=1) | ~truth.any(axis=1)
    return np.asarray(kept if kept.any() else np.ones(len(truth), bool))


def why_not_measured(
    truth: Bools, learnt: Bools, labels: Sequence[str], groups: Sequence[Hashable]
) -> Mapping[str, str]:
    """The labels that cannot be measured, and why in words that follow a colon.

    `truth` (N, L) and `groups` (N,), the artist of each, are those of all held-out tracks.
    """
    of_track = np.asarray(groups)
    reasons: dict[str, str] = {}
    for column, label in enumerate(labels):
        has = truth[:, column]
        count = int(has.sum())
        tracks = f"{count} tracks" if count > 1 else "one track"
        if not learnt[column]:
            where = "one artist or album" if len(set(of_track[has].tolist())) == 1 else "one fold"
            reasons[label] = f"its {tracks} are of {where}" if count > 1 else "it has one track"
        elif count == 0:
            reasons[label] = "no test track has it"
        elif count == len(truth):
            reasons[label] = f"all {tracks} have it"
    return reasons
