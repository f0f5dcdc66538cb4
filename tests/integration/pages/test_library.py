"""The page of all tracks: what the address chooses, how it is exported and corrected, who may do what."""

import csv
import html
import io
import re

import httpx
import pytest

from core.store.tables import Library
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
FIELDS = ("label", "has", "low", "high")
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
        ("?text=jazz", ["jazz.mp3"]),
        ("?genre=jazz:0..0.5&genre=rock:0.4..", ["rock.mp3", "&lt;b&gt;&amp;"]),
        ("?genre=rock:0..&not_genre=rock:0.8..&sort=path", ["&lt;b&gt;&amp;", "jazz.mp3"]),
        ("?sort=duration&suffix=.mp3", 4),
        ("?corrected=false", 4),
    ],
)
def test_the_address_says_which_tracks_are_shown(http, ids, query, expected):
    page = http.get(f"/library{query}", headers=HTML)
    assert page.status_code == 200, page.text
    found = titles(page)
    assert found == expected if isinstance(expected, list) else len(found) == expected
    assert "<script>alert" not in page.text


def follow(http: httpx.Client, page: httpx.Response, link: str) -> httpx.Response:
    """The page that a link of the page leads to, by the beginning of its text."""
    found = re.search(rf'<a href="([^"]*)"[^>]*>{link}', page.text)
    assert found, link
    return http.get(f"/library{html.unescape(found[1])}", headers=HTML)


def test_what_tracks_have_is_counted_and_narrows_the_list(http, ids):
    page = http.get("/library", headers=HTML)
    groups = re.findall(r'<h2 id="facet-\d+">([^<]+)</h2>', page.text)
    assert groups == ["Genre", "State", "Kind of file"]
    facets = page.text[page.text.index('id="facets"') :]
    each = r">(rock|jazz|ambient|.mp3|file is missing)</a>.*?number\">(\d+)</span>"
    counts = re.findall(each, facets, re.S)
    assert dict(counts) == {"rock": "2", "jazz": "2", "ambient": "0", ".mp3": "4", "file is missing": "1"}
    rock = follow(http, page, 'rock</a>\\s*<a class="not"')
    assert titles(rock) == ["rock.mp3", "&lt;b&gt;&amp;"]
    both = follow(http, rock, 'jazz</a>\\s*<a class="not"')
    assert titles(both) == ["rock.mp3"]
    assert titles(follow(http, both, "rock<span aria-hidden")) == ["jazz.mp3", "rock.mp3"]
    without = re.search(r'class="not" href="([^"]*)" aria-label="without rock"', page.text)
    assert without
    assert titles(http.get(f"/library{html.unescape(without[1])}", headers=HTML)) == ["jazz.mp3", "new"]
    assert titles(follow(http, page, "file is missing")) == ["gone"]


def test_the_form_becomes_an_address_that_rest_understands(http, ids):
    rows = [("jazz", "with", "0", ""), ("rock", "with", "0.4", "0.95"), ("ambient", "without", "", "")]
    pairs = [pair for row in [*rows, ("", "with", "", "")] for pair in zip(FIELDS, row, strict=True)]
    answer = http.get("/library", params=[*pairs, ("order", "score.1"), ("text", "")], headers=HTML)
    assert answer.status_code == 303
    query = "genre=rock%3A0.4..0.95&genre=jazz%3A0..&not_genre=ambient&sort=score"
    assert answer.headers["location"] == f"./library?{query}"
    page = http.get(f"/library?{query}", headers=HTML)
    assert titles(page) == ["rock.mp3", "&lt;b&gt;&amp;"]
    assert [track["path"] for track in http.get(f"/api/v1/tracks?{query}").json()["items"]] == [
        "rock.mp3",
        HOSTILE,
    ]
    assert '<option value="score.0" selected>score of rock</option>' in page.text
    backwards = [("label", "rock"), ("has", "with"), ("low", "0.9"), ("high", "0.2")]
    refused = http.get("/library", params=backwards, headers=HTML)
    assert (refused.status_code, "give the lower one first" in refused.text) == (422, True)
    assert http.get("/library?label=rock&has=with", headers=HTML).status_code == 422


def test_words_that_are_labels_too_lead_to_their_ranking(http, ids):
    page = http.get("/library?text=Rock+and+jazz", headers=HTML)
    ranked = follow(http, page, "Rank the tracks by rock and jazz")
    assert titles(ranked) == ["rock.mp3", "jazz.mp3"]
    assert "Rank the tracks" not in http.get("/library?text=new", headers=HTML).text
    assert "names no word" in http.get("/library?text=%21", headers=HTML).text


def test_a_search_is_saved_opened_replaced_and_deleted(http, ids):
    saved = http.post("/library/queries?genre=rock:0.4..", data={"name": "loud & <b>"}, headers=OWN)
    assert saved.status_code == 303
    page = http.get("/library", headers=HTML)
    address = re.search(r'href="\./(library\?[^"]*)"[^>]*>loud &amp; &lt;b&gt;</a>', page.text)
    assert address
    assert titles(http.get(f"/{html.unescape(address[1])}", headers=HTML)) == ["rock.mp3", "&lt;b&gt;&amp;"]
    http.post("/library/queries?genre=jazz", data={"name": "loud & <b>"}, headers=OWN)
    (query,) = http.get("/api/v1/queries").json()["items"]
    assert (query["name"], query["query"]) == ("loud & <b>", "genre=jazz")
    done = http.post("/library/queries/delete", data={"name": "loud & <b>"}, headers=OWN)
    assert done.status_code == 303
    assert http.get("/api/v1/queries").json()["items"] == []
    assert http.post("/library/queries", data={"name": "a/b"}, headers=OWN).status_code == 422


def test_all_that_is_found_is_labelled_again_by_one_job(http, ids, db, tmp_path):
    with db.begin() as session:
        session.query(Library).update({"path": str(tmp_path)})
    page = http.get("/library?genre=rock", headers=HTML).text
    (once,) = re.findall(r'name="once" value="([^"]+)"', page)
    form = {"library": "home", "force": "true", "once": once}
    answers = [http.post("/library/relabel?genre=rock&sort=path", data=form, headers=OWN) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert answers[0].headers["location"] == answers[1].headers["location"]
    job = http.get(f"/api/v1/{answers[0].headers['location'].removeprefix('../')}").json()
    assert (job["kind"], job["state"], job["params"]["force"]) == ("analysis", "queued", True)
    assert (job["params"]["library"], job["params"]["query"]) == ("home", "genre=rock&model=test-model%401")
    refused = http.post("/library/relabel?genre=rock", data={"library": "nowhere"}, headers=OWN)
    assert (refused.status_code, "There is no library" in refused.text) == (422, True)
    nothing = http.post("/library/relabel?genre=rock", headers=OWN)
    assert (nothing.status_code, "Name the library" in nothing.text) == (422, True)


def test_what_cannot_be_chosen_is_said_in_the_page(http, ids):
    page = http.get("/library?genre=polka", headers=HTML)
    assert page.status_code == 422
    assert "has no label &#39;polka&#39;" in page.text
    assert http.get("/library?library=nowhere", headers=HTML).status_code == 404


def test_where_no_track_has_a_label_all_can_be_ranked_by_its_score(http, ids):
    nothing = http.get("/library?genre=rock&genre=ambient", headers=HTML)
    assert titles(nothing) == []
    address = re.search(r'href="(\?genre=rock%3A0\.\.&amp;genre=ambient%3A0\.\.[^"]*)">Rank', nothing.text)
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
