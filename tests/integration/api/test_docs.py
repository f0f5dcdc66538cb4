"""The page that describes every route."""

import re
from urllib.parse import urljoin

from tests.integration.api.gateway import problem_of


def test_the_page_and_all_that_it_loads_come_from_this_server(http):
    page = http.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert "data:," in loaded  # no icon
    assets = {name: http.get(urljoin("/docs", name)) for name in loaded if name != "data:,"}
    assert len(assets) == 3
    assert {asset.status_code for asset in assets.values()} == {200}
    assert "SwaggerUIBundle" in assets["docs/swagger-ui-bundle.js"].text
    start = assets["docs/start.js"].text
    assert "//" not in page.text + start  # the name of another server
    document = re.findall(r'url: "([^"]*)"', start)
    assert [http.get(urljoin("/docs", url)).json()["info"]["title"] for url in document] == [
        "Music Feature Analysis"
    ]
    for answer in (page, *assets.values()):
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]


def test_the_page_may_load_nothing_from_elsewhere_nor_be_framed(http):
    page = http.get("/docs")
    policy = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert {source for sources in policy.values() for source in sources.split()} == {
        "'none'",
        "'self'",
        "data:",
    }
    assert re.findall(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", page.text) == []


def test_nothing_else_lies_there(http):
    for name in ("redoc.standalone.js", "..%2F__init__.py", "x"):
        assert problem_of(http.get(f"/docs/{name}"), 404) == "not_found"
