"""A residual network for many labels: 19 convolutions, squeeze-and-excitation, and a small head per label.

Blocks: He et al., "Deep residual learning for image recognition" (2016). Attention: Hu et al.,
"Squeeze-and-excitation networks" (2018).
Shapes: B batch, F mel bands, N frames, C channels, L labels, K bottleneck, D embedding size.
"""

from typing import Literal, cast

import torch
from torch import Tensor, nn

from core.config.models import FeatureConfig, MultiLabelAudioCNNConfig, is_single_label
from core.ml.models.exclusive import softmax_logits

STAGES = ((1, 5), (2, 2), (4, 2))  # width as a multiple of the base, number of blocks
REDUCTION = 8  # channels per hidden unit of the attention
MIN_ATTENTION_UNITS = 8
BOTTLENECK = 16


class SqueezeExcitation(nn.Module):
    """Channel attention: (B, C, F, N) -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // REDUCTION, MIN_ATTENTION_UNITS)
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * cast(Tensor, self.weigh(x.mean((2, 3), keepdim=True)))


class ResidualBlock(nn.Module):
    """Two convolutions with a shortcut: (B, C, F, N) -> (B, C', F / stride, N / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int, use_attention: bool) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcitation(outputs) if use_attention else nn.Identity(),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.convolutions(x) + self.shortcut(x))


class PerLabelHead(nn.Module):
    """A bottleneck per label g, `w_g . relu(W_g e + b_g) + c_g`: (B, D) -> (B, L)."""

    def __init__(self, width: int, num_labels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, num_labels * BOTTLENECK)
        self.weight = nn.Parameter(torch.empty(num_labels, BOTTLENECK))
        self.bias = nn.Parameter(torch.zeros(num_labels))
        bound = BOTTLENECK**-0.5
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, embedding: Tensor) -> Tensor:
        hidden: Tensor = torch.relu(self.hidden(embedding)).view(-1, *self.weight.shape)
        return (hidden * self.weight).sum(2) + self.bias


class MultiLabelAudioCNN(nn.Module):
    """Log-mel patches (B, 1, F, N) -> logits (B, L) and embedding (B, D).

    For exclusive labels, the sigmoids of the logits are the softmax, which sums to 1.
    """

    def __init__(
        self,
        num_genres: int,
        base_channels: int = 64,
        use_attention: bool = True,
        *,
        embedding_size: int = 256,
        head: Literal["per_label", "linear"] = "per_label",
        dropout: float = 0.3,
        single_label: bool = False,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.BatchNorm2d(1),
            # Reduces both axes by four; otherwise the first stage would cost 16 times as much.
            nn.Conv2d(1, base_channels, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(base_channels),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        blocks = []
        width = base_channels
        for factor, count in STAGES:
            for index in range(count):
                stride = 2 if factor > 1 and index == 0 else 1
                blocks.append(ResidualBlock(width, base_channels * factor, stride, use_attention))
                width = base_channels * factor
        self.blocks = nn.Sequential(*blocks)
        self.embed = nn.Sequential(
            nn.Linear(2 * width, embedding_size), nn.BatchNorm1d(embedding_size), nn.ReLU()
        )
        self.dropout = nn.Dropout(dropout)
        self.single_label = single_label
        self.head: nn.Module = (
            PerLabelHead(embedding_size, num_genres)
            if head == "per_label"
            else nn.Linear(embedding_size, num_genres)
        )

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        x = self.blocks(self.stem(patches))
        embedding = self.embed(torch.cat((x.mean((2, 3)), x.amax((2, 3))), dim=1))
        logits = self.head(self.dropout(embedding))
        return softmax_logits(logits) if self.single_label else logits, embedding


def from_config(
    config: MultiLabelAudioCNNConfig, _features: FeatureConfig, num_labels: int
) -> MultiLabelAudioCNN:
    return MultiLabelAudioCNN(
        num_labels,
        config.base_channels,
        config.use_attention,
        embedding_size=config.embedding_size,
        head=config.head,
        dropout=config.dropout,
        single_label=is_single_label(config),
    )
