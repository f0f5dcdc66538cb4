import pytest
import torch

from core.config.experiment import AugmentationConfig
from core.config.models import FeatureConfig
from core.ml.audio.augment import SpectrogramAugmentation, apply_gain
from core.ml.audio.features import LogMel

FEATURES = FeatureConfig()


def make(seed: int = 0, **options: float) -> SpectrogramAugmentation:
    return SpectrogramAugmentation(AugmentationConfig.model_validate(options), FEATURES, seed)


def ramp(batch: int = 2, bands: int = 4, frames: int = 10) -> torch.Tensor:
    return torch.arange(batch * bands * frames, dtype=torch.float32).view(batch, 1, bands, frames)


def test_nothing_is_changed_by_default():
    assert torch.equal(make()(ramp()), ramp())


def test_equal_seeds_give_equal_changes_and_others_do_not():
    options = {"gain_db": 6, "time_shift": 0.5, "time_masks": 2, "frequency_masks": 1}
    first, second, other = (make(seed, **options)(ramp(frames=50)) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_global_randomness_is_neither_used_nor_disturbed():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    make(gain_db=6, time_masks=2, mixup_alpha=0.3).mixup(ramp(), torch.zeros(2, 3))
    assert torch.equal(torch.get_rng_state(), before)


def test_gain_of_known_numbers():
    # log10(1 + 10000 * mel) with mel = 0.0009: 20 dB make 100 times the power.
    quiet = torch.tensor([[[[1.0]]]])
    louder = apply_gain(quiet, torch.tensor([20.0]), FEATURES)
    assert louder.item() == pytest.approx(torch.log10(torch.tensor(1 + 9.0 * 100)).item(), rel=1e-6)
    assert apply_gain(torch.zeros(1, 1, 1, 1), torch.tensor([20.0]), FEATURES).item() == 0


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_gain_is_what_the_features_of_louder_audio_are(power):
    features = FeatureConfig(power=power)
    waveform = torch.rand(1, 8000, generator=torch.Generator().manual_seed(0)) - 0.5
    log_mel = LogMel(features)
    expected = log_mel(waveform * 10 ** (-6 / 20))
    assert torch.allclose(apply_gain(log_mel(waveform), torch.tensor([-6.0]), features), expected, atol=1e-4)


def test_gain_stays_within_its_bounds():
    patches = torch.full((200, 1, 1, 1), 3.0)
    changed = make(gain_db=6).gain(patches, 6)
    lowest, highest = (apply_gain(patches[:1], torch.tensor([db]), FEATURES).item() for db in (-6.0, 6.0))
    assert changed.min() >= lowest - 1e-6
    assert changed.max() <= highest + 1e-6
    assert changed.std() > 0.05


def test_a_time_shift_rotates_each_patch():
    shifted = make(time_shift=1.0).time_shift(ramp(batch=20, bands=1), 1.0)
    seen = set()
    for before, after in zip(ramp(batch=20, bands=1), shifted, strict=True):
        shifts = [shift for shift in range(10) if torch.equal(before.roll(shift, -1), after)]
        assert len(shifts) == 1
        seen.add(shifts[0])
    assert len(seen) > 3


def test_masks_hide_whole_frames_behind_the_mean():
    patches = ramp(batch=1, bands=3, frames=40)
    masked = make(seed=1, time_masks=1, time_mask_frames=8).spec_augment(patches)
    hidden = (masked == patches.mean()).all(dim=2)[0, 0]
    changed = (masked != patches).any(dim=2)[0, 0]
    assert 0 < hidden.sum() <= 8
    assert torch.equal(hidden, changed | hidden)
    where = hidden.nonzero().flatten()
    assert where.max() - where.min() + 1 == hidden.sum()  # one piece
    assert torch.equal(masked[..., ~hidden], patches[..., ~hidden])


def test_masks_hide_whole_bands():
    patches = ramp(batch=1, bands=40, frames=3)
    masked = make(seed=1, frequency_masks=2, frequency_mask_bands=5).spec_augment(patches)
    hidden = (masked == patches.mean()).all(dim=3)[0, 0]
    assert 0 < hidden.sum() <= 10
    assert torch.equal(masked[:, :, ~hidden], patches[:, :, ~hidden])


def test_masks_differ_within_a_batch():
    masked = make(time_masks=1, time_mask_frames=8).spec_augment(ramp(frames=50).fill_(1).cumsum(3))
    assert not torch.equal(masked[0], masked[1])


def test_masks_wider_than_the_patch_are_allowed():
    assert make(time_masks=3, time_mask_frames=500)(ramp()).shape == ramp().shape


def test_mixup_mixes_patches_and_labels_alike():
    patches = torch.tensor([1.0, 10.0]).view(2, 1, 1, 1)
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    augmentation = make(seed=1, mixup_alpha=0.3)
    for _ in range(20):
        mixed, share, labels = augmentation.mixup(patches, targets)
        assert 0.5 <= share <= 1
        straight = torch.tensor([share * 1 + (1 - share) * 10, share * 10 + (1 - share) * 1])
        swapped = torch.tensor([[share, 1 - share], [1 - share, share]])
        assert torch.allclose(mixed.flatten(), straight)
        assert torch.allclose(labels, swapped)


def test_no_patch_is_mixed_with_itself():
    patches = torch.eye(5).view(5, 1, 1, 5)
    augmentation = make(mixup_alpha=0.3)
    for _ in range(20):
        mixed, share, _ = augmentation.mixup(patches, torch.zeros(5, 1))
        assert mixed.flatten(1).diagonal().tolist() == pytest.approx([share] * 5)


def test_a_lonely_patch_stays_as_it_is():
    mixed, _, labels = make(mixup_alpha=0.3).mixup(ramp(batch=1), torch.ones(1, 2))
    assert torch.allclose(mixed, ramp(batch=1))
    assert torch.allclose(labels, torch.ones(1, 2))


def test_the_share_of_mixup_follows_the_beta_distribution():
    augmentation = make(mixup_alpha=1.0)  # uniform, so the larger part has a mean of 3/4
    shares = torch.tensor([augmentation.mixup(ramp(), torch.zeros(2, 1))[1] for _ in range(2000)])
    assert shares.mean().item() == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize("wrong", [{"gain_db": -1}, {"time_shift": 2}, {"time_mask_frames": 0}, {"gain": 1}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AugmentationConfig.model_validate(wrong)
