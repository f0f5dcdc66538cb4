"""Regions are named after what stands out in them."""

import numpy as np

from core.ml.maps.layout import SIDE
from core.ml.maps.regions import GRIDS, NO_LABEL, name_regions

NAMES = ["rock", "jazz", "folk"]


def around(x: float, y: float, count: int):
    spread = np.random.default_rng(2).uniform(-0.02, 0.02, size=(count, 2))
    return ((np.array([x, y]) + spread) * SIDE).astype(np.uint16)


def test_a_label_names_where_it_is_more_frequent_than_elsewhere():
    """Rock is everywhere, so it names only the corner that has nothing else."""
    places = np.concatenate([around(0.1, 0.1, 60), around(0.1, 0.1, 60), around(0.9, 0.9, 120)])
    labels = np.array([0] * 60 + [1] * 60 + [0] * 120)
    regions = name_regions(places, labels, NAMES)
    found = {(region.label, region.x > SIDE / 2) for region in regions}
    assert found == {("jazz", False), ("rock", True)}
    jazz = next(region for region in regions if region.label == "jazz")
    assert (jazz.level, jazz.tracks) == (0, 60)
    assert abs(jazz.x - 0.1 * SIDE) < 0.03 * SIDE


def test_nearer_grids_name_smaller_regions():
    """Folk is lost among rock in a large cell, and has a small one to itself."""
    places = np.concatenate([around(0.6, 0.6, 200), around(0.45, 0.45, 12), around(0.1, 0.9, 100)])
    labels = np.array([0] * 200 + [2] * 12 + [1] * 100)
    levels = {region.level for region in name_regions(places, labels, NAMES) if region.label == "folk"}
    assert levels
    assert 0 not in levels


def test_a_label_may_name_several_regions():
    places = np.concatenate([around(0.1, 0.1, 20), around(0.9, 0.9, 30), around(0.5, 0.5, 60)])
    labels = np.array([1] * 50 + [0] * 60)
    of_all = [region for region in name_regions(places, labels, NAMES) if region.level == 0]
    assert [(region.label, region.tracks) for region in of_all] == [("rock", 60), ("jazz", 30), ("jazz", 20)]


def test_few_tracks_and_tracks_without_a_label_name_nothing():
    places = around(0.5, 0.5, 10)
    assert name_regions(places, np.array([0, 1] + [NO_LABEL] * 8), NAMES) == []
    assert name_regions(places, np.full(10, NO_LABEL), []) == []


def test_a_map_of_one_label_is_named_after_it():
    regions = name_regions(around(0.5, 0.5, 30), np.zeros(30, int), NAMES)
    assert (regions[0].level, regions[0].label) == (0, "rock")
    assert len(regions) >= len(GRIDS)
