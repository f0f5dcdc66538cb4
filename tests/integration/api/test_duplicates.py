"""Duplicates over HTTP."""

import pytest
from sqlalchemy import text

from core.store.near_audio import MEASURED
from core.store.registry import _embedding_index_ddl
from tests.integration.api.gateway import problem_of
from tests.support.builders import make_analysed_track, make_library, make_model, make_track

DUPLICATES = "/api/v1/duplicates"


@pytest.fixture
def ids(db) -> dict[str, str]:
    """Two encodings of a song, one of them twice, and two other songs."""
    (sha256,) = MEASURED
    with db.begin() as session:
        model, home = make_model(session, sha256=sha256), make_library(session, name="home")
        session.execute(text(_embedding_index_ddl(model)))
        song = make_analysed_track(session, home, model, "song.flac", size=900)
        tracks = [
            song,
            make_track(session, home, path="song copy.flac", content_hash=song.content_hash, size=901),
            make_analysed_track(session, home, model, "song.mp3", embedding=[1.0, 0.05, 0.0, 0.0], size=90),
            make_analysed_track(session, home, model, "live.mp3", embedding=[1.0, 0.6, 0.0, 0.0]),
            make_analysed_track(session, home, model, "other.mp3", embedding=[0.0, 1.0, 0.0, 0.0]),
        ]
        return {track.path: str(track.id) for track in tracks}


def test_equal_audio_and_encodings_of_a_recording_are_listed(http, ids):
    exact = http.get(DUPLICATES).json()
    assert (exact["compared"], exact["next_cursor"]) == (5, None)
    assert [[track["path"] for track in group["tracks"]] for group in exact["items"]] == [
        ["song copy.flac", "song.flac"]
    ]
    similar = http.get(DUPLICATES, params={"kind": "similar", "library": "home"}).json()
    (group,) = similar["items"]
    assert (group["kind"], group["count"]) == ("similar", 3)
    assert group["tracks"][2] | {"similarity": None} == {
        "track_id": ids["song.mp3"],
        "library": "home",
        "path": "song.mp3",
        "size": 90,
        "duration_s": 180.0,
        "kind": "similar",
        "similarity": None,
    }
    assert group["tracks"][2]["similarity"] == pytest.approx(0.99875, abs=1e-4)


def test_similar_tracks_come_without_duplicates_unless_asked_for(http, ids):
    similar = f"/api/v1/tracks/{ids['song.flac']}/similar"
    assert [near["path"] for near in http.get(similar).json()["items"]] == ["live.mp3", "other.mp3"]
    everything = http.get(similar, params={"duplicates": True}).json()["items"]
    assert [near["path"] for near in everything] == ["song copy.flac", "song.mp3", "live.mp3", "other.mp3"]


@pytest.mark.parametrize(
    ("query", "status", "name"),
    [
        ({"kind": "alike"}, 422, "invalid"),
        ({"limit": 201}, 422, "invalid"),
        ({"library": "nope"}, 404, "library_not_found"),
        ({"model": "nope"}, 404, "model_not_found"),
        ({"cursor": "x"}, 422, "invalid_cursor"),
    ],
)
def test_wrong_queries_are_explained(http, ids, query, status, name):
    assert problem_of(http.get(DUPLICATES, params=query), status) == name


def test_a_model_without_measured_limits_is_refused_for_near_duplicates(http, db):
    with db.begin() as session:
        make_model(session)
    assert problem_of(http.get(DUPLICATES, params={"kind": "similar"}), 422) == "duplicates_not_measured"
