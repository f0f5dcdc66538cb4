"""Labels that exclude each other: the sigmoids of a model's logits are a softmax.

So every model gives its scores in the same way, whether a track has one label or several.
"""

from torch import Tensor

EPSILON = 1e-6  # minimum of 1 - p


def softmax_logits(logits: Tensor) -> Tensor:
    """Logits `log(p / (1 - p))` of the softmax p over the last dimension."""
    log_p = logits.float().log_softmax(-1).clamp(max=-EPSILON)
    return log_p - (-log_p.expm1()).log()
