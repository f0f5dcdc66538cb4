"""An ensemble of stored models, which contains their weights.

Shapes: B batch, F mel bands, N frames, L labels, D embedding size.
"""

from typing import cast

import torch
from torch import Tensor, nn

EPSILON = 1e-6  # minimum distance of a probability from 0 and 1


class Ensemble(nn.Module):
    """Log-mel patches (B, 1, F, N) -> logits (B, L) of the mean probability, and embedding (B, D).

    The embedding is the concatenation of the members' embeddings.
    """

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        logits, embeddings = zip(*(member(patches) for member in self.members), strict=True)
        probability = torch.stack(cast(tuple[Tensor, ...], logits)).sigmoid().mean(0)
        return torch.logit(probability.clamp(EPSILON, 1 - EPSILON)), torch.cat(embeddings, dim=1)
