"""The page of settings: libraries, keys, what the server runs with, and who may change what."""

import re

import httpx
import pytest
from sqlalchemy import select

from core.settings import Settings
from core.store.tables import ApiKey, Library
from tests.integration.api.gateway import bearer
from tests.support.builders import make_api_key, make_job, make_library, make_track

HTML = {"Accept": "text/html"}
OWN = HTML | {"Sec-Fetch-Site": "same-origin"}
SETTINGS = "/api/v1/system/settings"


def libraries(db) -> dict[str, str]:
    with db() as session:
        return {name: path for name, path in session.execute(select(Library.name, Library.path))}


def test_an_empty_server_asks_for_a_library(http):
    page = http.get("/settings", headers=HTML)
    assert page.status_code == 200
    assert "There is no library yet." in page.text
    assert '<details class="card" open>' in page.text
    assert "asks for no keys" in page.text


def test_a_library_is_added_renamed_moved_and_removed(http, db, music):
    added = http.post("/settings/libraries", data={"name": "home", "path": str(music)}, headers=OWN)
    assert (added.status_code, added.headers["location"]) == (303, "../settings#libraries")
    change = {"library": "home", "name": "mine/a", "path": str(music / "jazz")}
    assert http.post("/settings/libraries/change", data=change, headers=OWN).status_code == 303
    assert libraries(db) == {"mine/a": str(music / "jazz")}
    assert str(music / "jazz") in http.get("/settings", headers=HTML).text
    assert http.post("/settings/libraries/remove", data={"library": "mine/a"}, headers=OWN).status_code == 303
    assert libraries(db) == {}


@pytest.mark.parametrize(
    ("form", "fields", "status", "sentence"),
    [
        ("", {"name": "home", "path": "/no/such/folder"}, 422, "is not a folder on the server"),
        ("", {"name": "", "path": "/"}, 422, "Name: "),
        ("", {"name": "a/../b", "path": "/"}, 422, "cannot be parts of a name"),
        ("/change", {"library": "used", "name": "other", "path": "/"}, 409, "open job"),
        ("/change", {"library": "used", "name": "", "path": ""}, 422, "Name: "),
        ("/remove", {"library": "used"}, 409, "open job"),
    ],
)
def test_what_a_library_cannot_be_is_said_beside_its_form(http, db, form, fields, status, sentence):
    with db.begin() as session:
        used = make_library(session, name="used")
        make_job(session, library_id=used.id)
    page = http.post(f"/settings/libraries{form}", data=fields, headers=OWN)
    assert page.status_code == status
    assert re.search(rf'role="alert">[^<]*{re.escape(sentence)}', page.text)
    assert f'value="{fields["path"] if form == "" else "used"}"' in page.text
    assert libraries(db) == {"used": "/music/used"}


def test_a_key_is_shown_once_and_revoked(keyed_http, db):
    with db.begin() as session:
        keyed_http.headers.update(bearer(make_api_key(session, "admin")[1]))
    sent = {"name": "player", "scope": "read", "expires_in_days": "30"}
    page = keyed_http.post("/settings/keys", data=sent, headers=OWN)
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    (secret,) = re.findall(r'class="secret">(mfa_[^<]+)<', page.text)
    assert keyed_http.get("/api/v1/me", headers=bearer(secret)).json()["scopes"] == ["read"]
    again = keyed_http.get("/settings", headers=HTML).text
    assert secret not in again
    assert ">yours<" in again
    with db() as session:
        key_id = session.scalars(select(ApiKey.id).where(ApiKey.name == "player")).one()
    revoked = keyed_http.post(f"/settings/keys/{key_id}/revoke", headers=OWN)
    assert (revoked.status_code, revoked.headers["location"]) == (303, "../../../settings#keys")
    assert keyed_http.get("/api/v1/me", headers=bearer(secret)).status_code == 401
    assert ">revoked<" in keyed_http.get("/settings", headers=HTML).text


@pytest.mark.parametrize("wrong", [{"name": ""}, {"scope": "all"}, {"expires_in_days": "-1"}])
def test_a_key_that_cannot_be_is_not_created(http, db, wrong):
    page = http.post("/settings/keys", data={"name": "x", "scope": "read"} | wrong, headers=OWN)
    assert page.status_code == 422
    assert 'role="alert"' in page.text
    with db() as session:
        assert session.scalars(select(ApiKey)).all() == []


def test_whoever_may_only_read_sees_libraries_and_nothing_to_change(keyed_http, db):
    with db.begin() as session:
        secret = make_api_key(session, "read")[1]
        make_track(session, make_library(session, name="home"))
    page = keyed_http.get("/settings", headers=HTML | bearer(secret)).text
    assert '<th scope="row">home</th>' in page
    assert "settings/" not in page.replace("settings.css", "")
    assert "MFA_" not in page
    assert "API keys" not in page


def test_settings_are_told_without_secrets(http: httpx.Client, open_settings: Settings):
    items = {each["variable"]: each for each in http.get(SETTINGS).json()["items"]}
    assert len(items) == len(Settings.model_fields)
    assert items["MFA_MAX_UPLOAD_MB"] | {"description": ""} == {
        "variable": "MFA_MAX_UPLOAD_MB",
        "description": "",
        "value": "2",
        "is_secret": False,
        "is_set": True,
    }
    page = http.get("/settings", headers=HTML).text
    for secret in ("database_url", "broker_url"):
        assert items[f"MFA_{secret.upper()}"]["value"] is None
        assert getattr(open_settings, secret) not in page
    assert "set, not shown" in page


def test_names_are_text(http, db):
    with db.begin() as session:
        make_library(session, name='<script>alert(1)</script>"')
        make_api_key(session, name="<b>x")
    page = http.get("/settings", headers=HTML).text
    assert "<script>alert" not in page
    assert "<b>x" not in page
