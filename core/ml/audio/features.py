"""Log-mel features, the same in training and in serving.

Shapes: B batch, T samples, F mel bands, N frames.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchaudio.transforms import MelSpectrogram

from core.config.models import FeatureConfig


class LogMel(nn.Module):
    """`log10(1 + compression * mel)` of a waveform; frame n is centred on sample n * hop_length."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.config = config
        self.mel = MelSpectrogram(
            sample_rate=config.sample_rate,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            f_min=config.f_min,
            f_max=config.f_max,
            n_mels=config.n_mels,
            power=config.power,
            center=False,
            mel_scale=config.mel_scale,
            norm=config.mel_norm,
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveform (B, T) -> (B, 1, F, N) with N = 1 + T // hop_length; zero-padded at both ends."""
        half = self.config.n_fft // 2
        return self.inner_frames(pad(waveform, (half, half)))

    def inner_frames(self, waveform: Tensor) -> Tensor:
        """The frames without padding: (B, T) -> (B, 1, F, N) with N = 1 + (T - n_fft) // hop_length."""
        mel: Tensor = self.mel(waveform)
        return torch.log10(mel.mul_(self.config.compression).add_(1.0)).unsqueeze(1)


class LogMelStream:
    """Computes the frames of one long waveform in blocks, equal to those of `LogMel` on the whole."""

    def __init__(self, log_mel: LogMel) -> None:
        self._log_mel = log_mel
        self._half = log_mel.config.n_fft // 2
        self._samples = torch.zeros(self._half)

    def push(self, block: Tensor) -> Tensor:
        """The frames (F, N) that the next samples (T,) complete; N may be 0."""
        config = self._log_mel.config
        samples = torch.cat((self._samples.to(block.device), block))
        complete = max(0, 1 + (len(samples) - config.n_fft) // config.hop_length)
        self._samples = samples[complete * config.hop_length :]
        if not complete:
            return block.new_zeros(config.n_mels, 0)
        end = (complete - 1) * config.hop_length + config.n_fft
        return self._log_mel.inner_frames(samples[None, :end])[0, 0]

    def finish(self) -> Tensor:
        """The last frames (F, N), which extend beyond the end of the waveform."""
        return self.push(self._samples.new_zeros(self._half))
