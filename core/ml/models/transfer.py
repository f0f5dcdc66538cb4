"""A small head on the embedding of a stored model: few tracks are enough to learn labels of one's own.

The backbone's weights are part of the model: its folder can be used without the one it was made from, and
a backbone that is trained anew cannot change it. With musicnn that costs 3 MB.
"""

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from core.config.models import TransferConfig

LEAST_SCALE = 0.1  # of the mean deviation


class Head(nn.Module):
    """Embedding (B, D) -> logits (B, L) and the embedding itself."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: TransferConfig, num_labels: int) -> None:
        super().__init__()
        width = config.embedding_size
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        if config.head == "linear":
            linear = nn.Linear(width, num_labels)
            # From random weights, a few tracks would not be enough to unlearn what these say.
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
            self.layers = nn.Sequential(nn.Dropout(config.dropout), linear)
        else:
            self.layers = nn.Sequential(
                nn.Linear(width, config.hidden_size),
                nn.ReLU(),
                nn.Dropout(config.dropout),
                nn.Linear(config.hidden_size, num_labels),
            )

    def standardise(self, embeddings: Tensor) -> None:
        """Let inputs distributed like these (M, D) reach the layers with mean 0 and deviation 1.

        Some units of a backbone hardly ever speak; they are not amplified to the level of the others, or a
        track in which one does would be judged by that alone.
        """
        deviation = embeddings.std(0, correction=0)
        self.mean.copy_(embeddings.mean(0))
        self.scale.copy_(deviation.clamp_min(max(LEAST_SCALE * float(deviation.mean()), 1e-6)))

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        return self.layers((embedding - self.mean) / self.scale), embedding


class Transfer(nn.Module):
    """Log-mel patches (B, 1, F, N) -> logits (B, L) and the backbone's embedding (B, D)."""

    def __init__(self, config: TransferConfig, backbone: nn.Module, num_labels: int) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.head = Head(config, num_labels)

    def train(self, mode: bool = True) -> "Transfer":
        """The backbone never trains, so that its normalisation stays as it is."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            _, embedding = self.backbone(patches)
        return self.classify(embedding), embedding

    def classify(self, embedding: Tensor) -> Tensor:
        """Embedding (B, D), of a patch or the mean of a track -> logits (B, L)."""
        return cast(Tensor, self.head(embedding)[0])

    @torch.inference_mode()
    def scores(self, embeddings: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Mean embeddings of tracks (..., D) -> label probabilities (..., L), without any audio.

        The head has learnt from mean embeddings, so these, not the mean over patches, are a track's scores.
        """
        device = self.head.mean.device
        logits = self.classify(torch.from_numpy(embeddings).to(device))
        return cast(npt.NDArray[np.float32], logits.sigmoid().cpu().numpy())
