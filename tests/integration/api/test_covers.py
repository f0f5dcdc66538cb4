"""The cover of a track over HTTP: read by a worker when it is first asked for, and kept."""

from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from mutagen.id3 import APIC, ID3
from sqlalchemy import func, select, text, update

from core.store.covers import KEPT, save_cover
from core.store.session import SessionFactory
from core.store.tables import Cover, Job, Track
from tests.integration.api.gateway import bearer, problem_of
from tests.support.builders import make_api_key, make_library, make_model, make_track
from tests.support.sounds import SAMPLE_RATE, encode, tone
from tests.support.worker import work_off
from tests.unit.ml.audio.test_cover import draw

HASH = b"\x05" * 32


@pytest.fixture
def song(db: SessionFactory, music: Path) -> Track:
    file = music / "song.mp3"
    file.write_bytes(encode(tone(440, 1), SAMPLE_RATE, "mp3"))
    tags: Any = cast(Any, ID3)()
    tags.add(cast(Any, APIC)(encoding=3, mime="image/png", type=3, desc="", data=draw("png", 640, 640)))
    tags.save(file)
    status = file.stat()
    with db.begin() as session:
        make_model(session)
        library = make_library(session, name="home", path=str(music))
        values = {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "file_hash": HASH}
        return make_track(session, library, path="song.mp3", content_hash=b"\x06" * 32, **values)


def ask(http: httpx.Client, track: Track, **headers: str) -> httpx.Response:
    return http.get(f"/api/v1/tracks/{track.id}/cover", headers={"Prefer": "wait=0"} | headers)


def test_a_cover_is_read_once_and_kept(http, db, song, music):
    first = ask(http, song)
    job = first.json()
    assert (first.status_code, job["kind"], job["params"]["path"]) == (202, "cover", "song.mp3")
    assert ask(http, song).json()["id"] == job["id"]
    work_off(db, UUID(job["id"]))
    (music / "song.mp3").unlink()  # it is kept
    answer = ask(http, song)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content.startswith(b"\xff\xd8\xff")
    again = ask(http, song, **{"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    with db() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 1
    page = http.get(f"/tracks/{song.id}", headers={"Accept": "text/html"}).text
    assert f'src="../api/v1/tracks/{song.id}/cover"' in page


def test_a_file_without_a_cover_is_not_looked_at_again(http, db, song):
    with db.begin() as session:
        save_cover(session, HASH, None)
    assert ask(http, song).status_code == 204
    assert "/cover" not in http.get(f"/tracks/{song.id}", headers={"Accept": "text/html"}).text


def test_old_covers_go_when_new_ones_come(db):
    with db.begin() as session:
        for number in range(3):
            save_cover(session, bytes([number]) * 32, b"jpeg")
        old = Cover.created_at - KEPT - text("interval '1 day'")
        session.execute(update(Cover).where(Cover.file_hash < b"\x02").values(created_at=old))
        save_cover(session, HASH, None)
        assert set(session.scalars(select(Cover.file_hash))) == {b"\x02" * 32, HASH}


def test_who_may_only_read_sees_covers_and_what_has_none_says_why(http, keyed_http, db, song):
    with db.begin() as session:
        _, secret = make_api_key(session, "read")
        new = make_track(session)
    address = f"/api/v1/tracks/{song.id}/cover"
    assert keyed_http.get(address, headers=bearer(secret) | {"Prefer": "wait=0"}).status_code == 202
    assert problem_of(ask(http, new), 409) == "track_not_analysed"
    assert problem_of(http.get(f"/api/v1/tracks/{uuid4()}/cover"), 404) == "track_not_found"
