"""musicnn: a small CNN with musically motivated filter shapes, implemented for fast inference on CPUs.

Architecture: Pons and Serra, "musicnn: Pre-trained convolutional neural networks for music audio tagging"
(2019).
Shapes: B batch, F mel bands, N frames, C channels, L labels, D embedding size.
"""

from typing import cast

import torch
from torch import Tensor, nn

from core.config.models import FeatureConfig, MusicnnConfig
from core.ml.models.fast_convolution import highest_of_long_filters, highest_of_short_filters

NORM_EPSILON = 1e-3  # TensorFlow's default, which the published weights were trained with
TIMBRAL_HEIGHTS = (0.4, 0.7)  # share of the mel bands that a timbral filter covers
TIMBRAL_TAPS = 7
TEMPORAL_TAPS = (128, 64, 32)
MID_TAPS = 7


class FrontLayer(nn.Module):
    """Convolution with bias, ReLU, batch normalisation, maximum over the bands: (B, F, N) -> (B, C, N).

    The maximum is taken first, directly after the convolution. This is exact, because the other operations
    are monotonic; for filters that the normalisation inverts, the minimum is taken instead.
    """

    def __init__(self, bands: int, taps: int, filters: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, (bands, taps))
        self.norm = nn.BatchNorm1d(filters, eps=NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        sign = torch.where(self.norm.weight < 0, -1.0, 1.0)
        filters = (self.conv.weight * sign[:, None, None, None]).squeeze(1)
        if filters.shape[1] == 1:
            highest = highest_of_long_filters(x, filters.squeeze(1))
        else:
            highest = highest_of_short_filters(x, filters)
        activated = torch.relu(highest * sign + cast(Tensor, self.conv.bias))
        return cast(Tensor, self.norm(activated.transpose(1, 2)))


class MidLayer(nn.Module):
    """A convolution over time with bias, ReLU and batch normalisation: (B, C, N) -> (B, C', N)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, MID_TAPS, padding=MID_TAPS // 2)
        self.norm = nn.BatchNorm1d(outputs, eps=NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.norm(self.conv(x).relu_()))


class Musicnn(nn.Module):
    """Log-mel patches (B, 1, F, N) -> logits (B, L) and embedding (B, D), the penultimate layer."""

    def __init__(self, config: MusicnnConfig, features: FeatureConfig, num_labels: int) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1, eps=NORM_EPSILON)
        self.timbral = nn.ModuleList(
            FrontLayer(int(share * features.n_mels), TIMBRAL_TAPS, config.timbral_filters)
            for share in TIMBRAL_HEIGHTS
        )
        self.temporal = nn.ModuleList(FrontLayer(1, taps, config.temporal_filters) for taps in TEMPORAL_TAPS)
        front = len(TIMBRAL_HEIGHTS) * config.timbral_filters + len(TEMPORAL_TAPS) * config.temporal_filters
        self.mid = nn.ModuleList(
            MidLayer(inputs, config.mid_channels)
            for inputs in (front, config.mid_channels, config.mid_channels)
        )
        pooled = 2 * (front + len(self.mid) * config.mid_channels)
        self.pool_norm = nn.BatchNorm1d(pooled, eps=NORM_EPSILON)
        self.dense = nn.Linear(pooled, config.embedding_size)
        self.dense_norm = nn.BatchNorm1d(config.embedding_size, eps=NORM_EPSILON)
        self.output = nn.Linear(config.embedding_size, num_labels)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        x = self.input_norm(patches).squeeze(1)
        front = torch.cat([layer(x) for layer in (*self.timbral, *self.temporal)], dim=1)
        first = self.mid[0](front)
        second = self.mid[1](first) + first
        third = self.mid[2](second) + second
        embedding = self.dense_norm(self.dense(self.pool_norm(pool(front, first, second, third))).relu())
        return self.output(embedding), embedding


def pool(*channels: Tensor) -> Tensor:
    """Maximum and mean over time, interleaved per channel: (B, C, N) each -> (B, 2 * sum of C)."""
    x = torch.cat(channels, dim=1)
    return torch.stack((x.amax(2), x.mean(2)), dim=2).flatten(1)
