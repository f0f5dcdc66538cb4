"""Results of a job in every format, streamed from short transactions."""

import csv
import io
import json
import time
from functools import partial
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from api import exports
from core.store.session import SessionFactory
from core.store.tables import Library, Model
from tests.integration.api.gateway import problem_of
from tests.support.builders import (
    make_analysed_track,
    make_finished_job,
    make_job,
    make_library,
    make_model,
    make_track,
)

PATHS = [
    "=1+1.mp3",
    "+1.mp3",
    "-1.mp3",
    "@sum.mp3",
    "\ttab.mp3",
    "\rreturn.mp3",
    'plain, "quoted".mp3',
    "héllo.mp3",
]


@pytest.fixture
def job_id(db: SessionFactory) -> UUID:
    """A job over files whose names are formulas, and one that failed."""
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        tracks = [make_analysed_track(session, library, model, path) for path in PATHS]
        return make_finished_job(session, library, model, tracks, [make_track(session, library)]).id


def url(job_id: UUID) -> str:
    return f"/api/v1/jobs/{job_id}/results"


def test_json_is_one_array_of_the_labelled_tracks(http, job_id):
    response = http.get(url(job_id))
    assert response.headers["content-type"] == "application/json"
    assert [result["path"] for result in response.json()] == PATHS
    first = response.json()[0]
    assert UUID(first.pop("track_id"))
    assert first == {
        "path": PATHS[0],
        "duration_s": 180.0,
        "labels": [
            {"label": "rock", "score": 0.6, "source": "model"},
            {"label": "jazz", "score": 0.2, "source": "model"},
        ],
        "model": "test-model@1",
        "warnings": [],
        "corrections": {},
    }


def test_all_scores_come_on_request(http, job_id):
    results = http.get(url(job_id), params={"scores": "all"}).json()
    assert results[0]["scores"] == {"rock": 0.6, "jazz": 0.2, "ambient": 0.05}


def test_json_lines_are_one_result_each(http, job_id):
    response = http.get(url(job_id), params={"format": "jsonl"})
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["path"] for line in response.text.split("\n")[:-1]] == PATHS


def test_csv_is_rfc_4180_and_no_text_becomes_a_formula(http, job_id):
    response = http.get(url(job_id), params={"format": "csv", "scores": "all"})
    assert response.headers["content-type"].startswith("text/csv; charset=utf-8")
    assert response.headers["content-disposition"] == f'attachment; filename="results-{job_id}.csv"'
    assert response.headers["x-content-type-options"] == "nosniff"
    rows = list(csv.reader(io.StringIO(response.text, newline="")))
    assert rows[0] == [
        "track_id",
        "path",
        "duration_s",
        "labels",
        "model",
        "warnings",
        "corrections",
        "rock",
        "jazz",
        "ambient",
    ]
    assert [row[1] for row in rows[1:]] == [*(f"'{path}" for path in PATHS[:6]), *PATHS[6:]]
    assert rows[1][2:] == ["180.0", "rock=0.6; jazz=0.2", "test-model@1", "", "", "0.6", "0.2", "0.05"]
    assert response.text.count("\r\n") == len(rows)


def test_every_row_comes_with_its_nearest_tracks_on_request(http, db, monkeypatch):
    """As `GET /tracks/{id}/similar` within the library says, but for equal audio."""
    monkeypatch.setattr(exports, "SIMILAR_PAGE", 2)
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        tracks = [
            make_analysed_track(session, library, model, f"{n}.mp3", embedding=[1.0, n / 4, 0.0, 0.0])
            for n in range(5)
        ]
        make_track(session, library, path="copy.mp3", content_hash=tracks[0].content_hash)
        make_analysed_track(session, make_library(session), model, "x.mp3", embedding=[1.0, 0.0, 0.0, 0.0])
        job_id = make_finished_job(session, library, model, tracks).id
    rows = http.get(url(job_id), params={"similar": 2}).json()
    either = {"copy.mp3": "0.mp3"}  # tracks of equal audio are equally near
    paths = [[near["path"] for near in row["similar"]] for row in rows]
    assert [[either.get(path, path) for path in row] for row in paths] == [
        ["1.mp3", "2.mp3"],
        ["2.mp3", "0.mp3"],
        ["3.mp3", "1.mp3"],
        ["4.mp3", "2.mp3"],
        ["3.mp3", "2.mp3"],
    ]
    within = {"library": library.name, "limit": 2}
    alone = http.get(f"/api/v1/tracks/{rows[4]['track_id']}/similar", params=within).json()
    assert alone["items"] == rows[4]["similar"]
    table = http.get(url(job_id), params={"similar": 1, "format": "csv"}).text.splitlines()
    assert table[0] == "track_id,path,duration_s,labels,model,warnings,corrections,similar"
    assert table[1].endswith(",1.mp3=0.9701")
    assert problem_of(http.get(url(job_id), params={"similar": 11}), 422) == "invalid"


@pytest.mark.parametrize(("form", "nothing"), [("json", []), ("jsonl", None), ("csv", None)])
def test_a_job_without_results_yet_is_an_empty_export(http, db, form, nothing):
    with db.begin() as session:
        job = make_job(session, model_id=make_model(session).id)
    response = http.get(url(job.id), params={"format": form})
    assert response.status_code == 200
    if form == "json":
        assert response.json() == nothing
    else:
        assert len(response.text.splitlines()) == (form == "csv")


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_every_page_arrives_exactly_once(http, job_id, monkeypatch, form):
    monkeypatch.setattr(exports, "PAGE", 3)
    response = http.get(url(job_id), params={"format": form})
    if form == "csv":
        assert len(list(csv.reader(io.StringIO(response.text, newline="")))) == 1 + len(PATHS)
    else:
        found = response.json() if form == "json" else [json.loads(row) for row in response.text.splitlines()]
        assert [result["path"] for result in found] == PATHS


def test_an_export_says_what_it_is_and_an_unknown_one_is_refused(http, job_id):
    assert problem_of(http.get(url(job_id), params={"format": "xlsx"}), 422) == "invalid"
    assert problem_of(http.get(url(job_id), params={"scores": "some"}), 422) == "invalid"


def test_a_predict_job_has_no_items_to_export(http, db):
    with db.begin() as session:
        job = make_job(session, kind="predict")
    assert problem_of(http.get(url(job.id)), 409) == "job_has_no_items"


def test_no_transaction_stays_open_while_a_client_reads(http: httpx.Client, db: SessionFactory):
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        job_id = _make_large_job(session, library, model)
    with http.stream("GET", url(job_id), params={"format": "jsonl", "scores": "all"}) as response:
        blocks = response.iter_bytes(100)
        next(blocks)
        deadline, idle = time.monotonic() + 10, 0
        while idle < 20 and time.monotonic() < deadline:
            time.sleep(0.05)  # until the sockets between are full and the export has to wait
            idle = 0 if _open_transactions(db) else idle + 1
        assert idle == 20  # a second: not just between two pages
        assert 100 + sum(map(len, blocks)) > 16_000_000


def _make_large_job(session, library: Library, model: Model) -> UUID:
    """Some 16 MB of results: more than the sockets between can hold."""
    analysed = make_analysed_track(session, library, model, "x" * 4000)
    job = make_finished_job(session, library, model, [analysed])
    session.execute(
        text(
            "INSERT INTO tracks (library_id, path, size, mtime_ns, content_hash) "
            "SELECT library_id, path || n, 1, 1, content_hash FROM tracks, generate_series(1, 3999) n"
        )
    )
    session.execute(
        text(
            "INSERT INTO job_items (unit_id, pos, job_id, track_id, state, content_hash) "
            "SELECT unit_id, row_number() OVER (), job_id, tracks.id, state, tracks.content_hash "
            "FROM job_items, tracks WHERE tracks.id <> track_id"
        )
    )
    return job.id


def _open_transactions(db: SessionFactory) -> int:
    others = "FROM pg_stat_activity WHERE state LIKE '%in transaction%' AND pid <> pg_backend_pid()"
    with db() as session:
        return int(session.scalars(text(f"SELECT count(*) {others}")).one())


def test_tracks_of_which_audio_is_missing_say_so_and_can_be_asked_for(http, db):
    with db.begin() as session:
        library, model = make_library(session), make_model(session)
        make = partial(make_analysed_track, session, library, model)
        tracks = [make("whole.mp3"), make("damaged.mp3", warnings=["=0.3 s are missing."])]
        job_id = make_finished_job(session, library, model, tracks).id
    results = http.get(url(job_id), params={"only_with_warnings": True}).json()
    assert [(result["path"], result["warnings"]) for result in results] == [
        ("damaged.mp3", ["=0.3 s are missing."])
    ]
    rows = list(csv.reader(io.StringIO(http.get(url(job_id), params={"format": "csv"}).text)))
    assert [row[5] for row in rows] == ["warnings", "", "'=0.3 s are missing."]
    listed = http.get("/api/v1/tracks").json()["items"]
    assert {track["path"]: len(track["prediction"]["warnings"]) for track in listed} == {
        "whole.mp3": 0, "damaged.mp3": 1,
    }  # fmt: skip
