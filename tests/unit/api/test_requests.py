"""What clients ask for in headers and names."""

import pytest

from api.uploads import display_name
from api.waiting import preferred_wait_s


@pytest.mark.parametrize(
    ("prefer", "wait_s"),
    [
        ("wait=10", 10),
        ("WAIT = 10", 10),
        ('wait="10"', 10),
        ("respond-async, wait=10", 10),
        ("wait=10; strict, return=minimal", 10),
        ("wait=0", 0),
        ("wait=121", 120),
        ("wait=999999999", 120),
        ("wait=9999999999999999999999", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=", None),
        ("wait=٣", None),
        ("await=5", None),
        ("return=minimal", None),
        ("", None),
        (None, None),
    ],
)
def test_a_wish_that_cannot_be_understood_is_no_wish(prefer, wait_s):
    assert preferred_wait_s(prefer) == wait_s


@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        (None, ""),
        ("song.mp3", "song.mp3"),
        ("a/b\\c.mp3", "c.mp3"),
        ("..", ".."),
        ("a\0b\r\n.mp3", "ab.mp3"),
        ("évi d\u202egnp.mp3", "évi dgnp.mp3"),
        ("x" * 300, "x" * 255),
    ],
)
def test_a_file_name_is_shown_without_folders_and_tricks(filename, shown):
    assert display_name(filename) == shown
