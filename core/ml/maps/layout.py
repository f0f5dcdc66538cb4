"""Places in the plane for embeddings, such that near ones stay near.

Some landmarks are laid out by t-SNE (van der Maaten and Hinton, 2008), which starts from their first
principal components and so keeps the arrangement of the whole (Kobak and Berens, 2019,
doi:10.1038/s41467-019-13056-x). All other embeddings are placed among their nearest landmarks. Near means a
large cosine, as for similar tracks.
Shapes: N embeddings of D numbers, M landmarks.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

MOST_LANDMARKS = 3000
COMPONENTS = 50  # of the landmarks: t-SNE measures distances in them
PERPLEXITY = 30.0
ITERATIONS = 750  # 250 of them with exaggerated attraction
FEWEST = 5  # embeddings that t-SNE can be told to arrange; fewer get their principal components
NEIGHBOURS = 5  # landmarks that an embedding is placed by
BLOCK = 1000  # embeddings that are compared with all landmarks at a time
START_SPREAD = 1e-4  # standard deviation of the first coordinates that t-SNE starts from
SIDE = 65_535  # of the map
MARGIN = 0.02  # of the side
MEASURED_NEIGHBOURS = 10

Array = npt.NDArray[np.float32]
Places = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Layout:
    """Landmarks and where they lie."""

    landmarks: Array  # (M, D) of length 1
    places: Array  # (M, 2), 0 to `SIDE`

    def place(self, vectors: Array) -> Places:
        """Places (N, 2) of embeddings (N, D): means of those of their nearest landmarks, by nearness."""
        if not len(vectors):
            return np.empty((0, 2), np.uint16)
        blocks = [self._place(vectors[start : start + BLOCK]) for start in range(0, len(vectors), BLOCK)]
        return np.rint(np.concatenate(blocks)).astype(np.uint16)

    def _place(self, vectors: Array) -> Array:
        cosines = directions(vectors) @ self.landmarks.T
        count = min(NEIGHBOURS, len(self.landmarks))
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        # The squared distance of two directions; one on a landmark lies where that does.
        distances = np.maximum(2 - 2 * np.take_along_axis(cosines, nearest, axis=1), 1e-6)
        weights = distances**-2
        weights /= weights.sum(axis=1, keepdims=True)
        return np.asarray(np.einsum("nk,nkc->nc", weights, self.places[nearest]), np.float32)


def lay_out(vectors: Array, seed: int) -> Layout:
    """Lay out landmarks (M, D). The same vectors and seed give the same layout."""
    landmarks = directions(vectors)
    return Layout(landmarks, _fit(_arrange(landmarks, seed)))


def directions(vectors: Array) -> Array:
    """Vectors (N, D) at length 1; those of length 0 stay as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


def _arrange(landmarks: Array, seed: int) -> Any:
    """Coordinates (M, 2) on any scale."""
    # One and a half seconds that no other work of a process need wait for.
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    count, size = landmarks.shape
    if count < 2 or not np.ptp(landmarks, axis=0).any():
        return np.zeros((count, 2))
    # Its signs are fixed: of each component the largest loading is positive.
    pca = PCA(min(COMPONENTS, count, size), svd_solver="full")
    components = pca.fit_transform(landmarks.astype(np.float64))
    start = np.zeros((count, 2))
    start[:, : min(2, components.shape[1])] = components[:, :2]
    if count < FEWEST:
        return start
    tsne = TSNE(
        init=start / start[:, 0].std() * START_SPREAD,
        perplexity=min(PERPLEXITY, (count - 1) / 3),
        max_iter=ITERATIONS,
        random_state=seed,
    )
    # The other cores belong to other workers; threads that share a core mostly wait for each other. This
    # limit holds for the calling thread only, that of BLAS would for the process.
    with threadpool_limits(limits=1, user_api="openmp"):
        return tsne.fit_transform(components)


def _fit(coordinates: Any) -> Array:
    """Coordinates (M, 2) in the middle of the map, both on one scale."""
    if not len(coordinates):
        return np.empty((0, 2), np.float32)
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    scale = (1 - 2 * MARGIN) * SIDE / max(float((high - low).max()), 1e-12)
    return np.asarray((coordinates - (low + high) / 2) * scale + SIDE / 2, np.float32)


def measure_trust(vectors: Array, places: Places) -> float | None:
    """Trustworthiness (Venna and Kaski, 2001) of places (N, 2): 1 if what is near there is near by cosine.

    None for fewer embeddings than it is defined for.
    """
    from sklearn.manifold import trustworthiness

    neighbours = min(MEASURED_NEIGHBOURS, (len(vectors) - 1) // 2)
    if neighbours < 1 or neighbours >= len(vectors) / 2:
        return None
    measured = trustworthiness(directions(vectors), places.astype(np.float64), n_neighbors=neighbours)
    return float(measured)
