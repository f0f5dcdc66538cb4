import pytest
import torch
from torch.nn.functional import conv2d, pad

from core.ml.models.fast_convolution import highest_of_long_filters, highest_of_short_filters, toom_cook


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def highest(x: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """The same in double precision by the definition."""
    taps = filters.shape[2]
    padded = pad(x, ((taps - 1) // 2, taps // 2))
    return conv2d(padded.double().unsqueeze(1), filters.double().unsqueeze(1)).amax(2).transpose(1, 2)


def test_toom_cook_is_a_correlation():
    output, weight, data = toom_cook(frames=2, taps=3)
    x, g = torch.tensor([1.0, 2.0, -3.0, 4.0]), torch.tensor([0.5, -1.0, 2.0])
    torch.testing.assert_close(output @ ((weight @ g) * (data @ x)), torch.tensor([-7.5, 12.0]))


@pytest.mark.parametrize("frames", [1, 5, 6, 187])
@pytest.mark.parametrize("height", [2, 38, 96])
def test_short_filters_equal_the_definition(frames, height):
    x, filters = random(2, 96, frames), random(4, height, 7) / height**0.5
    result = highest_of_short_filters(x, filters)
    assert result.shape == (2, frames, 4)
    torch.testing.assert_close(result.double(), highest(x, filters), rtol=0, atol=2e-4)


@pytest.mark.parametrize("frames", [1, 7, 8, 187])
@pytest.mark.parametrize("taps", [1, 32, 33, 128])
def test_long_filters_equal_the_definition(frames, taps):
    x, filters = random(2, 12, frames), random(3, taps) / taps**0.5
    result = highest_of_long_filters(x, filters)
    assert result.shape == (2, frames, 3)
    torch.testing.assert_close(result.double(), highest(x, filters.unsqueeze(1)), rtol=0, atol=1e-5)
