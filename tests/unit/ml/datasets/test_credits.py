"""Tags say who made a track where the dataset does not."""

from pathlib import Path
from typing import Any

from core.ml.datasets.credits import Credits, credited, credits_of
from core.ml.datasets.examples import Example


def example(**known: Any) -> Example:
    return Example("rock/1.mp3", Path("/music/rock/1.mp3"), ("rock",), **known)


def test_an_artist_of_the_tags_is_one_of_the_track_or_of_the_album():
    assert credits_of({"artist": "Ann", "albumartist": "Various", "album": "One"}) == Credits("Ann", "One")
    assert credits_of({"albumartist": "Ann"}) == Credits("Ann", None)
    assert credits_of({}) == Credits()


def test_what_the_dataset_says_is_kept():
    known = example(artist="Ann", album="One")
    assert credited(known, Credits("Bob", "Two")) == known


def test_an_album_is_known_by_its_folder_too():
    assert credited(example(), Credits(None, "Greatest Hits")).album == "rock/Greatest Hits"
    assert credited(example(), Credits("Ann", "Unknown Album")) == example(artist="Ann")
