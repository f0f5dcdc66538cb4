"""Places in the plane keep neighbours, and are the same for the same seed."""

import numpy as np
import pytest

from core.ml.maps.layout import SIDE, lay_out, measure_trust

CLUSTERS = 6


def clusters(per_cluster: int, size: int = 12):
    """Embeddings around as many directions, and which one each belongs to."""
    random = np.random.default_rng(1)
    centres = random.normal(size=(CLUSTERS, size))
    which = np.arange(CLUSTERS * per_cluster) % CLUSTERS
    noise = 0.15 * random.normal(size=(len(which), size))
    return (centres[which] + noise).astype(np.float32), which


@pytest.fixture(scope="module")
def placed():
    """As in a library with many more tracks than landmarks: a quarter are landmarks."""
    vectors, which = clusters(40)
    layout = lay_out(vectors[:60], seed=3)
    return vectors, which, layout.place(vectors)


def test_what_sounds_alike_lies_together(placed):
    vectors, which, places = placed
    trust = measure_trust(vectors[60:], places[60:])
    assert trust is not None
    assert trust > 0.9
    distances = np.linalg.norm(places[:, None].astype(float) - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = which[np.argsort(distances, axis=1)[:, :5]]
    assert (nearest == which[:, None]).mean() > 0.97


def test_random_places_are_not_trusted(placed):
    vectors, _, places = placed
    trust = measure_trust(vectors, np.random.default_rng(0).permutation(places))
    assert trust is not None
    assert trust < 0.65


def test_the_map_is_filled_and_both_axes_have_one_scale(placed):
    _, _, places = placed
    low, high = places.min(axis=0), places.max(axis=0)
    assert places.dtype == np.uint16
    assert (high - low).max() > 0.9 * SIDE
    assert abs((low + high) / 2 - SIDE / 2).max() < 0.05 * SIDE


def test_the_same_seed_gives_the_same_map(placed):
    vectors, _, places = placed
    again = lay_out(vectors[:60], seed=3).place(vectors)
    assert np.array_equal(again, places)


def test_landmarks_lie_where_they_were_laid_out(placed):
    vectors, _, places = placed
    layout = lay_out(vectors[:60], seed=3)
    assert np.abs(places[:60] - layout.places).max() < 0.01 * SIDE


def test_only_directions_count(placed):
    vectors, _, places = placed
    assert np.abs(lay_out(2 * vectors[:60], seed=3).place(7 * vectors) - places.astype(int)).max() <= 100


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_a_few_tracks_are_a_map_too(count):
    vectors, _ = clusters(2)
    places = lay_out(vectors[:count], seed=0).place(vectors[:count])
    assert places.shape == (count, 2)
    assert len(np.unique(places, axis=0)) == count


def test_equal_and_silent_audio_lies_in_the_middle():
    for vectors in (np.ones((7, 4), np.float32), np.zeros((3, 4), np.float32)):
        places = lay_out(vectors, seed=0).place(vectors)
        assert np.abs(places.astype(int) - SIDE // 2).max() <= 1


def test_a_few_points_have_no_trustworthiness():
    vectors, _ = clusters(1)
    assert measure_trust(vectors[:2], np.zeros((2, 2), np.uint16)) is None
