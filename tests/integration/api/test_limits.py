"""Bodies that are too large, lie about their length, or never end."""

import logging
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from api.main import JSON_LIMIT, create_app
from api.security.limits import MB
from core.settings import Settings
from tests.integration.api.gateway import problem_of, running
from tests.support.worker import until

PREDICT = "/api/v1/analysis/predict"
JSON = {"Content-Type": "application/json"}


def chunked(size: int) -> Iterator[bytes]:
    """A body whose length nobody knows before."""
    block = b" " * 10_000
    for _ in range(size // len(block)):
        yield block
    yield block[: size % len(block)]


def raw(url: str, request: bytes, *, timeout_s: float = 10) -> bytes:
    """Send bytes and read until the server hangs up."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=timeout_s) as connection:
        connection.sendall(request)
        answer = b""
        while block := connection.recv(65536):
            answer += block
        return answer


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/jobs", 422), ("/api/v1/libraries", 422), ("/nowhere", 404), (f"{PREDICT}/", 404)],
)
def test_a_json_body_may_be_one_megabyte(http, path, status):
    below = http.post(path, content=b" " * JSON_LIMIT, headers=JSON)
    assert below.status_code == status
    above = http.post(path, content=b" " * (JSON_LIMIT + 1), headers=JSON)
    assert problem_of(above, 413) == "body_too_large"
    assert above.headers["connection"] == "close"


@pytest.mark.parametrize("surplus", [0, 1])
def test_a_chunked_body_is_counted_as_it_arrives(http, surplus):
    response = http.post("/api/v1/jobs", content=chunked(JSON_LIMIT + surplus), headers=JSON)
    assert response.status_code == (413 if surplus else 422)


def test_a_route_that_reads_no_body_does_nothing_for_a_large_one(http):
    response = http.post("/api/v1/models/x/promote", content=b" " * (JSON_LIMIT + 1))
    assert problem_of(response, 413) == "body_too_large"


def test_an_upload_has_a_limit_of_its_own_and_leaves_nothing_behind(http, open_settings, db):
    limit = open_settings.max_upload_mb * MB
    assert limit > JSON_LIMIT
    before = list(open_settings.uploads_dir.glob("*"))
    body = httpx.Request("POST", "http://x", files={"file": b"x" * limit})
    head = {"Content-Type": body.headers["content-type"]}
    assert problem_of(http.post(PREDICT, content=body.read(), headers=head), 413) == "body_too_large"
    content = body.content
    pieces = (content[start : start + 50_000] for start in range(0, len(content), 50_000))
    assert problem_of(http.post(PREDICT, content=pieces, headers=head), 413) == "body_too_large"
    assert list(open_settings.uploads_dir.glob("*")) == before


def test_what_has_come_of_a_refused_upload_is_neither_kept_on_disk_nor_in_memory(
    database_url, open_settings, tmp_path, monkeypatch
):
    """A hundred megabytes of a form whose limit is at its last bytes; they lie in the temporary folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    settings = open_settings.model_copy(update={"max_upload_mb": 100})
    known = set(settings.uploads_dir.glob("*"))
    used, spooled = [], []

    def form() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(100):
            yield b" " * MB
            used.append(memory())
        spooled.extend(open_files(tmp_path))

    head = {"Content-Type": "multipart/form-data; boundary=x"}
    with running(create_app(settings)) as url, httpx.Client(base_url=url, trust_env=False) as http:
        http.get("/healthz").raise_for_status()
        before = memory()
        assert problem_of(http.post(PREDICT, content=form(), headers=head, timeout=60), 413)
        assert max(used) - before < 30 * MB
        assert len(spooled) == 1
        until(lambda: open_files(tmp_path) == [])
        assert list(tmp_path.iterdir()) == []
    assert set(settings.uploads_dir.glob("*")) == known


def open_files(folder: Path) -> list[str]:
    """Those of this process in a folder, also ones that have lost their names, as temporary files have."""
    found = []
    for handle in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(os.readlink(handle))
    return [name for name in found if name.startswith(f"{folder}/")]


def memory() -> int:
    """What this process, which serves the gateway, has in memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_length_that_lies_is_no_way_around(open_url, monkeypatch):
    monkeypatch.setattr("api.security.limits.LINGER_S", 0.1)
    head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    huge = raw(open_url, head + b"Content-Length: 99999999999\r\n\r\n")
    assert huge.startswith(b"HTTP/1.1 413")
    both = (
        head + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1e8480\r\n" + b" " * 2_000_000
    )
    assert raw(open_url, both).split(b"\r\n")[0].split()[1] in (b"400", b"413")
    for nonsense in (b"-1", b"1e3", b"1, 2", b"\xb2"):
        answer = raw(open_url, head + b"Content-Length: " + nonsense + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400")


@pytest.fixture
def impatient(database_url, tmp_path, monkeypatch) -> Iterator[str]:
    """A gateway that waits a fifth of a second for a body."""
    monkeypatch.setattr("api.security.limits.LINGER_S", 0.1)
    app = create_app(Settings(database_url=database_url, data_dir=tmp_path))
    limit = next(each for each in app.user_middleware if "by_path" in each.kwargs)
    limit.kwargs["idle_s"] = 0.2
    with running(app) as url:
        yield url


def test_a_body_that_stalls_is_given_up(impatient):
    began = time.monotonic()
    answer = raw(impatient, b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"urn:mfa:error:body_too_slow" in answer
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("min_rate", "status"), [(20_000, 408), (10, 422)])
def test_a_body_that_only_drips_is_given_up(impatient, monkeypatch, min_rate, status):
    monkeypatch.setattr("api.security.limits.MIN_RATE", min_rate)

    def drip() -> Iterator[bytes]:
        for _ in range(40):
            time.sleep(0.02)
            yield b" "

    response = httpx.post(f"{impatient}/api/v1/jobs", content=drip(), headers=JSON, trust_env=False)
    problem_of(response, status)


def test_the_answer_reaches_a_client_that_is_still_sending(open_url):
    """It reads the answer only when it has sent everything, as most clients do."""
    head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n\r\n"
    assert raw(open_url, head + b" " * 60_000_000).startswith(b"HTTP/1.1 413")


def test_a_client_that_leaves_in_mid_upload_breaks_nothing(open_url, http, open_settings, caplog):
    before = list(open_settings.uploads_dir.glob("*"))
    caplog.set_level(logging.INFO, logger="api.requests")
    address = urlsplit(open_url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        connection.sendall(head.encode() + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")
    until(lambda: any(PREDICT in record.getMessage() for record in caplog.records))
    assert http.get("/healthz").status_code == 200
    assert list(open_settings.uploads_dir.glob("*")) == before
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
