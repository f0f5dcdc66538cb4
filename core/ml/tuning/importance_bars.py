"""The shares that parameters have in the variance of each objective, as bars."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from core.output.measures import FEW_TRIALS


def draw(importances: Mapping[str, Mapping[str, float]], complete: int) -> Figure:
    """`importances`: share by objective and key, the keys in the order of the first objective's shares."""
    first = next(iter(importances.values()))
    tried = {key for shares in importances.values() for key in shares}
    keys = sorted(tried, key=lambda key: (-first.get(key, 0), key))
    height = 0.8 / len(importances)
    figure = Figure(figsize=(8, 1.6 + 0.4 * len(keys)), layout="constrained")
    axes = figure.add_subplot()
    for number, (objective, shares) in enumerate(importances.items()):
        places = np.arange(len(keys)) + height * (number - (len(importances) - 1) / 2)
        bars = axes.barh(places, [shares.get(key, 0) for key in keys], height, label=objective)
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
    axes.set_yticks(range(len(keys)), keys, parse_math=False)
    axes.invert_yaxis()
    axes.set(xlabel="share of the variance (fANOVA)", xlim=(0, 1.1))
    caveat = ": few, so the shares are rough" if complete < FEW_TRIALS else ""
    axes.set_title(f"From {complete} complete trials{caveat}", fontsize=10)
    axes.legend(fontsize=8, loc="lower right")
    return figure
