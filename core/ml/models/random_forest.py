"""Decision trees as plain tensors: fitted by scikit-learn, stored and loaded like every other model.

Shapes: B batch, F mel bands, N frames, L labels, D pooled features, R trees, M nodes of a tree.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d

from core.config.models import FeatureConfig, RandomForestConfig

EPSILON = 1e-4  # minimum distance of a probability from 0 and 1, to keep logits finite


def pool_over_time(patches: Tensor, bands: int) -> Tensor:
    """Mean, standard deviation and mean absolute change per band: (B, 1, F, N) -> (B, 3 * bands)."""
    x = adaptive_avg_pool1d(patches.squeeze(1).transpose(1, 2), bands)
    return torch.cat((x.mean(1), x.std(1, correction=0), x.diff(dim=1).abs().mean(1)), dim=1)


class RandomForest(nn.Module):
    """Log-mel patches (B, 1, F, N) -> logits (B, L) and pooled features (B, D), without gradients."""

    feature: Tensor
    threshold: Tensor
    child: Tensor
    value: Tensor

    def __init__(self, config: RandomForestConfig, _features: FeatureConfig, num_labels: int) -> None:
        super().__init__()
        self.bands = config.bands
        trees, nodes = config.trees, 2 * config.max_leaves - 1
        self.register_buffer("feature", torch.zeros(trees, nodes, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(trees, nodes, dtype=torch.float64))
        # Left and right child; a leaf is its own child.
        self.register_buffer("child", torch.arange(nodes, dtype=torch.int32).repeat(2, trees, 1))
        self.register_buffer("value", torch.full((trees, nodes, num_labels), 0.5))

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        pooled = pool_over_time(patches, self.bands)
        return self.classify(pooled), pooled

    def classify(self, pooled: Tensor) -> Tensor:
        """Pooled features (B, D) -> logits (B, L) of the trees' mean probability of each label."""
        count = len(self.feature)
        tree = torch.arange(count, device=pooled.device)
        node = torch.zeros(len(pooled), count, dtype=torch.long, device=pooled.device)  # (B, R)
        while True:
            wanted = pooled.gather(1, self.feature[tree, node].long())
            is_right = (wanted > self.threshold[tree, node]).long()
            following = self.child[is_right, tree, node].long()
            if torch.equal(following, node):
                break
            node = following
        share = self.value[tree, node].mean(1).clamp(EPSILON, 1 - EPSILON)
        return torch.logit(share)
