"""musicnn: a small CNN with musically motivated filter shapes, in a form that CPUs compute quickly.

Architecture: Pons and Serra, "musicnn: Pre-trained convolutional neural networks for music audio tagging"
(2019).
Shapes: B batch, F mel bands, N frames, C channels, L labels, D embedding size.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from core.config import FeatureConfig, MusicnnConfig

NORM_EPSILON = 1e-3  # TensorFlow's default, which the published weights were trained with
TIMBRAL_HEIGHTS = (0.4, 0.7)  # share of the mel bands that a timbral filter covers
TIMBRAL_TAPS = 7
TEMPORAL_TAPS = (128, 64, 32)
MID_TAPS = 7


class Branch(nn.Module):
    """Parameters of one convolution of the input: bias, ReLU and batch normalisation follow it."""

    def __init__(self, bands: int, taps: int, filters: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, (bands, taps))
        self.norm = nn.BatchNorm2d(filters, eps=NORM_EPSILON)


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
            Branch(int(share * features.n_mels), TIMBRAL_TAPS, config.timbral_filters)
            for share in TIMBRAL_HEIGHTS
        )
        self.temporal = nn.ModuleList(Branch(1, taps, config.temporal_filters) for taps in TEMPORAL_TAPS)
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
        front = torch.cat(
            [timbral_features(x, cast(Branch, branch)) for branch in self.timbral]
            + [temporal_features(x, cast(Branch, branch)) for branch in self.temporal],
            dim=1,
        )
        first = self.mid[0](front)
        second = self.mid[1](first) + first
        third = self.mid[2](second) + second
        embedding = self.dense_norm(self.dense(self.pool_norm(pool(front, first, second, third))).relu())
        return self.output(embedding), embedding


def pool(*channels: Tensor) -> Tensor:
    """Maximum and mean over time, interleaved per channel: (B, C, N) each -> (B, 2 * sum of C)."""
    x = torch.cat(channels, dim=1)
    return torch.stack((x.amax(2), x.mean(2)), dim=2).flatten(1)


def timbral_features(x: Tensor, branch: Branch) -> Tensor:
    """Convolution over bands and time, maximum over the band positions: (B, F, N) -> (B, C, N).

    Every frame is unfolded once into its F * taps neighbours, bands outermost; a filter's input at each
    band position is then a slice of that row. The maximum is taken while the products are still in the cache.
    """
    batch, bands, frames = x.shape
    height, taps = cast(tuple[int, int], branch.conv.kernel_size)
    rows = (
        pad(x, (taps // 2, taps // 2))
        .unfold(2, taps, 1)
        .transpose(1, 2)
        .reshape(batch * frames, bands * taps)
    )
    sign = scale_sign(branch)
    weight = (branch.conv.weight * sign[:, None, None, None]).flatten(1).T.contiguous()
    highest = torch.mm(rows[:, : height * taps], weight)
    product = torch.empty_like(highest)
    for position in range(1, bands - height + 1):
        torch.mm(rows[:, position * taps : (position + height) * taps], weight, out=product)
        torch.maximum(highest, product, out=highest)
    return activate(highest, sign, branch).view(batch, frames, -1).transpose(1, 2)


def temporal_features(x: Tensor, branch: Branch) -> Tensor:
    """Convolution over time within each band, maximum over the bands: (B, F, N) -> (B, C, N)."""
    batch, _, frames = x.shape
    taps = cast(tuple[int, int], branch.conv.kernel_size)[1]
    windows = pad(x, ((taps - 1) // 2, taps // 2)).unfold(2, taps, 1).transpose(0, 1)
    sign = scale_sign(branch)
    weight = (branch.conv.weight * sign[:, None, None, None]).flatten(1).T.contiguous()
    highest = torch.full((batch * frames, weight.shape[1]), -torch.inf, device=x.device)
    for band in windows:
        torch.maximum(highest, torch.mm(band.reshape(batch * frames, taps), weight), out=highest)
    return activate(highest, sign, branch).view(batch, frames, -1).transpose(1, 2)


def scale_sign(branch: Branch) -> Tensor:
    """+1 or -1 per filter: where normalisation inverts a filter, its smallest product gives the maximum."""
    return torch.where(branch.norm.weight < 0, -1.0, 1.0)


def activate(highest: Tensor, sign: Tensor, branch: Branch) -> Tensor:
    """Bias, ReLU and normalisation of the extreme products (rows, C); exact, as all three are monotonic."""
    norm = branch.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    positive = torch.relu(highest * sign + cast(Tensor, branch.conv.bias))
    return (positive - norm.running_mean) * scale + norm.bias
