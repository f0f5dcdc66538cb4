"""A small head on the embedding of a stored model, which can be trained on few tracks.

The model contains the weights of its backbone (3 MB for musicnn), so that its folder is self-contained.
"""

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from core.config.models import TransferConfig, is_single_label
from core.ml.models.exclusive import softmax_logits

MIN_SCALE = 0.1  # relative to the mean standard deviation


class Head(nn.Module):
    """Embedding (B, D) -> logits (B, L) and the embedding itself.

    For exclusive labels, the sigmoids of the logits are the softmax, which sums to 1.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: TransferConfig, num_labels: int) -> None:
        super().__init__()
        width = config.embedding_size
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.single_label = is_single_label(config)
        if config.head == "mlp":
            self.layers = nn.Sequential(
                nn.Linear(width, config.hidden_size),
                nn.ReLU(),
                nn.Dropout(config.dropout),
                nn.Linear(config.hidden_size, num_labels),
            )
        else:
            linear = nn.Linear(width, num_labels)
            # Zero, because a few tracks would not be enough to correct random initial weights.
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
            self.layers = nn.Sequential(nn.Dropout(config.dropout), linear)

    @property
    def last(self) -> nn.Linear:
        """The layer that gives the logits."""
        return cast(nn.Linear, self.layers[-1])

    def standardise(self, embeddings: Tensor) -> None:
        """Standardise inputs by the mean and standard deviation of these embeddings (M, D).

        Units that are rarely active are not scaled up fully; otherwise one such unit could dominate a track.
        """
        deviation = embeddings.std(0, correction=0)
        self.mean.copy_(embeddings.mean(0))
        self.scale.copy_(deviation.clamp_min(max(MIN_SCALE * float(deviation.mean()), 1e-6)))

    def set_regression(self, weights: Tensor, bias: Tensor) -> None:
        """Use these weights (L, D) and biases (L,), for standardised inputs."""
        with torch.no_grad():
            self.last.weight.copy_(weights)
            self.last.bias.copy_(bias)

    def standardised(self, embeddings: Tensor) -> Tensor:
        """Embeddings (B, D) as the layers get them."""
        return (embeddings - self.mean) / self.scale

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.layers(self.standardised(embedding))
        return softmax_logits(logits) if self.single_label else logits, embedding


class Transfer(nn.Module):
    """Log-mel patches (B, 1, F, N) -> logits (B, L) and the backbone's embedding (B, D)."""

    def __init__(self, config: TransferConfig, backbone: nn.Module, num_labels: int) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.head = Head(config, num_labels)

    def train(self, mode: bool = True) -> "Transfer":
        """Keep the backbone in evaluation mode, so that its normalisation does not change."""
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
        """Mean embeddings of tracks (..., D) -> label probabilities (..., L).

        The head is trained on mean embeddings, so these give a track's scores, not the mean over patches.
        """
        device = self.head.mean.device
        logits = self.classify(torch.from_numpy(embeddings).to(device))
        return cast(npt.NDArray[np.float32], logits.sigmoid().cpu().numpy())
