"""A seed says what happens, and a scale how much of it."""

from collections import Counter

import pytest

from tests.faults.schedule import FAILPOINTS, FLUSHES, SCALES, Fault, draw


@pytest.mark.parametrize("name", SCALES)
def test_the_same_seed_draws_the_same_faults(name):
    scale = SCALES[name]
    assert draw(7, scale) == draw(7, scale)
    assert draw(7, scale) != draw(8, scale)


@pytest.mark.parametrize(
    ("name", "runs", "least"),
    [
        ("ci", 1, {"tracks": 300, "kills": 10, "flushes": 2, "restarts": 1, "zombies": 1}),
        ("full", 5, {"tracks": 10_000, "kills": 200, "flushes": 20, "restarts": 20, "zombies": 20}),
    ],
)
def test_a_scale_holds_what_it_promises(name, runs, least):
    scale = SCALES[name]
    drawn = Counter(planned.fault for planned in draw(1, scale))
    found = {
        "tracks": scale.tracks,
        "kills": scale.kills,
        "flushes": sum(drawn[fault] for fault in FLUSHES),
        "restarts": drawn[Fault.RESTART_DATABASE],
        "zombies": drawn[Fault.ZOMBIE],
    }
    assert all(runs * found[what] >= least[what] for what in least), found
    assert {fault: count for fault, count in drawn.items() if fault is not Fault.FAILPOINT} == scale.faults


def test_at_full_scale_every_point_is_passed():
    points = [planned.point for planned in draw(1, SCALES["full"]) if planned.fault is Fault.FAILPOINT]
    assert sorted(points) == sorted(FAILPOINTS)
