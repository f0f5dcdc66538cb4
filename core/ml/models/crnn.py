"""A CRNN: convolutions followed by a recurrent network over time.

After Choi et al., "Convolutional recurrent neural networks for music classification" (2017).
Shapes: B batch, F mel bands, N frames, C channels, L labels, D embedding size.
"""

from torch import Tensor, nn

from core.config.models import CRNNConfig, FeatureConfig, is_single_label
from core.ml.models.audio_cnn import ConvolutionBlock
from core.ml.models.exclusive import softmax_logits

POOLS = (
    (2, 2),
    (2, 2),
    (2, 2),
    (2, 1),
)  # the last halves the bands only, to leave the LSTM eight frames' steps


class CRNN(nn.Module):
    """Log-mel patches (B, 1, F, N) -> logits (B, L) and embedding (B, D), with F of at least 16.

    For exclusive labels, the sigmoids of the logits are the softmax, which sums to 1.
    """

    def __init__(self, config: CRNNConfig, _features: FeatureConfig, num_labels: int) -> None:
        super().__init__()
        widths = [1] + [config.base_channels * factor for factor in (1, 2, 4, 8)]
        self.blocks = nn.Sequential(*map(ConvolutionBlock, widths, widths[1:], POOLS))
        self.recurrent = nn.LSTM(widths[-1], config.hidden_size, batch_first=True, bidirectional=True)
        self.embed = nn.Sequential(nn.Linear(2 * config.hidden_size, config.embedding_size), nn.ReLU())
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.embedding_size, num_labels)
        self.single_label = is_single_label(config)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        steps = self.blocks(patches).mean(2).transpose(1, 2)  # (B, N / 8, C)
        states, _ = self.recurrent(steps)
        embedding = self.embed(states.mean(1))
        logits = self.head(self.dropout(embedding))
        return softmax_logits(logits) if self.single_label else logits, embedding
