"""The files of tracks over HTTP: whole, in part, changed, gone, and never another one."""

import hashlib
import os
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from core.store.session import SessionFactory
from core.store.tables import Library, Track
from tests.integration.api.gateway import problem_of
from tests.support.builders import make_library, make_model, make_track

CONTENT = bytes(range(256)) * 4000  # several chunks
SIZE = len(CONTENT)


@pytest.fixture
def library(db: SessionFactory, music: Path) -> Library:
    with db.begin() as session:
        make_model(session)
        return make_library(session, name="home", path=str(music))


@pytest.fixture
def song(db: SessionFactory, music: Path, library: Library) -> Track:
    return listed(db, library, music / "jazz" / "song.mp3")


def listed(db: SessionFactory, library: Library, file: Path, content: bytes | None = CONTENT) -> Track:
    """The track of a file as an analysis has found it."""
    if content is not None:
        file.write_bytes(content)
    status = file.stat()
    with db.begin() as session:
        return make_track(
            session,
            library,
            path=str(file.relative_to(library.path)),
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            file_hash=hashlib.sha256(content or b"").digest(),
        )


def address(track: Track) -> str:
    return f"/api/v1/tracks/{track.id}/audio"


def test_the_whole_file_comes_with_what_a_player_needs(http, song):
    answer = http.get(address(song))
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-disposition" not in answer.headers


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, SIZE),
        ("bytes=-7", SIZE - 7, SIZE),
        ("bytes=-99999999", 0, SIZE),
        ("Bytes = 5 - 5", 5, 6),
        (f"bytes={SIZE - 1}-{10**18}", SIZE - 1, SIZE),
    ],
)
def test_a_range_gets_exactly_its_bytes(http, song, asked, start, end):
    answer = http.get(address(song), headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=-", "bytes=x-", "lines=0-1", "bytes=0-1,5-6", "bytes=٣-"]
)
def test_what_is_not_one_range_gets_the_whole_file(http, song, asked):
    answer = http.get(address(song), headers=[(b"Range", asked.encode())])
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=-0", f"bytes={10**18}-"])
def test_a_range_behind_the_end_cannot_be_satisfied(http, song, asked):
    answer = http.get(address(song), headers={"Range": asked})
    assert problem_of(answer, 416) == "range_not_satisfiable"
    assert answer.headers["content-range"] == f"bytes */{SIZE}"


def test_a_range_of_another_version_gets_the_whole_file(http, song):
    whole = http.get(address(song))
    for name, statuses in (("etag", [206, 200]), ("last-modified", [206, 200])):
        known = whole.headers[name]
        asked = [{"Range": "bytes=0-9", "If-Range": each} for each in (known, known.replace("0", "1") + "x")]
        assert [http.get(address(song), headers=each).status_code for each in asked] == statuses


def test_a_client_that_has_the_file_gets_no_bytes(http, song):
    tag = http.get(address(song)).headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        answer = http.get(address(song), headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert http.get(address(song), headers={"If-None-Match": '"other"'}).status_code == 200


def test_head_says_the_same_without_the_bytes(http, song):
    head, whole = http.head(address(song)), http.get(address(song))
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-length", "content-type", "accept-ranges", "last-modified"):
        assert head.headers[name] == whole.headers[name]
    assert http.head(f"/api/v1/tracks/{uuid4()}/audio").status_code == 404


def test_a_file_that_has_changed_since_is_not_sent(http, song, music):
    file = music / "jazz" / "song.mp3"
    os.utime(file, ns=(1, 1))
    assert problem_of(http.get(address(song)), 409) == "file_changed"
    file.unlink()
    assert problem_of(http.get(address(song)), 404) == "file_missing"


def test_a_file_that_is_no_file_any_more_is_not_read(http, song, music, tmp_path):
    """A link to a file outside with the same size and time, at the file's place and at its folder's."""
    file = music / "jazz" / "song.mp3"
    outside = tmp_path / "outside"
    outside.mkdir()
    (music / "jazz").rename(outside / "jazz")
    (music / "jazz").symlink_to(outside / "jazz")
    assert problem_of(http.get(address(song)), 409) == "file_inaccessible"
    (music / "jazz").unlink()
    (music / "jazz").mkdir()
    file.symlink_to(outside / "jazz" / "song.mp3")
    assert "link" in http.get(address(song)).json()["detail"]
    file.unlink()
    file.mkdir()
    assert problem_of(http.get(address(song)), 409) == "file_inaccessible"


def test_a_file_that_shrinks_while_it_is_sent_breaks_the_connection(http, db, library, music):
    file = music / "long.wav"
    file.touch()
    os.truncate(file, 64 << 20)  # far more than the connection holds
    with http.stream("GET", address(listed(db, library, file, None))) as answer:
        os.truncate(file, 10)
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()


def test_no_file_stays_open(http, song):
    def descriptors() -> list[str]:
        folder = Path("/proc/self/fd")
        return [name for each in folder.iterdir() if (name := os.path.realpath(each)).endswith("song.mp3")]

    for headers in ({}, {"Range": "bytes=1-2"}, {"Range": "bytes=-0"}, {"If-None-Match": "*"}):
        http.get(address(song), headers=headers)
    http.head(address(song))
    with http.stream("GET", address(song)):
        pass  # the client leaves
    assert http.get("/healthz").status_code == 200
    assert descriptors() == []


@pytest.mark.parametrize(
    ("name", "content", "media_type", "playable"),
    [
        ("a.FLAC", b"", "audio/flac", True),
        ("a.opus", b"x", "audio/ogg", True),
        ("a.m4a", b"x", "audio/mp4", True),
        ("a.aiff", b"x", "audio/aiff", False),
        ("a.wma", b"x", "audio/x-ms-wma", False),
        ("a.w64", b"x", "application/octet-stream", False),
        ("01.Overture", b"fLaC", "audio/flac", None),
        ("take 5", b"\xff\xfb\x90\x00", "audio/mpeg", None),
        ("page.html", b"<script>", "application/octet-stream", None),
    ],
)
def test_formats_are_named_and_never_markup(http, db, library, music, name, content, media_type, playable):
    track = listed(db, library, music / name, content)
    answer = http.get(address(track))
    assert (answer.content, answer.headers["content-type"]) == (content, media_type)
    assert http.get(f"/api/v1/tracks/{track.id}").json()["playable"] is playable
