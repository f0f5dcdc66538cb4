"""A picture of how densely the tracks of a map lie. Shapes: N tracks."""

import io

import numpy as np

from core.ml.maps.layout import SIDE, Places

PIXELS = 800  # along a side
COLOUR = (84, 116, 214)  # reads on a light and on a dark ground
FAINTEST = 0.25  # opacity of a pixel with the tip of one track
SMALLEST_BLUR, LARGEST_BLUR = 0.7, 4.0  # pixels; few tracks would be hard to see as single pixels


def draw_density(places: Places) -> bytes:
    """PNG of tracks at places (N, 2), on a transparent ground; the origin is at the bottom left."""
    from matplotlib.image import imsave
    from scipy.ndimage import gaussian_filter

    column, row = (places.astype(np.int64) * PIXELS // (SIDE + 1)).T
    counts = np.bincount((PIXELS - 1 - row) * PIXELS + column, minlength=PIXELS * PIXELS)
    blur = np.clip(LARGEST_BLUR * (1000 / max(len(places), 1)) ** 0.5, SMALLEST_BLUR, LARGEST_BLUR)
    density = gaussian_filter(counts.reshape(PIXELS, PIXELS).astype(np.float32), blur)
    # A track on its own is seen, and ten thousand in one place are not one white spot.
    single = gaussian_filter(_dot(), blur).max()
    opacity = np.log1p(density / single) / max(np.log1p(density.max() / single), 1e-6)
    opacity = np.where(density > single / 10, FAINTEST + (1 - FAINTEST) * opacity, 0)
    pixels = np.empty((PIXELS, PIXELS, 4), np.uint8)
    pixels[..., :3] = COLOUR
    pixels[..., 3] = np.rint(255 * opacity)
    file = io.BytesIO()
    imsave(file, pixels, format="png")
    return file.getvalue()


def _dot() -> np.typing.NDArray[np.float32]:
    picture = np.zeros((33, 33), np.float32)
    picture[16, 16] = 1
    return picture
