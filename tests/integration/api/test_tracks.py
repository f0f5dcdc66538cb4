"""Tracks, their labels, their neighbours and their embeddings over HTTP."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from core.store.session import SessionFactory
from core.store.tables import Library
from core.store.track_filters import TrackFilter
from core.store.track_pages import list_tracks
from tests.integration.api.gateway import problem_of
from tests.support.builders import make_analysed_track, make_library, make_model, make_track
from tests.support.query_plans import explain

TRACKS = "/api/v1/tracks"


@pytest.fixture
def ids(db: SessionFactory) -> dict[str, str]:
    """Three tracks of one library, one of another, one without a prediction."""
    with db.begin() as session:
        model = make_model(session)
        home, away = make_library(session, name="home"), make_library(session, name="away")
        tracks = [
            make_analysed_track(session, home, model, "rock.mp3", [0.9, 0.2, 0.0], [1, 0, 0, 0]),
            make_analysed_track(session, home, model, "pop.mp3", [0.5, 0.2, 0.0], [1, 0.5, 0, 0]),
            make_analysed_track(session, home, model, "jazz.mp3", [0.05, 0.8, 0.0], [0, 1, 0, 0]),
            make_analysed_track(session, away, model, "far.mp3", [0.7, 0.0, 0.0], [1, 0.1, 0, 0]),
            make_track(session, home, path="new.mp3"),
        ]
        return {track.path: str(track.id) for track in tracks}


def paths(page: dict[str, Any]) -> list[str]:
    return [track["path"] for track in page["items"]]


def test_a_track_shows_labels_scores_and_tags(http, ids):
    track = http.get(f"{TRACKS}/{ids['rock.mp3']}").json()
    assert (track["library"], track["path"], track["tags"]) == ("home", "rock.mp3", {"title": "rock.mp3"})
    assert track["missing"] is False
    assert track["prediction"] == {
        "labels": [
            {"label": "rock", "score": 0.9, "source": "model"},
            {"label": "jazz", "score": 0.2, "source": "model"},
        ],
        "duration_s": 180.0,
        "model": "test-model@1",
        "warnings": [],
        "scores": {"rock": 0.9, "jazz": 0.2, "ambient": 0.0},
    }


def test_a_track_that_no_model_has_analysed_has_no_prediction(http, ids):
    track = http.get(f"{TRACKS}/{ids['new.mp3']}").json()
    assert (track["prediction"], track["tags"]) == (None, None)


def test_tracks_with_unreadable_tags_are_listed_with_the_reason(http, ids, db):
    with db.begin() as session:
        tags_error = "ID3v2: it is cut off."
        lost = make_track(
            session, session.scalars(select(Library)).first(), path="x.mp3", tags_error=tags_error
        )
        make_track(session, path="gone.mp3", tags_error=tags_error, missing_at=lost.seen_at)
    (found,) = http.get(TRACKS, params={"unreadable_tags": True}).json()["items"]
    assert (found["path"], found["tags_error"]) == ("x.mp3", tags_error)
    assert http.get(f"{TRACKS}/{lost.id}").json()["tags_error"] == tags_error
    assert http.get(f"{TRACKS}/{ids['new.mp3']}").json()["tags_error"] is None
    assert "mfa_tracks_with_unreadable_tags 1.0" in http.get("/metrics").text


def test_a_genre_lists_its_tracks_the_most_certain_first(http, ids):
    assert paths(http.get(TRACKS, params={"genre": "ROCK"}).json()) == ["rock.mp3", "far.mp3", "pop.mp3"]
    certain = {"genre": "rock", "min_score": 0.6, "library": "home"}
    assert paths(http.get(TRACKS, params=certain).json()) == ["rock.mp3"]


def test_labels_have_ranges_of_scores_of_their_own(http, ids):
    query = {"genre": ["jazz:0..", "rock:0.6.."], "sort": "score", "library": "home"}
    (found,) = http.get(TRACKS, params=query).json()["items"]
    assert found["path"] == "rock.mp3"
    assert set(found["prediction"]["scores"]) == {"jazz", "rock"}
    body = {
        "labels": {"ambient": "no"},
        "query": {"genre": query["genre"], "library": "home"},
        "dry_run": True,
    }
    assert http.post("/api/v1/corrections", json=body).json()["tracks"] == 1
    wrong = http.get(TRACKS, params={"genre": "rock:0.6"})
    assert problem_of(wrong, 422) == "invalid"
    assert "names no range of scores from 0 to 1" in wrong.json()["detail"]


@pytest.mark.parametrize("query", [{}, {"genre": "rock"}, {"library": "home"}])
def test_pages_show_every_track_once(http, ids, query):
    whole = paths(http.get(TRACKS, params=query).json())
    seen, cursor = [], None
    while True:
        page = http.get(TRACKS, params=query | {"limit": 1} | ({"cursor": cursor} if cursor else {})).json()
        seen += paths(page)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == whole


def test_a_track_can_be_found_by_its_path(http, ids):
    found = http.get(TRACKS, params={"path": "jazz.mp3", "library": "home"}).json()["items"]
    assert [track["id"] for track in found] == [ids["jazz.mp3"]]
    assert http.get(TRACKS, params={"path": "nope.mp3"}).json()["items"] == []


def test_a_path_is_looked_up_in_the_index_of_every_library(session):
    model = make_model(session)
    for library in (make_library(session), make_library(session)):
        session.execute(
            text(
                "INSERT INTO tracks (library_id, path, size, mtime_ns) "
                "SELECT :id, 'a/' || n || '.mp3', 1, 1 FROM generate_series(1, 10000) n"
            ),
            {"id": library.id},
        )
    session.execute(text("ANALYZE tracks"))
    plan = explain(session, lambda: list_tracks(session, model, TrackFilter(path="a/77.mp3")))
    assert "uq_tracks_library_id_path" in plan
    assert "Seq Scan on tracks" not in plan


def test_similar_tracks_come_nearest_first_without_the_track_itself(http, ids):
    answer = http.get(f"{TRACKS}/{ids['rock.mp3']}/similar").json()
    assert (answer["track_id"], answer["model"]) == (ids["rock.mp3"], "test-model@1")
    assert paths(answer) == ["far.mp3", "pop.mp3", "jazz.mp3"]
    assert answer["items"][2]["similarity"] == pytest.approx(0, abs=1e-6)
    within = {"limit": 1, "library": "home"}
    assert paths(http.get(f"{TRACKS}/{ids['rock.mp3']}/similar", params=within).json()) == ["pop.mp3"]


def test_an_embedding_comes_with_its_model(http, ids):
    answer = http.get(f"{TRACKS}/{ids['pop.mp3']}/embedding").json()
    assert answer == {"track_id": ids["pop.mp3"], "model": "test-model@1", "embedding": [1.0, 0.5, 0.0, 0.0]}


@pytest.mark.parametrize("what", ["similar", "embedding"])
def test_what_needs_an_analysis_says_so(http, ids, what):
    assert problem_of(http.get(f"{TRACKS}/{ids['new.mp3']}/{what}"), 409) == "track_not_analysed"


@pytest.mark.parametrize("suffix", ["", "/similar", "/embedding"])
def test_an_unknown_track_is_not_found(http, ids, suffix):
    assert problem_of(http.get(f"{TRACKS}/{uuid4()}{suffix}"), 404) == "track_not_found"
    assert problem_of(http.get(f"{TRACKS}/17{suffix}"), 422) == "invalid"


@pytest.mark.parametrize(
    ("query", "status", "name"),
    [
        ({"genre": "polka"}, 422, "invalid"),
        ({"min_score": 2}, 422, "invalid"),
        ({"min_score": "nan"}, 422, "invalid"),
        ({"limit": 0}, 422, "invalid"),
        ({"limit": 1001}, 422, "invalid"),
        ({"library": "nope"}, 404, "library_not_found"),
        ({"model": "nope"}, 404, "model_not_found"),
        ({"model": "test-model@99999999999999999999"}, 404, "model_not_found"),
    ],
)
def test_wrong_filters_are_explained(http, ids, query, status, name):
    assert problem_of(http.get(TRACKS, params=query), status) == name
