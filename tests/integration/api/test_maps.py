"""The map over REST: its points, what their colours tell, and what lies where."""

import httpx
import pytest

from core.store import areas
from core.store.session import SessionFactory
from tests.integration.api.gateway import problem_of
from tests.support.builders import (
    make_analysed_track,
    make_library,
    make_map,
    make_model,
    make_prediction,
    make_track,
)

A, B, C = (bytes([number]) * 32 for number in (1, 2, 3))


@pytest.fixture
def drawn(db: SessionFactory) -> SessionFactory:
    """Three points: A of a track and its copy in another library, B, and C whose track is gone."""
    with db.begin() as session:
        home, other, model = (
            make_library(session, name="home"),
            make_library(session, name="other"),
            make_model(session),
        )
        make_analysed_track(
            session, home, model, "a.mp3", [0.5, 0.2, 0.0], content_hash=A, tags={"title": "Alpha"}
        )
        make_track(session, other, path="copy.mp3", content_hash=A)
        make_analysed_track(
            session, other, model, "b.mp3", [1.0, 0.0, 0.0], content_hash=B, tags={"title": "Beta"}
        )
        make_track(session, home, path="new.mp3", content_hash=b"n" * 32)
        make_map(session, model, [(C, 5, 6), (A, 1, 2), (B, 3, 65_535)])
        second = make_model(session, alias=None, name="second", version=1)
        make_prediction(session, second, A, scores=[0.9, 0.2, 0.0])
        make_prediction(session, second, B, scores=[0.2, 0.9, 0.0])
    return db


def test_the_map_says_what_it_shows_and_what_not(http: httpx.Client, drawn):
    found = http.get("/api/v1/map").raise_for_status().json()
    assert (found["points"], found["tracks"], found["labels"]) == (3, 3, ["rock"])
    assert (found["model"], found["library"]) == ("test-model@1", None)
    unplaced = http.get("/api/v1/map/unplaced").json()
    assert (unplaced["tracks"], unplaced["complete"], unplaced["map_id"]) == (1, True, found["map_id"])
    assert found["regions"][0]["label"] == "rock"


def test_points_come_in_one_order_and_only_once(http: httpx.Client, drawn):
    points = http.get("/api/v1/map/points")
    assert points.headers["content-type"] == "application/octet-stream"
    assert points.content == bytes([1, 0, 2, 0, 3, 0, 255, 255, 5, 0, 6, 0])
    for path in ("/api/v1/map/points", "/api/v1/map/colours", "/api/v1/map/density.png"):
        answer = http.get(path)
        again = http.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert http.get(path, headers={"If-None-Match": '"other"'}).content == answer.content
    assert http.get("/api/v1/map/density.png").headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("query", "colours"),
    [
        ("", [1, 1, 1]),
        ("?by=library", [1, 2, 0]),
        ("?by=duplicates", [2, 1, 0]),
        ("?by=score&label=Rock", [128, 255, 0]),
        ("?by=disagreement&against=second", [1, 2, 0]),
    ],
)
def test_a_byte_per_point_tells_its_colour(http: httpx.Client, drawn, query, colours):
    assert list(http.get(f"/api/v1/map/colours{query}").content) == colours


@pytest.mark.parametrize(
    "query", ["?by=score", "?label=rock", "?by=disagreement", "?against=second", "?by=score&label=polka"]
)
def test_colours_that_tell_nothing_are_refused(http: httpx.Client, drawn, query):
    assert problem_of(http.get(f"/api/v1/map/colours{query}"), 422) == "invalid"


def test_what_lies_at_a_point(http: httpx.Client, drawn):
    point = http.get("/api/v1/map/points/0").json()
    assert (point["x"], point["y"]) == (1, 2)
    assert [track["path"] for track in point["tracks"]] == ["a.mp3", "copy.mp3"]
    assert http.get("/api/v1/map/points/2").json()["tracks"] == []
    assert problem_of(http.get("/api/v1/map/points/3"), 404) == "not_found"


def test_where_tracks_lie_that_are_searched_for(http: httpx.Client, drawn):
    found = http.get("/api/v1/map/matches", params={"text": "beta"}).json()
    assert (found["places"], found["complete"]) == ([1], True)
    assert http.get("/api/v1/map/matches", params={"genre": "rock", "library": "home"}).json()["places"] == [
        0
    ]
    assert http.get("/api/v1/map/matches", params={"text": "nothing"}).json()["places"] == []


def test_without_a_map_it_is_said_how_to_get_one(http: httpx.Client, drawn):
    for path in ("", "/unplaced", "/points", "/colours", "/density.png", "/points/0"):
        answer = http.get(f"/api/v1/map{path}", params={"library": "home"})
        assert problem_of(answer, 404) == "map_not_found"
        assert "kind `map`" in answer.json()["detail"]


def test_a_map_is_submitted_like_any_job(http: httpx.Client, drawn):
    answer = http.post("/api/v1/jobs", json={"kind": "map", "params": {"library": "home", "seed": 3}})
    assert answer.status_code == 202
    job = answer.json()
    assert (job["kind"], job["progress"]["total"]) == ("map", 1)
    assert job["params"] == {"library": "home", "model": "test-model@1", "seed": 3}
    for params in ({"seed": -1}, {"size": 3}):
        assert http.post("/api/v1/jobs", json={"kind": "map", "params": params}).status_code == 422


SQUARE = "0,0,4,0,4,9,0,9"  # around the point of A


def area_of(http: httpx.Client, corners: str = SQUARE) -> str:
    return f"{http.get('/api/v1/map').json()['map_id']}:{corners}"


def paths(answer: httpx.Response) -> set[str]:
    return {track["path"] for track in answer.raise_for_status().json()["items"]}


def test_the_tracks_in_an_area_are_a_query_like_any_other(http: httpx.Client, drawn):
    area = area_of(http)
    assert paths(http.get("/api/v1/tracks", params={"area": area})) == {"a.mp3", "copy.mp3"}
    both = {"area": area, "library": "other"}
    assert paths(http.get("/api/v1/tracks", params=both)) == {"copy.mp3"}
    assert http.get("/api/v1/tracks/facets", params={"area": area}).json()["tracks"] == 2
    exported = http.get("/api/v1/tracks/export", params={"area": area, "sort": "path"}).text
    assert exported.count("\n") == 3
    body = {"query": {"area": area}, "labels": {"jazz": "yes"}}
    assert http.post("/api/v1/corrections", json=body).raise_for_status().json()["tracks"] == 2


def test_an_area_may_have_any_shape(http: httpx.Client, drawn):
    """The point of A is (1, 2): the notch of this polygon leaves it out."""
    notched = "0,0,4,0,4,9,2,9,2,1,0,1"
    assert paths(http.get("/api/v1/tracks", params={"area": area_of(http, notched)})) == set()
    everything = "0,0,65535,0,65535,65535,0,65535"
    found = paths(http.get("/api/v1/tracks", params={"area": area_of(http, everything)}))
    assert found == {"a.mp3", "copy.mp3", "b.mp3"}


@pytest.mark.parametrize(
    "area",
    ["nonsense", "{map}:1,2,3,4", "{map}:1,2,3,4,5,6,7", "-" * 36 + ":1,2,3,4,5,6", "{map}:1,2,3,4,5,-6"],
)
def test_what_is_no_area_is_refused(http: httpx.Client, drawn, area):
    map_id = http.get("/api/v1/map").json()["map_id"]
    answer = http.get("/api/v1/tracks", params={"area": area.format(map=map_id)})
    assert problem_of(answer, 422) == "invalid"


def test_an_area_of_many_points_finds_the_same_tracks(http: httpx.Client, drawn, monkeypatch):
    monkeypatch.setattr(areas, "FEW", 0)
    found = paths(http.get("/api/v1/tracks", params={"area": area_of(http), "library": "home"}))
    assert found == {"a.mp3"}


def test_an_area_of_a_map_that_is_gone_says_so(http: httpx.Client, drawn):
    answer = http.get("/api/v1/tracks", params={"area": f"{'0' * 8}-0000-0000-0000-{'0' * 12}:{SQUARE}"})
    assert problem_of(answer, 422) == "invalid"
    assert "a newer one was drawn" in answer.json()["detail"]
