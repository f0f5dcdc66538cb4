"""Labels that form a tree: whoever is punk is rock."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from core.ml.evaluation.arrays import Floats


def enforce_hierarchy(scores: npt.ArrayLike, labels: Sequence[str], parents: Mapping[str, str]) -> Floats:
    """Scores (..., L) in which no label has less than any of its descendants."""
    raised = np.array(scores, np.float64)
    columns = {label: column for column, label in enumerate(labels)}
    for label in labels:
        for ancestor in ancestors(label, parents):
            if ancestor in columns:
                column = raised[..., columns[ancestor]]
                np.maximum(column, np.asarray(scores, np.float64)[..., columns[label]], out=column)
    return raised


def ancestors(label: str, parents: Mapping[str, str]) -> list[str]:
    """From the parent up to the root."""
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
