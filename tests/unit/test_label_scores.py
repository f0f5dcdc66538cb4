"""Labels with ranges of scores, as queries name them."""

import pytest

from core.errors import Invalid
from core.label_scores import LabelScores, read_label


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sad", "sad"),
        ("sad:0.4..", LabelScores("sad", 0.4)),
        ("sad:..0.2", LabelScores("sad", 0.0, 0.2)),
        ("sad:0.4..0.8", LabelScores("sad", 0.4, 0.8)),
        ("sad:.4...8", LabelScores("sad", 0.4, 0.8)),
        ("sad:0..1", LabelScores("sad", 0.0)),
        ("sad:0..", LabelScores("sad", 0.0)),
        ("mood:sad", "mood:sad"),
        ("mood:sad:0.4..", LabelScores("mood:sad", 0.4)),
        ("bpm:120", "bpm:120"),
        ("so: so", "so: so"),
        ("", ""),
    ],
)
def test_only_a_range_behind_the_last_colon_is_one(text, found):
    assert read_label(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "sad:0.5",
        "sad:..",
        "sad:2..",
        "sad:-1..",
        "sad:a..b",
        "sad:0.8..0.2",
        ":0.4..",
        "sad:0.4..x",
        "sad:1.5",
    ],
)
def test_what_is_no_range_is_said_in_plain_words(text):
    with pytest.raises(Invalid, match=r"names no range of scores from 0 to 1|starts at a higher score"):
        read_label(text)


@pytest.mark.parametrize(
    "text", ["sad", "sad:0.4..", "sad:0..0.2", "sad:0.4..0.8", "sad:0..", "sad:0.00001.."]
)
def test_a_range_is_written_as_it_is_read(text):
    found = read_label(text)
    assert str(found) == text
    assert read_label(str(found)) == found
