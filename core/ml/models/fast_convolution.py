"""Convolutions followed by a maximum over the mel bands, as matrix products.

General routines are slow for a single input channel and store every product before the maximum. Here the
maximum is taken while the products are in the cache, and the Toom-Cook (Winograd) method needs only a quarter
of the multiplications for short filters.
Shapes: B batch, F mel bands, N frames, C filters, R rows of a product, T tiles of output frames.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

TOOM_COOK_FRAMES = 6  # per tile; more would save little and lose accuracy
# Small fractions and their negatives keep float32 within 1e-5 of the direct sum, relative to its size.
POINTS = (0, 1, -1, 1 / 3, -1 / 3, 3 / 4, -3 / 4, 3 / 2, -3 / 2, 3, -3)
TOEPLITZ_FRAMES = 8


def toom_cook(frames: int, taps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices (A, G, D) with: correlation of x and g = A @ ((G @ g) * (D @ x)).

    The result has `frames` values, x has P = frames + taps - 1; A is (frames, P), G (P, taps), D (P, P).
    """
    output, weight, data = _toom_cook(frames, taps)
    return torch.from_numpy(output).float(), torch.from_numpy(weight).float(), torch.from_numpy(data).float()


@cache
def _toom_cook(frames: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = frames + taps - 1
    output, weight, product = (_evaluate(size - 1, length) for length in (frames, taps, size))
    data = np.linalg.inv(product).T
    scale = np.abs(data).max(axis=1, keepdims=True)
    return output.T, weight * scale, data / scale


def _evaluate(points: int, coefficients: int) -> np.ndarray:
    """Matrix (points + 1, coefficients) that evaluates a polynomial at the points and at infinity."""
    finite = np.array(POINTS[:points], dtype=np.float64)[:, None] ** np.arange(coefficients)
    return np.vstack((finite, np.eye(coefficients)[-1:]))


def highest_of_short_filters(x: Tensor, filters: Tensor) -> Tensor:
    """Filters (C, height, taps) over bands and frames of x (B, F, N): maximum over bands, (B, N, C)."""
    batch, bands, frames = x.shape
    count, height, taps = filters.shape
    output, weight, data = (matrix.to(x.device) for matrix in toom_cook(TOOM_COOK_FRAMES, taps))
    tiles = -(-frames // TOOM_COOK_FRAMES)
    padding = (taps // 2, taps // 2 + tiles * TOOM_COOK_FRAMES - frames)
    windows = pad(x, padding).unfold(2, len(data), TOOM_COOK_FRAMES)  # (B, F, T, P)
    x_points = torch.einsum("bftn,pn->pbtf", windows, data).reshape(len(data), batch * tiles, bands)
    filter_points = torch.einsum("cfn,pn->pfc", filters, weight).contiguous()

    products = x.new_empty(len(data), batch * tiles, count)
    values = x.new_empty(TOOM_COOK_FRAMES, batch * tiles * count)
    highest = torch.full_like(values, -torch.inf)
    for band in range(bands - height + 1):
        torch.bmm(x_points[:, :, band : band + height], filter_points, out=products)
        torch.mm(output, products.view(len(data), -1), out=values)
        torch.maximum(highest, values, out=highest)
    return highest.view(-1, batch, tiles, count).permute(1, 2, 0, 3).reshape(batch, -1, count)[:, :frames]


def highest_of_long_filters(x: Tensor, filters: Tensor) -> Tensor:
    """Filters (C, taps) over the frames of each band of x (B, F, N): maximum over bands, (B, N, C).

    Each product computes a tile of successive frames, with a Toeplitz matrix of the filters.
    """
    batch, bands, frames = x.shape
    count, taps = filters.shape
    tiles = -(-frames // TOEPLITZ_FRAMES)
    left = (taps - 1) // 2
    rows = pad(x, (left, taps - 1 - left + tiles * TOEPLITZ_FRAMES - frames)).flatten(0, 1)
    matrix = x.new_zeros(taps + TOEPLITZ_FRAMES - 1, TOEPLITZ_FRAMES, count)
    for frame in range(TOEPLITZ_FRAMES):
        matrix[frame : frame + taps, frame] = filters.T

    values = x.new_empty(batch * bands, TOEPLITZ_FRAMES * count)
    highest = x.new_empty(batch, tiles, TOEPLITZ_FRAMES * count)
    for tile in range(tiles):
        start = tile * TOEPLITZ_FRAMES
        torch.mm(rows[:, start : start + len(matrix)], matrix.flatten(1), out=values)
        torch.amax(values.view(batch, bands, -1), dim=1, out=highest[:, tile])
    return highest.view(batch, -1, count)[:, :frames]
