import time

import numpy as np
import pytest

from core.ml.training.batches import Sampler, prepared


def epoch_of(sampler: Sampler, epoch: int) -> list[int]:
    order = sampler.order(epoch)
    return [track for step in range(sampler.steps) for track in sampler.draw(order, epoch, step)[0]]


def test_an_epoch_shows_every_track_so_often_as_asked_for():
    sampler = Sampler([3, 5, 7, 9], patches_per_track=2, batch_size=4, seed=0)
    assert sampler.steps == 2
    assert sorted(epoch_of(sampler, 0)) == [3, 3, 5, 5, 7, 7, 9, 9]


@pytest.mark.parametrize("count", [10, 12, 13, 15, 63])
def test_every_track_is_in_every_epoch_and_batches_are_nearly_equal(count):
    sampler = Sampler(range(count), patches_per_track=1, batch_size=8, seed=0)
    order = sampler.order(3)
    sizes = [len(sampler.draw(order, 3, step)[0]) for step in range(sampler.steps)]
    assert sorted(epoch_of(sampler, 3)) == list(range(count))
    assert max(sizes) - min(sizes) <= 1
    assert 4 <= min(sizes) <= max(sizes) <= 8


def test_a_fold_takes_as_many_steps_as_the_fit_on_all_tracks():
    """Of 100 tracks a fold has 80; each of them comes once or twice."""
    whole, fold = (Sampler(range(count), 1, 8, seed=0, epoch_tracks=100) for count in (100, 80))
    assert whole.steps == fold.steps == 13
    shown = np.bincount(epoch_of(fold, 0), minlength=80)
    assert shown.sum() == 100
    assert set(shown) == {1, 2}


def test_fewer_tracks_than_a_batch_make_one_smaller_batch():
    sampler = Sampler(range(3), patches_per_track=1, batch_size=8, seed=0)
    assert sampler.steps == 1
    assert sorted(epoch_of(sampler, 0)) == [0, 1, 2]


def test_a_step_can_be_drawn_again_without_those_before_it():
    sampler = Sampler(range(20), patches_per_track=1, batch_size=4, seed=5)
    again = Sampler(range(20), patches_per_track=1, batch_size=4, seed=5)
    tracks, positions = sampler.draw(sampler.order(2), 2, 3)
    same_tracks, same_positions = again.draw(again.order(2), 2, 3)
    assert tracks == same_tracks
    assert positions.tolist() == same_positions.tolist()
    assert ((positions >= 0) & (positions < 1)).all()


def test_epochs_and_seeds_differ():
    sampler, other = (Sampler(range(20), 1, 4, seed) for seed in (5, 6))
    assert epoch_of(sampler, 0) != epoch_of(sampler, 1)
    assert epoch_of(sampler, 0) != epoch_of(other, 0)


@pytest.mark.parametrize(("size", "count"), [(8, 8), (6, 6), (8, 7), (2, 1)])
def test_processes_share_a_batch_evenly_and_without_overlap(monkeypatch, size, count):
    sampler = Sampler(range(count), 1, size, seed=0)
    whole, places = sampler.draw(sampler.order(0), 0, 0)
    monkeypatch.setattr("core.ml.training.batches.world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr("core.ml.training.batches.rank", lambda rank=rank: rank)
        shares.append(sampler.draw(sampler.order(0), 0, 0))
    lengths = {len(tracks) for tracks, _ in shares}
    assert lengths == {max(1, len(whole) // 2)}
    if count > 1:
        drawn = [track for tracks, _ in shares for track in tracks]
        assert sorted(drawn) == sorted(whole[: len(drawn)])
        assert np.isin(np.concatenate([positions for _, positions in shares]), places).all()


@pytest.mark.parametrize(("count", "processes"), [(1, 1), (3, 2), (4, 2), (1, 2)])
def test_no_process_gets_fewer_than_it_needs(monkeypatch, count, processes):
    sampler = Sampler(range(count), 1, 4, seed=0, least=2)
    monkeypatch.setattr("core.ml.training.batches.world_size", lambda: processes)
    for rank in range(processes):
        monkeypatch.setattr("core.ml.training.batches.rank", lambda rank=rank: rank)
        tracks, positions = sampler.draw(sampler.order(0), 0, 0)
        assert len(tracks) == len(positions) == 2


def test_batches_come_in_order_and_waiting_is_measured():
    def slow(step: int) -> int:
        time.sleep(0.02)
        return step

    found = list(prepared(slow, range(2, 7)))
    assert [step for step, _ in found] == [2, 3, 4, 5, 6]
    assert sum(waited for _, waited in found) >= 0.08


def test_ready_batches_are_not_waited_for():
    waits = []
    for _, waited in prepared(lambda step: step, range(6)):
        waits.append(waited)
        time.sleep(0.01)
    assert sum(waits[1:]) < 0.01


def test_an_error_reaches_the_consumer():
    def broken(step: int) -> int:
        raise ValueError("no batch")

    with pytest.raises(ValueError, match="no batch"):
        next(prepared(broken, range(3)))


def test_it_can_be_left_early():
    made = []
    batches = prepared(lambda step: made.append(step), range(1000))
    next(batches)
    batches.close()
    assert len(made) < 10
