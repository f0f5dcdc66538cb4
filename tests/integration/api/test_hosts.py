"""A server without keys answers programs of this machine, and no web page."""

import logging
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from api.main import create_app
from api.security.access import needs_api_keys
from core.settings import Settings
from core.store.session import SessionFactory
from tests.integration.api.gateway import problem_of, running


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.1.2.3:80", "[::1]:8000"])
def test_requests_to_this_machine_are_answered(http, host):
    assert http.get("/api/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "0.0.0.0",
        "192.168.1.5",
        "",
        "[::1",
        "a@localhost:x@b",
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/healthz", "/docs"])
def test_a_domain_that_resolves_to_this_machine_is_not_this_machine(http, host, path):
    assert problem_of(http.get(path, headers={"Host": host}), 421) == "foreign_host"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "file://", "http://localhost.evil.example"]
)
def test_a_page_of_another_site_is_refused(http, origin):
    """Forms and uploads need no permission of the browser; only this header gives them away."""
    for method, path in [("POST", "/api/v1/analysis/predict"), ("GET", "/api/v1/jobs")]:
        response = http.request(method, path, headers={"Origin": origin})
        assert problem_of(response, 403) == "forbidden"
        assert "access-control-allow-origin" not in response.headers


def test_a_page_of_this_machine_is_answered(http):
    assert http.get("/api/v1/jobs", headers={"Origin": "http://localhost:3000"}).status_code == 200


def test_a_body_that_a_form_can_send_is_no_json(http, db):
    response = http.post("/api/v1/libraries", content=b"{}", headers={"Content-Type": "text/plain"})
    assert problem_of(response, 422) == "invalid"


def test_with_keys_any_name_will_do(keyed_http):
    assert keyed_http.get("/healthz", headers={"Host": "music.example"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "require", "needed"),
    [
        ("127.0.0.1", None, False),
        ("localhost", None, False),
        ("::1", None, False),
        ("0.0.0.0", None, True),
        ("::", None, True),
        ("192.168.1.5", None, True),
        ("music.example", None, True),
        ("127.0.0.1", True, True),
        ("0.0.0.0", False, False),
    ],
)
def test_keys_are_needed_wherever_others_can_connect(host, require, needed):
    assert needs_api_keys(Settings(host=host, require_api_keys=require)) is needed


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::7", "unknown", "203.0.113.7, 10.0.0.1"])
@pytest.mark.parametrize("path", ["/api/v1/jobs", "/healthz", "/metrics"])
def test_a_client_elsewhere_is_refused_whatever_host_it_claims(http, address, path):
    """uvicorn takes the address from a proxy of this machine."""
    headers = {"Host": "127.0.0.1", "X-Forwarded-For": address}
    assert problem_of(http.get(path, headers=headers), 403) == "forbidden"


def test_a_client_of_this_machine_may_come_through_a_proxy(http):
    assert http.get("/healthz", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 200


def test_a_client_without_an_address_is_refused(open_settings: Settings, db: SessionFactory, tmp_path: Path):
    with running(create_app(open_settings), uds=tmp_path / "socket") as url:
        transport = httpx.HTTPTransport(uds=str(tmp_path / "socket"))
        with httpx.Client(base_url=url, transport=transport) as http:
            assert problem_of(http.get("/healthz"), 403) == "forbidden"


@pytest.fixture
def open_app(database_url: str, tmp_path: Path) -> FastAPI:
    settings = Settings(database_url=database_url, data_dir=tmp_path, host="0.0.0.0", require_api_keys=False)
    return create_app(settings)


def test_an_operator_may_open_a_server_to_his_network_and_is_warned(open_app: FastAPI, caplog):
    with caplog.at_level(logging.WARNING, "api.main"), running(open_app) as url:
        headers = {"Host": "nas.local", "X-Forwarded-For": "203.0.113.7"}
        assert httpx.get(f"{url}/healthz", headers=headers, trust_env=False).status_code == 200
    assert ["MFA_REQUIRE_API_KEYS" in record.message for record in caplog.records] == [True]


def test_a_server_that_is_protected_warns_of_nothing(open_settings: Settings, caplog):
    for settings in (open_settings, open_settings.model_copy(update={"host": "0.0.0.0"})):
        with caplog.at_level(logging.WARNING, "api.main"), running(create_app(settings)):
            pass
    assert caplog.records == []
