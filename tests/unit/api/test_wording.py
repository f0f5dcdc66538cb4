"""Numbers, times and durations as people read them."""

from datetime import UTC, datetime, timedelta

import pytest

from api.pages import wording

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (59, "59 s ago"),
        (61, "1 min ago"),
        (7300, "2 h ago"),
        (3 * 86400, "3 d ago"),
        (40 * 86400, "2026-01-20"),
    ],
)
def test_ago(seconds, text):
    assert wording.ago(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (7300, "2 h 1 min"),
        (3600, "1 h"),
        (3601, "1 h"),
        (90000, "1 d 1 h"),
    ],
)
def test_span(seconds, text):
    assert wording.span(seconds) == text


def test_numbers():
    assert wording.count(1234567) == "1\u202f234\u202f567"
    assert (wording.percent(None), wording.percent(12.4)) == ("–", "12\u202f%")
    assert wording.exact(NOW) == "2026-03-01 12:00:00 UTC"
