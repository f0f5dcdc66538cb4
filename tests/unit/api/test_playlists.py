"""Entries of playlists."""

from pathlib import Path

import pytest

from api import schemas
from api.examples import TRACK
from api.playlists import m3u_entry


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("jazz/song.mp3", "/music/jazz/song.mp3"),
        ("a\nb\r.mp3", "file:///music/a%0Ab%0D.mp3"),
        ("a\u2028b.mp3", "file:///music/a%E2%80%A8b.mp3"),
    ],
)
def test_a_file_takes_one_line_whatever_its_name(path, place):
    track = schemas.Track.model_validate(
        TRACK | {"path": path, "tags": {"title": "A\nB"}, "prediction": None}
    )
    assert m3u_entry(track, Path("/music")) == f"#EXTINF:-1,A B\n{place}\n"
