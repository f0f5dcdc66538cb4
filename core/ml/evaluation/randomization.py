"""Approximate randomization: how likely it is that a gain is chance (Noreen, 1989).

Of two ways to decide on the same tracks, if they are worth the same, each group of dependent tracks might as
well have been decided the other way round. So the gain is compared with those after random exchanges of the
decisions of whole groups. It holds for any measure, such as F1 (Yeh, 2000).
"""

from collections.abc import Callable

import numpy as np

from core.ml.evaluation.arrays import Floats

EXCHANGES = 2000
_BATCH = 100
_ROUNDING = 1e-12  # of gains that are equal


def chance_of_gain(gain: Callable[[Floats], Floats], groups: int, seed: int = 0) -> float:
    """The share of exchanges with a gain as high as without any, the measured one among them.

    `gain(exchanged)`: the gains (R,) if the decisions of groups are exchanged where 1 stands in (R, G), as
    against 0. Where n groups differ, no share is below 2 to the power of -n but for sampling.
    """
    random = np.random.default_rng(seed)
    measured = gain(np.zeros((1, groups)))[0] - _ROUNDING
    as_high = 1
    for _ in range(0, EXCHANGES, _BATCH):
        exchanged = random.integers(0, 2, (_BATCH, groups)).astype(np.float64)
        as_high += int((gain(exchanged) >= measured).sum())
    return as_high / (EXCHANGES + 1)
