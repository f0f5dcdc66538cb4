"""The page of all tracks: what the address chooses, how it is exported and corrected, who may do what."""

import csv
import html
import io
import re

import httpx
import pytest

from tests.integration.api.gateway import bearer
from tests.support.builders import (
    make_analysed_track,
    make_api_key,
    make_finished_job,
    make_library,
    make_model,
    make_track,
)

HTML = {"Accept": "text/html"}
OWN = HTML | {"Sec-Fetch-Site": "same-origin"}
HOSTILE = "<script>alert(1)</script>.mp3"


@pytest.fixture
def ids(db) -> dict[str, str]:
    with db.begin() as session:
        model = make_model(session)
        home = make_library(session, name="home")
        tracks = [
            make_analysed_track(session, home, model, "rock.mp3", [0.9, 0.2, 0.0], [1, 0, 0, 0]),
            make_analysed_track(session, home, model, "jazz.mp3", [0.05, 0.8, 0.0], [0, 1, 0, 0]),
            make_track(session, home, path="new.mp3", mtime_ns=2**62),
            make_analysed_track(
                session, home, model, HOSTILE, [0.5, 0.0, 0.0], [1, 0.1, 0, 0], tags={"title": "<b>&"}
            ),
        ]
        gone = make_track(session, home, path="gone.mp3", missing_at=tracks[0].seen_at)
        make_finished_job(session, home, model, tracks[:2], [tracks[2]])
        return {track.path: str(track.id) for track in [*tracks, gone]}


def titles(page: httpx.Response) -> list[str]:
    return re.findall(r'<th scope="row"><a href="\./tracks/[^"]+">([^<]*)</a>', page.text)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["&lt;b&gt;&amp;", "jazz.mp3", "new", "rock.mp3"]),
        ("?q=&genre=&not_genre=&min_score=&max_score=&library=&sort=", 4),
        ("?genre=rock", ["rock.mp3", "&lt;b&gt;&amp;"]),
        ("?genre=rock&genre=&not_genre=jazz", ["&lt;b&gt;&amp;"]),
        ("?genre=rock&min_score=0.6", ["rock.mp3"]),
        ("?sort=score", 4),
        ("?missing=true", ["gone"]),
        ("?corrected=true", []),
        ("?library=home&q=JAZZ", ["jazz.mp3"]),
    ],
)
def test_the_address_says_which_tracks_are_shown(http, ids, query, expected):
    page = http.get(f"/library{query}", headers=HTML)
    assert page.status_code == 200, page.text
    found = titles(page)
    assert found == expected if isinstance(expected, list) else len(found) == expected
    assert "<script>alert" not in page.text


def test_what_cannot_be_chosen_is_said_in_the_page(http, ids):
    page = http.get("/library?genre=polka", headers=HTML)
    assert page.status_code == 422
    assert "has no label &#39;polka&#39;" in page.text
    assert http.get("/library?library=nowhere", headers=HTML).status_code == 404


def test_where_no_track_has_a_label_all_can_be_ranked_by_its_score(http, ids):
    nothing = http.get("/library?genre=rock&genre=ambient", headers=HTML)
    assert titles(nothing) == []
    address = re.search(r'href="(\?[^"]*min_score=0\.0[^"]*)"', nothing.text)
    assert address is not None
    ranked = http.get(f"/library{html.unescape(address[1])}", headers=HTML)
    assert titles(ranked) == ["rock.mp3", "&lt;b&gt;&amp;", "jazz.mp3"]


def test_an_empty_library_says_so(http, db):
    page = http.get("/library", headers=HTML)
    assert "There is no model yet" in page.text
    with db.begin() as session:
        make_model(session)
    assert "There are no tracks yet" in http.get("/library", headers=HTML).text


def test_the_export_has_what_the_page_finds(http, ids):
    address = re.search(
        r'href="\./(api/v1/tracks/export\?format=csv[^"]*)"', http.get("/library?genre=rock").text
    )
    assert address
    answer = http.get(f"/{address[1].replace('&amp;', '&')}")
    assert answer.headers["content-disposition"] == 'attachment; filename="tracks.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["path"] for row in rows] == ["rock.mp3", HOSTILE]
    assert rows[0]["labels"] == "rock=0.9; jazz=0.2"
    playlist = http.get("/api/v1/tracks/export?format=m3u&genre=jazz&sort=path").text
    assert playlist.splitlines()[0] == "#EXTM3U"
    assert "#EXTINF:180,jazz.mp3\n/music/home/jazz.mp3" in playlist
    assert http.get("/api/v1/tracks/export?genre=polka").status_code == 422


def test_all_that_is_found_is_corrected_after_a_preview_and_undone(http, ids):
    form = {"label": "Ambient", "verdict": "yes"}
    preview = http.post("/library/correct?genre=rock", data=form, headers=OWN)
    assert "would change 2 of 2 tracks" in preview.text
    assert titles(http.get("/library?corrected=true", headers=HTML)) == []
    done = http.post("/library/correct?genre=rock", data=form | {"confirmed": "true"}, headers=OWN)
    assert done.status_code == 303
    page = http.get(f"/library/{done.headers['location']}", headers=HTML)
    assert "2 verdicts were written" in page.text
    assert len(titles(http.get("/library?corrected=true&genre=ambient", headers=HTML))) == 2
    change = re.search(r'name="change" value="([^"]+)"', page.text)
    assert change
    assert http.post("/library/undo", data={"change": change[1]}, headers=OWN).status_code == 303
    assert titles(http.get("/library?corrected=true", headers=HTML)) == []


def test_a_label_that_nothing_has_is_refused_beside_its_field(http, ids):
    answer = http.post("/library/correct", data={"label": "rok", "verdict": "yes"}, headers=OWN)
    assert answer.status_code == 422
    assert 'id="label-wrong"' in answer.text
    assert "did you mean" in answer.text


def test_a_bulk_correction_of_rest_takes_the_filters_of_the_list(http, ids):
    body = {"labels": {"ambient": "no"}, "query": {"genre": ["rock"], "not_genre": ["jazz"]}}
    assert http.post("/api/v1/corrections", json=body).json()["tracks"] == 1


def test_a_track_shows_what_is_known_of_it(http, ids):
    page = http.get(f"/tracks/{ids['rock.mp3']}", headers=HTML).text
    assert 'aria-label="score 0.90, threshold 0.10"' in page
    assert "Sounds like it" in page
    assert ids[HOSTILE] in page
    assert page.count("<h1") == 1
    assert f'src="../api/v1/tracks/{ids["rock.mp3"]}/audio"' in page
    assert "&lt;b&gt;&amp;" in http.get(f"/tracks/{ids[HOSTILE]}", headers=HTML).text
    assert http.get(f"/tracks/{ids['rock.mp3']}?model=nothing", headers=HTML).status_code == 404


def test_a_track_that_failed_says_why(http, ids):
    page = http.get(f"/tracks/{ids['new.mp3']}", headers=HTML).text
    assert "The content is not audio." in page
    assert 'class="verdicts"' not in page
    answer = http.get(f"/api/v1/tracks/{ids['new.mp3']}").json()
    assert answer["failure"]["code"] == "not_audio"
    assert http.get(f"/api/v1/tracks/{ids['rock.mp3']}").json()["failure"] is None
    assert "was gone" in http.get(f"/tracks/{ids['gone.mp3']}", headers=HTML).text


def test_a_label_is_corrected_and_the_correction_undone(http, ids):
    track = f"/tracks/{ids['rock.mp3']}"
    answer = http.post(f"{track}/labels", data={"label": "rock", "verdict": "no"}, headers=OWN)
    assert answer.status_code == 303
    page = http.get(track, headers=HTML).text
    assert 'aria-pressed="true" aria-label="no to rock"' in page
    assert http.get(f"/api/v1{track}").json()["corrections"] == {"rock": "no"}
    change = re.search(r'name="change" value="([^"]+)"', page)
    assert change
    http.post(f"{track}/undo", data={"change": change[1]}, headers=OWN)
    assert http.get(f"/api/v1{track}").json()["corrections"] == {}
    http.post(f"{track}/labels", data={"label": "rock", "verdict": "yes"}, headers=OWN)
    http.post(f"{track}/labels", data={"label": "rock", "verdict": ""}, headers=OWN)
    assert http.get(f"/api/v1{track}").json()["corrections"] == {}


def test_a_new_label_needs_a_word_more(http, ids):
    track = f"/tracks/{ids['rock.mp3']}"
    form = {"label": "zydeco", "verdict": "yes"}
    refused = http.post(f"{track}/labels", data=form, headers=OWN)
    assert refused.status_code == 422
    assert 'name="allow_new"' in refused.text
    assert http.post(f"{track}/labels", data=form | {"allow_new": "true"}, headers=OWN).status_code == 303
    assert "only people know this label" in http.get(track, headers=HTML).text


def test_models_are_listed_with_what_they_say(http, ids, db):
    (said,) = http.get(f"/api/v1/tracks/{ids['jazz.mp3']}/predictions").json()["items"]
    assert (said["model"], said["coverage"]) == ("test-model@1", "full")
    assert [each["label"] for each in said["labels"]] == ["jazz"]


def test_who_may_only_read_sees_no_forms_that_write(keyed_http, ids, db):
    with db.begin() as session:
        _, secret = make_api_key(session, "read")
    reader = HTML | bearer(secret)
    for path in ("/library", f"/tracks/{ids['rock.mp3']}"):
        page = keyed_http.get(path, headers=reader)
        assert page.status_code == 200
        assert set(re.findall(r'method="post" action="([^"]+)"', page.text)) <= {"./logout", "../logout"}
    refused = keyed_http.post("/library/correct", data={"label": "rock", "verdict": "no"}, headers=reader)
    assert refused.status_code == 403
