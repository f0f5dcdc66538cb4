"""Token buckets, at times that a test decides about."""

import pytest

from api.security import rates
from api.security.rates import BURST_S, Buckets


def granted(buckets: Buckets, caller: bytes, now: float, tries: int) -> int:
    return sum(buckets.take(caller, now) == 0 for _ in range(tries))


@pytest.mark.parametrize("rate", [0.1, 0.3, 1, 7, 50, 1e5])
def test_a_burst_is_what_comes_in_ten_seconds_and_one_at_least(rate):
    size = max(1, int(rate * BURST_S))
    tries = size + 5
    assert granted(Buckets(rate), b"a", 1000.0, tries) == size


def test_tokens_come_back_with_time_and_waiting_as_told_is_enough():
    buckets, now = Buckets(2), 1000.0
    assert granted(buckets, b"a", now, 100) == 20
    for _ in range(50):
        wait_s = buckets.take(b"a", now)
        assert 0 < wait_s <= 0.5
        assert buckets.take(b"a", now + 0.9 * wait_s) > 0
        now += wait_s + 1e-9  # the client is told whole seconds, rounded up
        assert buckets.take(b"a", now) == 0
    assert granted(buckets, b"a", now + 3, 100) == 6
    assert granted(buckets, b"a", now + 3600, 100) == 20


def test_callers_have_buckets_of_their_own_and_they_are_bounded(monkeypatch):
    monkeypatch.setattr(rates, "MAX_CALLERS", 10)
    buckets = Buckets(1)
    assert granted(buckets, b"a", 0.0, 20) == 10
    assert granted(buckets, b"b", 0.0, 20) == 10
    for number in range(100):
        buckets.take(b"b", 0.0)
        buckets.take(str(number).encode(), 0.0)
    assert sum(str(number).encode() in buckets for number in range(100)) == 9
    assert buckets.take(b"b", 0.0) > 0
    assert b"a" not in buckets
