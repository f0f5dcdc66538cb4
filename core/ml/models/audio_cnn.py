"""The baseline CNN with four convolutions.

Shapes: B batch, F mel bands, N frames, C channels, L labels, D embedding size.
"""

from torch import Tensor, nn

from core.config.models import AudioCNNConfig, FeatureConfig, is_single_label
from core.ml.models.exclusive import softmax_logits


class ConvolutionBlock(nn.Sequential):
    """(B, C, F, N) -> (B, C', F // pool[0], N // pool[1])."""

    def __init__(self, inputs: int, outputs: int, pool: tuple[int, int] = (2, 2)) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(pool),
        )


class AudioCNN(nn.Module):
    """Log-mel patches (B, 1, F, N) -> logits (B, L) and embedding (B, D), with F and N of at least 16.

    For exclusive labels, the sigmoids of the logits are the softmax, which sums to 1.
    """

    def __init__(self, config: AudioCNNConfig, _features: FeatureConfig, num_labels: int) -> None:
        super().__init__()
        widths = [1] + [config.base_channels * factor for factor in (1, 2, 4, 8)]
        self.blocks = nn.Sequential(*map(ConvolutionBlock, widths, widths[1:]))
        self.embed = nn.Sequential(nn.Linear(widths[-1], config.embedding_size), nn.ReLU())
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.embedding_size, num_labels)
        self.single_label = is_single_label(config)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.embed(self.blocks(patches).mean((2, 3)))
        logits = self.head(self.dropout(embedding))
        return softmax_logits(logits) if self.single_label else logits, embedding
