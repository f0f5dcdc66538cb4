import librosa
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from core.config.models import FeatureConfig
from core.ml.audio.features import LogMel, LogMelStream

SAMPLE_RATE = 16_000


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.8, 0.8, round(seconds * SAMPLE_RATE)).astype(np.float32)


def librosa_log_mel(waveform: np.ndarray) -> np.ndarray:
    mel = librosa.feature.melspectrogram(y=waveform, sr=SAMPLE_RATE, n_fft=512, hop_length=256, n_mels=96)
    log_mel: np.ndarray = np.log10(1 + 10_000 * mel)
    return log_mel


def test_log_mel_equals_librosa():
    chirp = librosa.chirp(fmin=50, fmax=7_500, sr=SAMPLE_RATE, duration=2).astype(np.float32)
    waveform = np.stack((noise(2), chirp, np.zeros(2 * SAMPLE_RATE, np.float32)))
    log_mel = LogMel(FeatureConfig())(torch.from_numpy(waveform))
    assert log_mel.shape == (3, 1, 96, 126)
    assert log_mel.dtype == torch.float32
    for ours, samples in zip(log_mel[:, 0].numpy(), waveform, strict=True):
        np.testing.assert_allclose(ours, librosa_log_mel(samples), atol=5e-5)


def test_a_full_scale_tone_has_known_numbers():
    """1 kHz is FFT bin 32: a Hann window of 512 leaves a power of 128^2 there and 64^2 in both neighbours."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    column = LogMel(FeatureConfig())(torch.from_numpy(tone)[None])[0, 0, :, 30].numpy()
    np.testing.assert_allclose(column[30:34], [6.0476, 6.6610, 6.2692, 5.1438], atol=1e-4)
    assert np.delete(column, range(30, 34)).max() < 1e-3


@pytest.mark.parametrize("block", [1, 100, 255, 256, 511, 512, 16_000])
def test_frames_of_a_stream_are_the_frames_of_the_whole(block):
    waveform = torch.from_numpy(noise(0.31 if block == 1 else 2.3))
    log_mel = LogMel(FeatureConfig())
    stream = LogMelStream(log_mel)
    frames = [stream.push(samples) for samples in torch.split(waveform, block)]
    frames.append(stream.finish())
    torch.testing.assert_close(torch.cat(frames, dim=1), log_mel(waveform[None])[0, 0], rtol=0, atol=1e-6)


def test_a_stream_keeps_less_than_one_window_and_hop():
    config = FeatureConfig()
    stream = LogMelStream(LogMel(config))
    for _ in range(50):
        stream.push(torch.zeros(1_000))
        assert stream._samples.untyped_storage().nbytes() <= 4 * (1_000 + config.n_fft + config.hop_length)


@pytest.mark.parametrize(
    "wrong", [{"f_max": 9_000.0}, {"n_fft": 511}, {"hop_length": 513}, {"f_min": 8_000.0}, {"window": "hann"}]
)
def test_impossible_features_are_refused(wrong):
    with pytest.raises(ValidationError):
        FeatureConfig(**wrong)
