"""What holds for every page: addresses, policy, errors as pages."""

import re
from urllib.parse import urljoin

import httpx
import pytest

from api.pages.addresses import is_own
from api.pages.navigation import ENTRIES
from tests.support.builders import make_job

HTML = {"Accept": "text/html,*/*;q=0.8"}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.title)
def test_a_page_loads_everything_by_relative_addresses_from_this_server(http: httpx.Client, entry):
    address = f"/{entry.path}"
    page = http.get(address, headers=HTML)
    assert page.status_code == 200, page.text
    assert page.headers["cache-control"] == "no-store"
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', page.text)
    assert addresses
    for each in addresses:
        assert each.startswith(("./", "../", "?", "#")), each
        if "/static/" in each:
            asset = http.get(urljoin(address, each))
            assert asset.status_code == 200
            assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert asset.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/jobs", "/no/such/page", "/jobs?state=nonsense"])
def test_a_page_may_load_nothing_from_elsewhere_and_has_nothing_inline(http: httpx.Client, path):
    page = http.get(path, headers=HTML)
    policy = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert {source for sources in policy.values() for source in sources.split()} == {"'none'", "'self'"}
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert page.headers["referrer-policy"] == "same-origin"
    assert re.findall(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=\"javascript", page.text) == []


def test_problems_are_pages_for_browsers_only(http: httpx.Client):
    page = http.get("/jobs?state=nonsense", headers=HTML)
    assert page.status_code == 422
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "query.state" in page.text
    assert page.headers["x-request-id"]
    missing = http.get("/a/b", headers=HTML)
    assert missing.status_code == 404
    assert 'href="../' in missing.text
    assert http.get("/a/b").headers["content-type"] == "application/problem+json"
    rest = http.get("/api/v1/jobs?state=nonsense", headers=HTML)
    assert rest.headers["content-type"] == "application/problem+json"


def test_names_are_text(http: httpx.Client, db):
    with db.begin() as session:
        make_job(session, params={"library": "<script>alert(1)</script>\"'"})
    for path in ("/", "/jobs"):
        page = http.get(path, headers=HTML).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_file_of_another_version_is_given_but_not_kept(http: httpx.Client):
    assert http.get("/static/0000/style.css").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["..%2Fpolicy.py", "x.css", "style.css%2F", "..%2f..%2fmain.py"])
def test_nothing_else_lies_there(http: httpx.Client, name):
    assert http.get(f"/static/0000/{name}").status_code == 404


@pytest.mark.parametrize("address", ["", "jobs", "jobs/3?state=failed", "tracks/%C3%A9"])
def test_addresses_of_this_server(address):
    assert is_own(address)


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "jobs/../../..",
        "\tjobs",
        "http://[",
    ],
)
def test_addresses_that_might_lead_elsewhere(address):
    assert not is_own(address)
