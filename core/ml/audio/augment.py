"""Random augmentation of log-mel patches.

Masks: Park et al., "SpecAugment" (2019), with several masks per patch. Mixup: Zhang et al. (2018).
Shapes: B batch, F mel bands, N frames, L labels.
"""

import torch
from torch import Tensor

from core.config.experiment import AugmentationConfig
from core.config.models import FeatureConfig


class SpectrogramAugmentation:
    """Augments batches on their device, with its own random generator: equal seeds give equal results."""

    def __init__(self, config: AugmentationConfig, features: FeatureConfig, seed: int) -> None:
        self._config = config
        self._features = features
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, patches: Tensor) -> Tensor:
        """Every configured augmentation except mixup: (B, 1, F, N) -> the same shape."""
        config = self._config
        if config.gain_db:
            patches = self.gain(patches, config.gain_db)
        if config.time_shift:
            patches = self.time_shift(patches, config.time_shift)
        return self.spec_augment(patches)

    def gain(self, patches: Tensor, most_db: float) -> Tensor:
        """A random gain of up to `most_db` either way, equal to a gain of the waveform."""
        gain_db = (2 * self._uniform(len(patches)) - 1) * most_db
        return apply_gain(patches, gain_db.to(patches.device), self._features)

    def time_shift(self, patches: Tensor, most: float) -> Tensor:
        """Each patch rotated in time by up to the share `most` of its frames."""
        frames = patches.shape[-1]
        shifts = ((2 * self._uniform(len(patches)) - 1) * most * frames).round().long()
        source = (torch.arange(frames) - shifts[:, None]) % frames
        return patches.gather(-1, source.to(patches.device)[:, None, None, :].expand_as(patches))

    def spec_augment(self, patches: Tensor) -> Tensor:
        """Each patch with random time and frequency masks set to the patch's mean."""
        config = self._config
        batch, _, bands, frames = patches.shape
        masked = torch.zeros(batch, 1, bands, frames, dtype=torch.bool)
        if config.time_masks:
            masked |= self._masks(batch, frames, config.time_masks, config.time_mask_frames)[:, None, None, :]
        if config.frequency_masks:
            widest = config.frequency_mask_bands
            masked |= self._masks(batch, bands, config.frequency_masks, widest)[:, None, :, None]
        mean = patches.mean((2, 3), keepdim=True)
        return torch.where(masked.to(patches.device), mean, patches)

    def mixup(self, patches: Tensor, targets: Tensor) -> tuple[Tensor, float, Tensor]:
        """Mixed patches, lambda (the share of the first partner, at least 0.5), and mixed targets.

        Every patch is mixed with another one of the batch; log-mels are averaged, not waveforms.
        """
        batch = len(patches)
        share = self._beta(self._config.mixup_alpha)
        share = max(share, 1 - share)
        step = int(torch.randint(1, max(2, batch), (1,), generator=self.generator))
        partner = (torch.arange(batch, device=patches.device) + step) % batch
        return (
            share * patches + (1 - share) * patches[partner],
            share,
            share * targets + (1 - share) * targets[partner],
        )

    def _masks(self, batch: int, length: int, count: int, widest: int) -> Tensor:
        """Union of `count` random masks of widths 0 to `widest`: (batch, length)."""
        widths = (self._uniform(batch, count) * (min(widest, length) + 1)).long()
        starts = (self._uniform(batch, count) * (length - widths + 1)).long()
        at = torch.arange(length)
        return ((at >= starts[..., None]) & (at < (starts + widths)[..., None])).any(1)

    def _uniform(self, *shape: int) -> Tensor:
        """Random numbers drawn on the CPU, so that they are the same on every device."""
        return torch.rand(*shape, generator=self.generator)

    def _beta(self, alpha: float) -> float:
        """One draw from Beta(alpha, alpha), by two gamma variables."""
        pair = torch._standard_gamma(torch.full((2,), alpha, dtype=torch.float64), generator=self.generator)
        return float(pair[0] / pair.sum().clamp_min(1e-300))


def apply_gain(patches: Tensor, gain_db: Tensor, features: FeatureConfig) -> Tensor:
    """Log-mels (B, 1, F, N) of the audio amplified by gains (B,) in dB."""
    factor = 10 ** (gain_db * features.power / 20)
    compressed = torch.expm1(patches * torch.log(torch.tensor(10.0)))  # compression * mel
    return torch.log1p(compressed * factor[:, None, None, None]) / torch.log(torch.tensor(10.0))
