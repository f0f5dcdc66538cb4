"""The page of the map in each of its states, as a browser without scripts has it."""

import html
import re

import httpx
import pytest

from core.config.params import JobKind
from core.store.session import SessionFactory
from tests.integration.api.gateway import bearer
from tests.support.builders import (
    make_analysed_track,
    make_api_key,
    make_job,
    make_library,
    make_map,
    make_model,
)

HTML = {"Accept": "text/html"}
A = bytes([1]) * 32


@pytest.fixture
def drawn(db: SessionFactory) -> SessionFactory:
    with db.begin() as session:
        library, model = make_library(session, name="home"), make_model(session)
        make_analysed_track(session, library, model, "a.mp3", content_hash=A)
        make_map(session, model, [(A, 1, 2)], labels=["<b>rock</b>"])
    return db


def test_the_job_of_a_map_leads_to_it(http: httpx.Client, drawn: SessionFactory):
    with drawn.begin() as session:
        wanted = {"model": "test-model@1", "library": "home", "seed": 0}
        job = make_job(session, kind=JobKind.MAP, params=wanted)
    shown = http.get(f"/jobs/{job.id}", headers=HTML).text
    assert 'href="../map?library=home&amp;model=test-model%401">Map</a>' in shown


def test_without_a_model_or_a_map_it_says_what_to_do(http: httpx.Client, db):
    assert "promote one" in http.get("/map", headers=HTML).text
    with db.begin() as session:
        make_model(session)
    page = http.get("/map", headers=HTML)
    assert page.status_code == 200
    assert "There is no map of these tracks yet" in page.text
    assert "<mfa-map" not in page.text


def test_without_scripts_it_is_a_picture_and_a_table(http: httpx.Client, drawn):
    page = http.get("/map", headers=HTML).text
    assert '<img src="./api/v1/map/density.png"' in page
    assert '<a href="./library?genre=rock">rock</a></th><td>top</td>' in page
    assert "0 of 1 tracks when it was drawn" in page
    assert "&lt;b&gt;rock&lt;/b&gt;" in page
    assert "<b>rock" not in page
    of_library = http.get("/map?library=home", headers=HTML)
    assert "There is no map of these tracks yet" in of_library.text


def test_a_form_draws_it(http: httpx.Client, drawn):
    page = http.get("/map?library=home", headers=HTML).text
    (action,) = re.findall(r'<form[^>]* action="([^"]*map[^"]*)"', page)
    answer = http.post(f"/{action}", data={"library": "home", "model": "default"}, headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "./map?library=home")
    page = http.get("/map", headers=HTML).text
    assert "A map is being drawn" in page
    assert "Draw it again" not in page


def test_what_cannot_be_drawn_is_said_in_place(http: httpx.Client, drawn):
    with drawn.begin() as session:
        make_library(session, name="empty")
    page = http.post("/map", data={"library": "empty"}, headers=HTML)
    assert page.status_code == 422
    assert "label them first" in page.text


def test_who_may_only_read_sees_the_map_and_no_form(keyed_http: httpx.Client, drawn):
    with drawn.begin() as session:
        _, secret = make_api_key(session, "read")
        make_job(session, kind=JobKind.MAP, params={"model": "test-model@1"})
    page = keyed_http.get("/map", headers=HTML | bearer(secret))
    assert page.status_code == 200
    assert "<mfa-map" in page.text
    assert '<form class="inline card"' not in page.text
    assert "A map is being drawn" not in page.text  # somebody else's job


def in_area(http: httpx.Client, corners: str) -> str:
    return f"area={http.get('/api/v1/map').json()['map_id']}%3A{corners.replace(',', '%2C')}"


def test_the_tracks_of_an_area_are_a_choice_of_the_library(http: httpx.Client, drawn):
    area = in_area(http, "0,0,4,0,4,9")
    page = http.get(f"/library?{area}", headers=HTML).text
    assert "a.mp3" in page
    assert "b.mp3" not in page
    assert "in an area of the map" in page
    (export,) = re.findall(r'href="([^"]*export[?]format=csv[^"]*)"', page)
    assert http.get(f"/{html.unescape(export).removeprefix('./')}").text.count("a.mp3") == 1
    correction = {"label": "jazz", "verdict": "yes", "confirmed": "true"}
    answer = http.post(f"/library/correct?{area}", data=correction, headers=HTML)
    assert answer.status_code == 303
    corrected = http.get("/api/v1/tracks", params={"corrected": True}).json()["items"]
    assert [track["path"] for track in corrected] == ["a.mp3"]


def test_an_area_without_tracks_is_said(http: httpx.Client, drawn):
    page = http.get(f"/library?{in_area(http, '9,9,4,0,4,9')}", headers=HTML)
    assert page.status_code == 200
    assert "No track is like that." in page.text
