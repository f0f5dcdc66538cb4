"""Requests that no client of good will sends: bombs of parts and headers, broken lines, strange names."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from api.security.limits import MB
from tests.integration.api.gateway import problem_of
from tests.integration.api.test_limits import raw
from tests.support.builders import make_model, make_run
from tests.support.memory import peak_kb, reset_peak_kb

PREDICT, JOBS = "/api/v1/analysis/predict", "/api/v1/jobs"
BOUNDARY = "b"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
HEAD = b"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(autouse=True)
def _model(db) -> None:
    with db.begin() as session:
        make_model(session)


@pytest.fixture(autouse=True)
def _bounded(open_settings) -> Iterator[None]:
    """Whatever is sent, this process, which serves the gateway, takes little memory and keeps no file."""
    before_kb, files = reset_peak_kb(), set(open_settings.uploads_dir.glob("*"))
    yield
    assert peak_kb() - before_kb < 50 << 10
    assert set(open_settings.uploads_dir.glob("*")) == files


def part(disposition: str, content: str = "x") -> str:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n"


def form(parts: str) -> bytes:
    return f"{parts}--{BOUNDARY}--\r\n".encode()


FORMS = {
    "parts": part('name="model"') * 10_000,
    "files": part('name="file"; filename="a"') * 10_000,
    "nameless": part("x=1") * 10_000,
    "field": part('name="model"', "x" * MB),
    "headers": f"--{BOUNDARY}\r\n" + "X-A: b\r\n" * 100_000 + "\r\nx\r\n",
    "header": f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{"x" * MB}"\r\n\r\nx\r\n',
    "dashes": "-" * MB,
    "breaks": "\r\n" * 500_000,
    "boundaries": f"--{BOUNDARY}\r\n" * 100_000,
}


@pytest.mark.parametrize("kind", FORMS)
def test_a_form_that_is_a_bomb_is_refused(http, kind):
    response = http.post(PREDICT, content=form(FORMS[kind]), headers=FORM | {"Prefer": "wait=0"})
    if kind == "breaks":  # a form in order, which only lacks its file
        assert problem_of(response, 422) == "invalid"
    else:
        assert problem_of(response, 400) == "bad_request"


@pytest.mark.parametrize("boundary", ["", "x" * 10_000, '"', "\\", "b; boundary=c", "é"])
def test_a_strange_boundary_is_refused(http, boundary):
    head = {"Content-Type": f"multipart/form-data; boundary={boundary}".encode()}
    response = http.post(PREDICT, content=form(part('name="file"; filename="a"')), headers=head)
    assert problem_of(response, 400) == "bad_request"


@pytest.mark.parametrize(
    "headers",
    [b"X-A: " + b"b" * MB, b"X-A: b\r\n" * 100_000, b"X" * MB + b": b"],
    ids=["long", "many", "name"],
)
def test_a_bomb_of_headers_is_refused(open_url, headers):
    try:
        answer = raw(open_url, HEAD + headers + b"\r\n\r\n")
    except (ConnectionResetError, BrokenPipeError):
        return  # it was not even read to its end
    assert answer.split(b"\r\n")[0].split()[1] in (b"400", b"431")


@pytest.mark.parametrize(
    "ranges",
    [
        ",".join(["0-"] * 3_000),  # all of it, three thousand times
        ",".join(f"{start}-{start + 1}" for start in range(0, 4_000, 4)),
        ",".join(f"{start}-" for start in range(2_000, 0, -1)),
        "," * 9_000,
        "0" * 9_000 + "-",
    ],
    ids=["same", "apart", "nested", "empty", "digits"],
)
def test_a_bomb_of_ranges_on_a_file_is_answered_with_the_file(http, db, tmp_path, ranges):
    content = b"x" * MB
    (tmp_path / "training_curves.png").write_bytes(content)
    with db.begin() as session:
        model = make_model(session, alias=None, name="mine", artifact_url=tmp_path.as_uri())
        run = make_run(session, model_id=model.id)
    address = f"/api/v1/runs/{run.id}/artifacts/training_curves.png"
    assert http.get(address).content == content
    answer = http.get(address, headers={"Range": f"bytes={ranges}"})
    assert (answer.status_code, answer.content) == (200, content)  # as if it asked for no range


def send_for_ever(connection: socket.socket) -> None:
    for _ in range(1000):
        connection.sendall(b"X-A: " + b"b" * 10_000 + b"\r\n")


def test_headers_that_never_end_cost_a_connection_and_no_memory(open_url, http):
    address = urlsplit(open_url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(HEAD)
        with pytest.raises((ConnectionError, TimeoutError)):
            send_for_ever(connection)
        assert http.get("/healthz").status_code == 200


INJECTED = "\r\nSet-Cookie: stolen=1\r\n\r\n<script>"


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b=1", "a\nb", "a\rb", "a\0b"])
@pytest.mark.parametrize("name", ["X-Request-Id", "Idempotency-Key", "Prefer", "Origin", "Host"])
def test_what_comes_in_headers_never_comes_back_as_one(open_url, name, value):
    request = f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\nContent-Length: 2\r\n"
    answer = raw(open_url, request.encode() + b"Connection: close\r\n\r\n{}")
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"set-cookie" not in head
    assert b"b=1" not in answer


def test_a_request_has_an_id_of_the_servers_own(http):
    wished = http.get("/healthz", headers={"X-Request-Id": "mine"}).headers.get_list("x-request-id")
    assert len(wished) == 1
    assert wished != ["mine"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/runs/00000000-0000-0000-0000-000000000000/artifacts/{}",
        "/api/v1/studies/00000000-0000-0000-0000-000000000000/plots/{}.png",
        "/api/v1/models/{}",
        "/api/v1/experiments/{}",
        "/api/v1/jobs/{}/results",
        "/{}",
    ],
)
@pytest.mark.parametrize(
    "name",
    ["%0d%0aSet-Cookie:%20stolen=1", "a%22%3b%20filename=%22b.exe", "..%2f..%2fetc%2fpasswd", "%5c%5cx"],
)
def test_what_comes_in_a_path_never_comes_back_in_a_header(http, path, name):
    response = http.get(path.format(name))
    is_job = "/jobs/" in path and "%2f" not in name
    assert response.status_code == (422 if is_job else 404)
    assert "set-cookie" not in response.headers
    assert "stolen" not in str(response.headers)
    assert "content-disposition" not in response.headers


@pytest.mark.parametrize(
    "filename",
    [f"a{INJECTED}.mp3", 'a"; filename="b.exe', "a\u2028b", "/etc/passwd", "..\\..\\x", "\u202egpm.exe"],
)
def test_a_file_name_gets_into_no_header(http: httpx.Client, open_settings, filename):
    disposition = 'name="file"; filename="' + filename.replace('"', "%22").replace("\r\n", "%0D%0A") + '"'
    response = http.post(PREDICT, content=form(part(disposition)), headers=FORM | {"Prefer": "wait=0"})
    assert response.status_code == 202
    assert "set-cookie" not in response.headers
    shown = response.json()["params"]["filename"]
    assert shown.isprintable()
    assert "/" not in shown
    assert "\\" not in shown
    assert filename[:3] not in str(response.headers)
    (open_settings.uploads_dir / response.json()["id"]).unlink()


@pytest.mark.parametrize(
    ("query", "code", "detail"),
    [
        ("genres=rock", "unknown_parameter", "There is no such query parameter; did you mean `genre`?"),
        ("zzzzzzzz=1", "unknown_parameter", "There is no such query parameter."),
        ("limit=5&limit=6", "repeated_parameter", "This query parameter can be given only once."),
    ],
)
def test_a_query_that_would_be_ignored_is_refused(http, keyed_http, query, code, detail):
    response = http.get(f"/api/v1/tracks?{query}")
    assert problem_of(response, 422) == "invalid"
    name = query.partition("=")[0]
    assert response.json()["errors"] == [{"location": f"query.{name}", "code": code, "detail": detail}]
    assert keyed_http.get(f"/api/v1/tracks?{query}").status_code == 401  # strangers are not told more


def test_a_parameter_that_repeats_may_be_repeated(http):
    assert http.get("/api/v1/tracks?genre=rock&genre=jazz").status_code == 200
