"""What users are told of the results of a training."""

from types import SimpleNamespace
from typing import Any

import torch

from core.ml.training.results import few_tracks, unmeasured_notes


def test_labels_with_few_tracks_are_listed_with_their_numbers():
    targets = torch.zeros(30, 8)
    for label in range(7):
        targets[: 3 + label, label] = 1
    targets[:, 7] = 1
    prepared: Any = SimpleNamespace(tracks=SimpleNamespace(targets=targets), labels=tuple("abcdefgh"))
    (warning,) = few_tracks(prepared, {})
    assert warning.startswith(
        "These labels have fewer than 10 tracks: a (3), b (4), c (5), d (6), e (7) and 2 more labels. "
        "The standard error of a recall measured on 3 tracks is up to 0.29"
    )
    (measured,) = few_tracks(prepared, {"a": "its 3 tracks are of one artist or album"})
    assert measured.startswith("These labels have fewer than 10 tracks: b (4), c (5), d (6), e (7), f (8)")
    assert "measured on 4 tracks" in measured


def test_labels_that_cannot_be_measured_are_all_named_with_what_follows():
    found = unmeasured_notes({"a": "one reason", "b": "another"}, 3, ["b"])
    assert found[0].startswith(
        "These labels cannot be measured (a: one reason; b: another). They are part of no"
    )
    assert found[1].endswith(": 3.")
    assert found[2].endswith("which are 0.5: b.")
    assert unmeasured_notes({}, 0, []) == []
