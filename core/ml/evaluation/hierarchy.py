"""Consistency of scores in a hierarchy of labels: a track with a label also has the label's ancestors."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from core.ml.evaluation.arrays import Floats


def enforce_hierarchy(scores: npt.ArrayLike, labels: Sequence[str], parents: Mapping[str, str]) -> Floats:
    """Scores (..., L) raised so that no label scores lower than any of its descendants."""
    raised = np.array(scores, np.float64)
    columns = {label: column for column, label in enumerate(labels)}
    for label in labels:
        for ancestor in ancestors(label, parents):
            if ancestor in columns:
                column = raised[..., columns[ancestor]]
                np.maximum(column, np.asarray(scores, np.float64)[..., columns[label]], out=column)
    return raised


def ancestors(label: str, parents: Mapping[str, str]) -> list[str]:
    """The ancestors of a label, from its parent to the root."""
    found: list[str] = []
    while (parent := parents.get(label)) is not None and parent not in found:
        found.append(parent)
        label = parent
    return found


def roots(labels: Sequence[str], parents: Mapping[str, str]) -> tuple[str, ...]:
    """Labels without an ancestor among `labels`."""
    known = set(labels)
    return tuple(label for label in labels if known.isdisjoint(ancestors(label, parents)))


def leaves(labels: Sequence[str], parents: Mapping[str, str]) -> tuple[str, ...]:
    """Labels without a descendant among `labels`."""
    above = {ancestor for label in labels for ancestor in ancestors(label, parents)}
    return tuple(label for label in labels if label not in above)
