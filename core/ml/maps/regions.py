"""Names for the regions of a map: the labels that stand out there. Shapes: N tracks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.ml.maps.layout import SIDE, Places

GRIDS = (3, 6, 12, 24)  # cells along a side, from the whole map to near
FEWEST = 3  # tracks of a region
LEAST_SHARE = 0.2  # of the labelled tracks in a cell that have the label it is named after
NO_LABEL = -1


@dataclass(frozen=True)
class Region:
    """Neighbouring cells of one grid in which the same label stands out."""

    label: str
    level: int  # place of the grid in `GRIDS`
    x: int  # the mean of its tracks
    y: int
    tracks: int  # that have the label


def name_regions(places: Places, labels: npt.NDArray[np.int64], names: Sequence[str]) -> list[Region]:
    """Regions of tracks at places (N, 2) whose first labels (N,) are places in `names`, or `NO_LABEL`.

    The largest of each level first.
    """
    known = labels != NO_LABEL
    if not known.any():
        return []
    return [
        region
        for level, side in enumerate(GRIDS)
        for region in _regions(places[known], labels[known], names, level, side)
    ]


def _regions(
    places: Places, labels: npt.NDArray[np.int64], names: Sequence[str], level: int, side: int
) -> list[Region]:
    from scipy import ndimage

    column, row = (places.astype(np.int64) * side // (SIDE + 1)).T
    cell = row * side + column
    counts = np.bincount(cell * len(names) + labels, minlength=side * side * len(names))
    best = _outstanding(counts.reshape(side * side, len(names))).reshape(side, side)
    found: list[Region] = []
    for label in np.unique(best[best != NO_LABEL]):
        parts, count = ndimage.label(best == label, structure=np.ones((3, 3)))
        part = np.where(labels == label, parts[row, column], 0)
        tracks = np.bincount(part, minlength=count + 1)
        xs, ys = (np.bincount(part, weights=places[:, axis], minlength=count + 1) for axis in (0, 1))
        found += [
            Region(names[label], level, int(xs[one] / size), int(ys[one] / size), size)
            for one, size in enumerate(tracks.tolist())
            if one and size >= FEWEST
        ]
    return sorted(found, key=lambda region: (-region.tracks, region.label, region.x))


def _outstanding(counts: Any) -> Any:
    """The label of each cell, from the tracks (cells, labels) that have it; `NO_LABEL` if none stands out.

    It is the one of which there are most tracks more than if labels were spread evenly, in the sense of
    information: its count times the logarithm of how much more frequent it is here than on the whole map.
    """
    in_cell = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(in_cell, 1)
    everywhere = counts.sum(axis=0) / max(counts.sum(), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(counts > 0, counts * np.log(share / everywhere), -np.inf)
    gain = np.where((counts >= FEWEST) & (share >= LEAST_SHARE), gain, -np.inf)
    best = gain.argmax(axis=1)
    # A map of one label has no region where it is more frequent than elsewhere.
    return np.where(np.isfinite(gain[np.arange(len(gain)), best]), best, NO_LABEL)
