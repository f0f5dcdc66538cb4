"""Libraries over HTTP."""

import os
from pathlib import Path

import httpx
import pytest

from tests.integration.api.gateway import problem_of
from tests.support.builders import make_library, make_track

LIBRARIES = "/api/v1/libraries"


def create(http: httpx.Client, name: str, path: object) -> httpx.Response:
    return http.post(LIBRARIES, json={"name": name, "path": str(path)})


def test_a_new_library_is_created_and_the_same_again_is_no_error(http, music):
    first = create(http, "home", music)
    assert first.status_code == 201
    assert (first.json()["name"], first.json()["path"], first.json()["tracks"]) == ("home", str(music), 0)
    again = create(http, "home", music)
    assert again.status_code == 200
    assert again.json() == first.json()


def test_a_name_stands_for_one_folder(http, music):
    create(http, "home", music)
    assert problem_of(create(http, "home", music / "jazz"), 409) == "library_exists"


def test_a_link_to_a_folder_is_followed_once(http, music, tmp_path):
    (tmp_path / "link").symlink_to(music)
    assert create(http, "home", tmp_path / "link").json()["path"] == str(music)


def test_a_folder_is_found_in_another_unicode_form(http, music):
    (music / "Cafe\u0301" / "x").mkdir(parents=True)
    response = create(http, "home", f"{music}/Caf\u00e9/x/")
    assert (response.status_code, response.json()["path"]) == (201, f"{music}/Cafe\u0301/x")


def test_libraries_are_listed_by_name_with_their_tracks(http, db):
    with db.begin() as session:
        library = make_library(session, name="b")
        make_library(session, name="a")
        make_track(session, library)
        make_track(session, library, missing_at="2026-01-01T00:00:00Z")
    body = http.get(LIBRARIES).json()
    assert [(library["name"], library["tracks"]) for library in body["items"]] == [("a", 0), ("b", 1)]
    assert body["next_cursor"] is None


@pytest.mark.parametrize("path", ["relative", "/no/such/folder", "/etc/hostname", ".", "~"])
def test_only_an_existing_folder_by_its_absolute_path_can_be_a_library(http, path):
    assert problem_of(create(http, "home", path), 422) == "library_folder_missing"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x"},
        {"name": "", "path": "/"},
        {"name": "x", "path": 1},
        {"name": "x", "path": "/", "y": 1},
    ],
)
def test_a_wrong_body_is_explained(http, body):
    assert problem_of(http.post(LIBRARIES, json=body), 422) == "invalid"


def test_a_folder_that_is_no_utf8_does_not_break_the_gateway(http, tmp_path: Path):
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    body = b'{"name": "x", "path": "' + os.fsencode(tmp_path) + b'/\\udcff"}'
    response = http.post(LIBRARIES, content=body, headers={"Content-Type": "application/json"})
    assert problem_of(response, 422) == "invalid"
