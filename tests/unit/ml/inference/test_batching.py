"""Batches of patches across tracks, and deterministic batches of one track each."""

from itertools import count

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.ml.inference.batching import Batcher, PendingTrack
from core.ml.inference.timings import StageTimings

SIZE = 4


class TellsBatchSize(nn.Module):
    """Answers with the size of the batch, as real ones do in their last bits."""

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(patches), 2), torch.full((len(patches), 1), float(len(patches)))


class Each:
    """Every sample is a patch, unlike all others."""

    def __init__(self) -> None:
        self._numbers = count()

    def push(self, samples: Tensor) -> list[Tensor]:
        return [torch.full((1, 1), float(next(self._numbers))) for _ in samples]

    def finish(self) -> list[Tensor]:
        return []


def answers(deterministic_batches: bool, pieces: list[tuple[str, int]]) -> dict[str, float]:
    """Embedding of each track, whose patches come in these pieces; a piece of 0 is its end."""
    batcher: Batcher[str] = Batcher(
        TellsBatchSize(),
        torch.device("cpu"),
        SIZE,
        StageTimings(),
        deterministic_batches=deterministic_batches,
    )
    tracks = {name: PendingTrack(name, Each()) for name, _ in pieces}
    done = []
    for name, samples in pieces:
        track = tracks[name]
        done += batcher.push(track, np.zeros(samples)) if samples else batcher.end(track, 1.0)
    while batcher.delays_a_track():
        done += batcher.run()
    assert len(done) == len(tracks) == len(set(done))
    return {track.key: float(track.mean.result()[1][0]) for track in done}


ORDERS = [
    [("a", 6), ("a", 0), ("b", 5), ("b", 0)],
    [("a", 1), ("b", 1), ("a", 4), ("b", 4), ("a", 1), ("b", 0), ("a", 0)],
]


def test_deterministic_batches_do_not_depend_on_the_other_tracks():
    first, second = (answers(True, pieces) for pieces in ORDERS)
    assert first == second == {"a": pytest.approx((4 * 4 + 2 * 2) / 6), "b": pytest.approx((4 * 4 + 1) / 5)}


def test_together_batches_are_filled_from_all_tracks():
    assert answers(False, ORDERS[1])["b"] > answers(True, ORDERS[1])["b"]


class Sees(nn.Module):
    """Answers with the patch itself, and knows how many it was shown."""

    shown = 0

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        self.shown += len(patches)
        return torch.zeros(len(patches), 2), patches.reshape(len(patches), 1)


class AsTheyAre:
    """Every sample is a patch of its value."""

    def push(self, samples: Tensor) -> list[Tensor]:
        return list(samples.float().reshape(-1, 1, 1))

    def finish(self) -> list[Tensor]:
        return []


@pytest.mark.parametrize("deterministic_batches", [False, True])
@pytest.mark.parametrize("pieces", [[[7] * 9 + [1] + [7] * 2], [[7], [7] * 4, [7] * 4, [1, 7], [7]]])
def test_successive_duplicates_are_predicted_once_and_weighted_by_their_count(deterministic_batches, pieces):
    model = Sees()
    batcher: Batcher[str] = Batcher(
        model, torch.device("cpu"), SIZE, StageTimings(), deterministic_batches=deterministic_batches
    )
    track = PendingTrack("tone", AsTheyAre())
    done = [each for piece in pieces for each in batcher.push(track, np.array(piece, np.float32))]
    done += batcher.end(track, 1.0)
    while batcher.delays_a_track():
        done += batcher.run()
    assert done == [track]
    assert model.shown == 3
    assert track.mean.result()[1] == pytest.approx((7 * 11 + 1) / 12)


def test_a_dropped_track_leaves_no_patch_behind():
    batcher: Batcher[str] = Batcher(
        TellsBatchSize(), torch.device("cpu"), SIZE, StageTimings(), deterministic_batches=True
    )
    bad, good = PendingTrack("bad", Each()), PendingTrack("good", Each())
    batcher.push(bad, np.zeros(2))
    batcher.drop(bad)
    batcher.push(good, np.zeros(3))
    assert batcher.end(good, 1.0) == [good]
