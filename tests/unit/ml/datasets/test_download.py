"""Downloads survive interruptions and odd servers, and only what was published is unpacked."""

import hashlib
import io
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from core.ml.datasets import fma
from core.ml.datasets.download import download, fetch
from core.ml.datasets.errors import DownloadFailed, NotEnoughSpace, UnsafeArchive, WrongChecksum
from core.ml.datasets.fma_archives import AUDIO, METADATA, Archive, archives
from tests.unit.ml.datasets.test_fma import GENRES, ROWS, write_tracks


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


NOISE = np.random.default_rng(0).bytes(300_000)
AUDIO_ZIP = zipped(
    {"fma_small/000/000002.mp3": NOISE, "fma_small/099/099134.mp3": b"", "fma_small/README.txt": b"x"}
)


class Server(ThreadingHTTPServer):
    """Serves `files`; what it does wrong is set by its other attributes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut_after: list[int] = []  # bytes after which the next answers break off
        self.statuses: list[int] = []  # of the next answers
        self.knows_ranges = True
        self.etag = '"one"'
        self.asked: list[str | None] = []  # the Range of each request

    def archive(self, name: str, content: bytes) -> Archive:
        self.files[f"/{name}"] = content
        url = f"http://127.0.0.1:{self.server_address[1]}/{name}"
        return Archive(url, hashlib.sha1(content).hexdigest())


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        content = self.server.files[self.path]
        if self.server.statuses:
            return self.answer(self.server.statuses.pop(0), b"")
        same = self.headers.get("If-Range") == self.server.etag
        if not (wanted and self.server.knows_ranges and same):
            return self.answer(200, content)
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            return self.answer(416, b"", f"bytes */{len(content)}")
        return self.answer(206, content[start:], f"bytes {start}-{len(content) - 1}/{len(content)}")

    def answer(self, status: int, body: bytes, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        sent = self.server.cut_after.pop(0) if self.server.cut_after and body else len(body)
        self.wfile.write(body[:sent])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as started:
        thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield started
        started.shutdown()
        thread.join()


def test_an_archive_is_downloaded_and_its_progress_reported(server, tmp_path):
    told: list[tuple[str, int, int]] = []
    path = download(server.archive("a.zip", AUDIO_ZIP), tmp_path, lambda *one: told.append(one))
    assert path.read_bytes() == AUDIO_ZIP
    assert [one.name for one in tmp_path.iterdir()] == ["a.zip"]
    assert {what for what, _, _ in told} == {"downloading a.zip", "verifying a.zip"}
    assert told[-1][1:] == (len(AUDIO_ZIP), len(AUDIO_ZIP))


def test_an_interrupted_download_is_resumed(server, tmp_path):
    server.cut_after = [100_000, 50_000]
    assert download(server.archive("a.zip", AUDIO_ZIP), tmp_path).read_bytes() == AUDIO_ZIP
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_another_call_resumes_a_killed_download(server, tmp_path):
    archive = server.archive("a.zip", AUDIO_ZIP)

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(archive, tmp_path, kill)
    begun = (tmp_path / "a.zip.part").stat().st_size
    assert 0 < begun < len(AUDIO_ZIP)
    download(archive, tmp_path)
    assert server.asked == [None, f"bytes={begun}-"]


def test_a_server_that_knows_no_ranges_is_asked_for_everything_again(server, tmp_path):
    server.knows_ranges, server.cut_after = False, [100_000]
    assert download(server.archive("a.zip", AUDIO_ZIP), tmp_path).read_bytes() == AUDIO_ZIP


def test_a_server_that_gives_no_marks_is_asked_for_everything_again(server, tmp_path):
    server.etag, server.cut_after = "", [100_000]
    assert download(server.archive("a.zip", AUDIO_ZIP), tmp_path).read_bytes() == AUDIO_ZIP
    assert server.asked == [None, None]


def test_a_file_that_changed_meanwhile_is_begun_again(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(b"old" * 100)
    (tmp_path / "a.zip.part.etag").write_text('"old"')
    assert download(server.archive("a.zip", AUDIO_ZIP), tmp_path).read_bytes() == AUDIO_ZIP


def test_a_part_that_is_whole_already_is_only_verified(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(AUDIO_ZIP)
    (tmp_path / "a.zip.part.etag").write_text(server.etag)
    assert download(server.archive("a.zip", AUDIO_ZIP), tmp_path).read_bytes() == AUDIO_ZIP
    assert len(server.asked) == 1


def test_a_part_that_is_too_long_is_begun_again(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(AUDIO_ZIP + b"more")
    (tmp_path / "a.zip.part.etag").write_text(server.etag)
    archive = server.archive("a.zip", AUDIO_ZIP)
    assert download(archive, tmp_path, pause_s=0).read_bytes() == AUDIO_ZIP


def test_a_wrong_checksum_deletes_what_was_downloaded(server, tmp_path):
    archive = Archive(server.archive("a.zip", AUDIO_ZIP).url, "0" * 40)
    with pytest.raises(WrongChecksum, match="instead of 0000"):
        download(archive, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_verified_archive_is_not_downloaded_again_but_a_damaged_one_is(server, tmp_path):
    archive = server.archive("a.zip", AUDIO_ZIP)
    download(archive, tmp_path)
    download(archive, tmp_path)
    assert len(server.asked) == 1
    (tmp_path / "a.zip").write_bytes(b"damaged")
    assert download(archive, tmp_path).read_bytes() == AUDIO_ZIP


def test_a_server_in_trouble_is_asked_again(server, tmp_path):
    server.statuses = [503, 429]
    assert download(server.archive("a.zip", AUDIO_ZIP), tmp_path, pause_s=0).read_bytes() == AUDIO_ZIP


def test_giving_up_says_why_and_keeps_what_is_there(server, tmp_path):
    server.cut_after = [100_000]
    server.statuses = []
    archive = server.archive("a.zip", AUDIO_ZIP)

    def fail_from_now_on(*_: object) -> None:
        server.statuses = [503] * 9

    with pytest.raises(DownloadFailed, match=r"503.* resume at 100000 bytes"):
        download(archive, tmp_path, fail_from_now_on, pause_s=0)
    assert (tmp_path / "a.zip.part").stat().st_size == 100_000


def test_an_address_that_is_gone_fails_at_once(server, tmp_path):
    server.statuses = [404]
    with pytest.raises(DownloadFailed, match="404"):
        download(server.archive("a.zip", AUDIO_ZIP), tmp_path)
    assert len(server.asked) == 1


def test_no_byte_is_written_when_the_disk_is_too_small(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=2 * len(AUDIO_ZIP) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(NotEnoughSpace, match="are needed in"):
        download(server.archive("a.zip", AUDIO_ZIP), tmp_path)
    assert sum(one.stat().st_size for one in tmp_path.iterdir() if one.suffix == ".part") == 0


def test_an_archive_becomes_a_dataset_that_can_be_read(server, tmp_path):
    made = tmp_path / "made"
    (made / "fma_metadata").mkdir(parents=True)
    (made / "fma_metadata" / "genres.csv").write_text(GENRES)
    write_tracks(made, ROWS)
    tables = {f"fma_metadata/{one.name}": one.read_bytes() for one in (made / "fma_metadata").iterdir()}
    published = [
        server.archive("fma_metadata.zip", zipped(tables)),
        server.archive("fma_small.zip", AUDIO_ZIP),
    ]
    root = tmp_path / "fma"
    fetch(published, root)
    first, second = fma.read(root).examples
    assert first.path.read_bytes() == NOISE
    assert second.path.read_bytes() == b""
    assert not list(root.glob("*.zip"))
    fetch(published, root)
    assert len(server.asked) == 2


def test_unpacking_that_was_interrupted_is_done_again(server, tmp_path):
    archive = server.archive("a.zip", zipped({"../out.txt": b"x"}))
    with pytest.raises(UnsafeArchive):
        fetch([archive], tmp_path)
    with pytest.raises(UnsafeArchive):
        fetch([archive], tmp_path)
    assert len(server.asked) == 1


def test_addresses_are_those_of_the_dataset():
    assert archives("small") == (METADATA, AUDIO["small"])
    for archive in (METADATA, *AUDIO.values()):
        assert archive.url.startswith("https://")
        assert len(bytes.fromhex(archive.sha1)) == 20
    assert Path(METADATA.name) == Path("fma_metadata.zip")
