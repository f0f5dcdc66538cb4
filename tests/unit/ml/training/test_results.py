"""What users are told of the results of a training."""

from types import SimpleNamespace
from typing import Any

import torch

from core.ml.training.results import _uncertain


def test_labels_with_few_tracks_are_listed_with_their_numbers():
    targets = torch.zeros(30, 8)
    for label in range(7):
        targets[: 3 + label, label] = 1
    targets[:, 7] = 1
    prepared: Any = SimpleNamespace(
        tracks=SimpleNamespace(targets=targets), groups=range(30), labels=tuple("abcdefgh"), splits=(None,)
    )
    (warning,) = _uncertain(prepared)
    assert warning.startswith(
        "These labels have fewer than 10 tracks: a (3), b (4), c (5), d (6), e (7) and 2 more labels. "
        "The standard error of a recall measured on 3 tracks is up to 0.29"
    )
