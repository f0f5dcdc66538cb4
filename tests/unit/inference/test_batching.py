"""Patches of several tracks in one batch, and of each track apart."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.inference.batching import Batcher, Track
from core.inference.timings import StageTimings

SIZE = 4


class TellsBatchSize(nn.Module):
    """Answers with the size of the batch, as real ones do in their last bits."""

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(patches), 2), torch.full((len(patches), 1), float(len(patches)))


class Each:
    """Every sample is a patch."""

    def push(self, samples: Tensor) -> list[Tensor]:
        return [torch.zeros(1, 1) for _ in samples]

    def finish(self) -> list[Tensor]:
        return []


def answers(apart: bool, pieces: list[tuple[str, int]]) -> dict[str, float]:
    """Embedding of each track, whose patches come in these pieces; a piece of 0 is its end."""
    batcher: Batcher[str] = Batcher(TellsBatchSize(), torch.device("cpu"), SIZE, StageTimings(), apart=apart)
    tracks = {name: Track(name, Each()) for name, _ in pieces}
    done = []
    for name, count in pieces:
        track = tracks[name]
        done += batcher.push(track, np.zeros(count)) if count else batcher.end(track, 1.0)
    while batcher.delays_a_track():
        done += batcher.run()
    assert len(done) == len(tracks) == len(set(done))
    return {track.key: float(track.mean.result()[1][0]) for track in done}


ORDERS = [
    [("a", 6), ("a", 0), ("b", 5), ("b", 0)],
    [("a", 1), ("b", 1), ("a", 4), ("b", 4), ("a", 1), ("b", 0), ("a", 0)],
]


def test_apart_an_answer_does_not_depend_on_what_else_is_asked():
    first, second = (answers(True, pieces) for pieces in ORDERS)
    assert first == second == {"a": pytest.approx((4 * 4 + 2 * 2) / 6), "b": pytest.approx((4 * 4 + 1) / 5)}


def test_together_batches_are_filled_from_all_tracks():
    assert answers(False, ORDERS[1])["b"] > answers(True, ORDERS[1])["b"]


def test_a_dropped_track_leaves_no_patch_behind():
    batcher: Batcher[str] = Batcher(TellsBatchSize(), torch.device("cpu"), SIZE, StageTimings(), apart=True)
    bad, good = Track("bad", Each()), Track("good", Each())
    batcher.push(bad, np.zeros(2))
    batcher.drop(bad)
    batcher.push(good, np.zeros(3))
    assert batcher.end(good, 1.0) == [good]
