"""Several stored models that answer as one; their weights are part of it.

Shapes: B batch, F mel bands, N frames, L labels, D embedding size.
"""

from typing import cast

import torch
from torch import Tensor, nn

LOWEST = 1e-6


class Ensemble(nn.Module):
    """Log-mel patches (B, 1, F, N) -> logits (B, L) of the members' mean probability and embedding (B, D).

    The embedding is those of the members side by side.
    """

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        logits, embeddings = zip(*(member(patches) for member in self.members), strict=True)
        probability = torch.stack(cast(tuple[Tensor, ...], logits)).sigmoid().mean(0)
        return torch.logit(probability.clamp(LOWEST, 1 - LOWEST)), torch.cat(embeddings, dim=1)
