"""Corrections and label sets over HTTP."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from core.services.changes import delete_library
from core.store.session import SessionFactory
from tests.integration.api.gateway import bearer, problem_of
from tests.support.builders import (
    make_analysed_track,
    make_api_key,
    make_finished_job,
    make_library,
    make_model,
    make_track,
)

API = "/api/v1"


@pytest.fixture
def ids(db: SessionFactory) -> dict[str, str]:
    """Three analysed tracks, the third with the audio of the first, one without audio, and a job."""
    with db.begin() as session:
        model, home = make_model(session), make_library(session, name="home")
        tags = {"genre": ["Jazz; Polka", "rock"]}
        tracks = [
            make_analysed_track(session, home, model, "a.mp3", [0.9, 0.2, 0.0], tags=tags),
            make_analysed_track(session, home, model, "b.mp3", [0.5, 0.0, 0.3], tags={}),
            make_track(session, home, path="new.mp3"),
        ]
        copy = make_track(session, home, path="copy/a.mp3", content_hash=tracks[0].content_hash, tags=tags)
        job = make_finished_job(session, home, model, [*tracks[:2], copy])
        return {track.path: str(track.id) for track in (*tracks, copy)} | {"job": str(job.id)}


def correct(
    http: httpx.Client, track_id: object, labels: dict[str, str | None], **body: object
) -> httpx.Response:
    return http.put(f"{API}/tracks/{track_id}/labels", json={"labels": labels} | body)


def paths(http: httpx.Client, genre: str) -> list[str]:
    return [each["path"] for each in http.get(f"{API}/tracks", params={"genre": genre}).json()["items"]]


def labels_of(shape: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["label"], each["source"]) for each in shape["labels"]]


def test_a_correction_is_truth_in_every_answer_of_its_audio(http, ids):
    answer = correct(http, ids["a.mp3"], {"AMBIENT": "yes", "rock": "no", "jazz": "unsure"}, note="by ear")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["changed"], answer.json()["entries"]) == (3, 3)
    true = [("ambient", "corrected"), ("jazz", "model")]
    for path in ("a.mp3", "copy/a.mp3"):
        track = http.get(f"{API}/tracks/{ids[path]}").json()
        assert labels_of(track) == labels_of(track["prediction"]) == true
        assert track["corrections"] == {"ambient": "yes", "jazz": "unsure", "rock": "no"}
        assert track["prediction"]["scores"] == {"rock": 0.9, "jazz": 0.2, "ambient": 0.0}
    results = http.get(f"{API}/jobs/{ids['job']}/results").json()
    assert [labels_of(each) for each in results] == [true, [("rock", "model"), ("ambient", "model")], true]
    table = http.get(f"{API}/jobs/{ids['job']}/results", params={"format": "csv"}).text.splitlines()
    assert "ambient=1.0; jazz=0.2" in table[1]
    assert table[1].endswith("ambient=yes; jazz=unsure; rock=no")
    assert sorted(paths(http, "ambient")[:2]) == ["a.mp3", "copy/a.mp3"]
    assert paths(http, "ambient")[2:] == ["b.mp3"]
    assert {each["path"] for each in http.get(f"{API}/tracks", params={"genre": "rock"}).json()["items"]} == {
        "b.mp3"
    }


def test_corrections_outlive_the_model_and_show_before_the_next_analysis(http, ids, db):
    correct(http, ids["b.mp3"], {"jazz": "yes"})
    with db.begin() as session:
        make_model(session, name="next", sha256="1" * 64)
    track = http.get(f"{API}/tracks/{ids['b.mp3']}").json()
    assert (track["prediction"], labels_of(track)) == (None, [("jazz", "corrected")])
    assert [each["path"] for each in http.get(f"{API}/tracks", params={"genre": "jazz"}).json()["items"]] == [
        "b.mp3"
    ]


def test_a_misspelt_label_is_refused_with_the_nearest_right_one(http, ids):
    refused = correct(http, ids["a.mp3"], {"jaz": "yes", "rock": "no"})
    assert problem_of(refused, 422) == "unknown_label"
    assert "did you mean 'jazz'?" in refused.json()["detail"]
    assert http.get(f"{API}/tracks/{ids['a.mp3']}/labels").json()["entries"] == 0
    assert correct(http, ids["a.mp3"], {"jaz": "yes"}, allow_new=True).status_code == 200
    assert correct(http, ids["a.mp3"], {"jaz": None}).json()["changed"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {"labels": {}},
        {"labels": {"jazz": "maybe"}},
        {"labels": {"\u200b": "yes"}},
        {"labels": {"jazz": "yes", "JAZZ": "no"}},
        {"labels": {"jazz": "yes", "jazz ": "no"}},
        {"labels": {"jazz": "yes"}, "colour": "red"},
    ],
)
def test_wrong_corrections_are_refused(http, ids, body):
    assert problem_of(http.put(f"{API}/tracks/{ids['a.mp3']}/labels", json=body), 422) == "invalid"


def test_only_what_has_been_heard_can_be_corrected(http, ids):
    assert problem_of(correct(http, ids["new.mp3"], {"jazz": "yes"}), 409) == "track_not_analysed"
    assert problem_of(correct(http, uuid4(), {"jazz": "yes"}), 404) == "track_not_found"


def test_the_author_is_the_key(keyed_http, ids, db):
    with db.begin() as session:
        key, secret = make_api_key(session)
        key_id = str(key.id)
    body = {"labels": {"jazz": "yes"}}
    answer = keyed_http.put(f"{API}/tracks/{ids['a.mp3']}/labels", json=body, headers=bearer(secret)).json()
    assert answer["corrections"][0]["change"]["author"] == key_id


def test_a_query_corrects_all_its_tracks_and_is_undone_as_a_whole(http, ids):
    body = {"query": {"library": "home", "genre": "rock", "q": "A.MP3"}, "labels": {"rock": "no"}}
    expected = {"change": None, "changed": 1, "unchanged": 0, "tracks": 2, "not_analysed": 0}
    assert http.post(f"{API}/corrections", json=body | {"dry_run": True}).json() == expected
    done = http.post(f"{API}/corrections", json=body).json()
    assert done == expected | {"change": done["change"]}
    assert http.post(f"{API}/corrections", json=body).json()["tracks"] == 0  # none of them is rock any more
    listed = http.get(f"{API}/corrections").json()["items"]
    assert [(each["id"], each["origin"], each["standing"]) for each in listed] == [
        (done["change"], "query", 1)
    ]
    assert http.post(f"{API}/corrections/{done['change']}/undo").json()["changed"] == 1
    assert http.post(f"{API}/corrections/{done['change']}/undo").json()["changed"] == 0
    assert http.post(f"{API}/corrections", json=body | {"dry_run": True}).json() == expected
    everything = {"query": {}, "labels": {"jazz": "yes"}}
    assert http.post(f"{API}/corrections", json=everything).json()["not_analysed"] == 1
    assert problem_of(http.post(f"{API}/corrections/{uuid4()}/undo"), 404) == "change_not_found"


def test_a_query_leaves_tracks_of_deleted_libraries_alone(http, ids, db):
    body = {"query": {"genre": "rock"}, "labels": {"rock": "no"}, "dry_run": True}
    assert http.post(f"{API}/corrections", json=body).json()["tracks"] == 3
    with db.begin() as session:
        delete_library(session, "home")
    assert http.post(f"{API}/corrections", json=body).json()["tracks"] == 0


def test_a_csv_file_is_imported_and_what_does_not_match_is_listed(http, ids):
    lines = [
        "path,label,verdict", "a.mp3,Jazz,yes", "copy/a.mp3,jazz,no", "b.mp3,rock,-", "nope.mp3,rock,yes",
        "new.mp3,rock,yes", "b.mp3,rokc,yes",
    ]  # fmt: skip
    body = {"library": "home", "csv": "\r\n".join(lines)}
    done = http.post(f"{API}/corrections/from-csv", json=body).json()
    assert (done["rows"], done["changed"]) == (6, 2)
    assert done["left_out"] == {
        "contradiction": 1, "track_not_found": 1, "track_not_analysed": 1, "unknown_label": 1,
    }  # fmt: skip
    assert [each["line"] for each in done["problems"]] == [3, 5, 6, 7]
    again = {"library": "home", "csv": "path,labels\na.mp3,+jazz; -rock;?ambient\n"}
    assert http.post(f"{API}/corrections/from-csv", json=again).json()["changed"] == 2
    assert http.get(f"{API}/tracks/{ids['a.mp3']}").json()["corrections"] == {
        "ambient": "unsure", "jazz": "yes", "rock": "no",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("csv", "said"),
    [
        ("", "Line 1"),
        ("path,genre\na,b", "Line 1"),
        ("path,label,verdict\na.mp3,jazz,perhaps", "Line 2"),
        ("path,label,verdict\na.mp3,jazz", "Line 2"),
        ("path,label,verdict\na.mp3,jazz,yes,no", "Line 2"),
        ('path,label,verdict\n"a.mp3,jazz,yes', "CSV"),
        ("path,labels\n,jazz", "Line 2"),
        ("path,labels\na.mp3,+\u200b", "Line 2"),
    ],
)
def test_a_csv_file_that_cannot_be_read_changes_nothing(http, ids, csv, said):
    refused = http.post(f"{API}/corrections/from-csv", json={"library": "home", "csv": csv})
    assert problem_of(refused, 422) == "invalid"
    assert said in refused.json()["detail"]
    assert http.get(f"{API}/corrections").json()["items"] == []


def test_genre_tags_become_labels_where_nobody_has_said_anything(http, ids):
    correct(http, ids["a.mp3"], {"rock": "no"})
    done = http.post(f"{API}/corrections/from-tags", json={"library": "home"}).json()
    assert (done["rows"], done["changed"], done["unchanged"]) == (4, 1, 1)
    assert done["left_out"] == {"unknown_label": 2, "track_not_analysed": 1, "no_genre_tag": 1}
    assert http.get(f"{API}/tracks/{ids['a.mp3']}").json()["corrections"] == {"jazz": "yes", "rock": "no"}
    body = {"library": "home", "path": "copy", "aliases": {"polka": "ambient"}}
    assert http.post(f"{API}/corrections/from-tags", json=body).json()["changed"] == 1


def test_a_label_set_exists_before_any_model(http, ids):
    labels = [{"label": "Polka", "facet": "genre"}, {"label": "calm", "facet": "mood"}, {"label": "new"}]
    body = {"name": "mine", "labels": labels}
    created = http.post(f"{API}/label-sets", json=body)
    assert created.status_code == 201
    assert [each["label"] for each in created.json()["labels"]] == ["Polka", "calm", "new"]
    assert http.post(f"{API}/label-sets", json=body).status_code == 200
    assert (
        problem_of(http.post(f"{API}/label-sets", json=body | {"exclusive": True}), 409) == "label_set_exists"
    )
    assert correct(http, ids["a.mp3"], {"polka": "yes"}).json()["corrections"][0]["label"] == "Polka"
    changed = http.patch(
        f"{API}/label-sets/mine", json={"name": "ours", "labels": labels[:2], "exclusive": True}
    )
    assert (changed.json()["name"], changed.json()["exclusive"], len(changed.json()["labels"])) == (
        "ours",
        True,
        2,
    )
    assert [each["name"] for each in http.get(f"{API}/label-sets").json()["items"]] == ["ours"]
    assert http.delete(f"{API}/label-sets/ours").status_code == 204
    assert problem_of(http.get(f"{API}/label-sets/ours"), 404) == "label_set_not_found"
    assert labels_of(http.get(f"{API}/tracks/{ids['a.mp3']}").json())[0] == ("Polka", "corrected")
    twice = {"name": "mine", "labels": [{"label": "a"}, {"label": "A"}]}
    assert problem_of(http.post(f"{API}/label-sets", json=twice), 422) == "invalid"
