"""Scores of whole tracks, averaged over patches as in serving. Shapes: M tracks, L labels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from core.ml.training.inputs import Inputs
from core.ml.training.processes import gather, rank, world_size

Scores = npt.NDArray[np.float64]

BATCH_SIZE = {"cpu": 16, "cuda": 128}  # patches


@dataclass(frozen=True)
class HeldOutScores:
    """Scores of tracks by models that were not trained on them."""

    rows: list[int]
    scores: Scores  # (M, L)
    folds: list[int]  # from 1, that whose model scored each track; 0 for tracks that no fold was trained on

    def learnt(self, targets: Scores) -> npt.NDArray[np.bool_]:
        """Whether the model that scored a track had learnt the label (M, L), given targets (M, L).

        The model of a fold was trained on the other folds from 1; if all of a label's tracks are in one fold,
        their scores say nothing about the label.
        """
        numbers = np.asarray(self.folds)
        known = np.ones(self.scores.shape, bool)
        for fold in np.unique(numbers):
            inside = numbers == fold
            if not inside.all():
                known[inside] = targets[~inside & (numbers > 0)].any(axis=0)
        return known


def joined(parts: Sequence[HeldOutScores]) -> HeldOutScores:
    """The scores of all parts, which share no fold."""
    return HeldOutScores(
        rows=[row for part in parts for row in part.rows],
        scores=np.concatenate([part.scores for part in parts]),
        folds=[fold for part in parts for fold in part.folds],
    )


@torch.inference_mode()
def predict(
    model: nn.Module,
    inputs: Inputs,
    tracks: Sequence[int],
    limit: int | None,
    device: torch.device,
    on_batch: Callable[[int], None] = lambda _: None,
) -> Scores:
    """Mean probability (M, L) over the patches of each track; all processes share the work.

    `on_batch` is called before each batch with the number of tracks this process has finished; an exception
    from it ends the prediction.
    """
    was_training = model.training
    model.eval()
    own = list(tracks[rank() :: world_size()])
    scores = list(_scores(model, inputs, own, limit, device, on_batch))
    model.train(was_training)
    parts = gather(scores)
    return np.stack([parts[place % len(parts)][place // len(parts)] for place in range(len(tracks))])


def _scores(
    model: nn.Module,
    inputs: Inputs,
    tracks: Sequence[int],
    limit: int | None,
    device: torch.device,
    on_batch: Callable[[int], None],
) -> Iterator[Scores]:
    """The scores (L,) of each track in turn; a batch may hold patches of several tracks."""
    size, scored = BATCH_SIZE[device.type], 0
    waiting: list[Tensor] = []
    for number, track in enumerate(tracks):
        waiting.append(inputs.whole(track, limit))
        if sum(map(len, waiting)) >= size or number == len(tracks) - 1:
            batches = torch.cat(waiting).split(size)  # type: ignore[no-untyped-call]
            found = []
            for batch in batches:
                on_batch(scored)
                found.append(model(batch.to(device))[0].float().sigmoid().double())
            for part in torch.cat(found).cpu().split([len(patches) for patches in waiting]):  # type: ignore[no-untyped-call]
                yield part.mean(0).numpy()
            scored += len(waiting)
            waiting = []
