"""What `make audit` makes of an answer, or of none."""

import re
import runpy
from datetime import date
from typing import Any

import pytest
from packaging.version import Version

from core.settings import PROJECT

verdict_of = runpy.run_path(str(PROJECT / ".ci" / "audit.py"))["verdict_of"]
GOOD = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3", "4"]}]}
UNKNOWN = {"name": "unknown", "version": "5", "skip_reason": "not found"}
TODAY = date(2026, 11, 25)
# Below these a form or a `Range` header (CVE-2025-62727) can keep a server busy.
FLOORS = {"python-multipart": "0.0.27", "starlette": "0.49.1"}


@pytest.mark.parametrize(
    ("packages", "code", "told"),
    [
        ([UNKNOWN], 0, "has no advisories, nothing was checked"),
        ([GOOD], 0, "0 known vulnerabilities in 1 packages"),
        ([GOOD, UNKNOWN], 0, "in 1 packages, 1 unknown"),
        ([GOOD, BAD, UNKNOWN], 1, "bad 2: PYSEC-1, fixed in 3, 4"),
    ],
)
def test_a_vulnerability_fails(packages: list[dict[str, Any]], code: int, told: str) -> None:
    verdict, text = verdict_of(packages, "", {}, TODAY)
    assert verdict == code
    assert told in text


@pytest.mark.parametrize(
    ("said", "code", "told"),
    [
        ("Traceback\nrequests.exceptions.ConnectionError: Failed to resolve 'pypi.org'", 0, "be reached"),
        ("Traceback\nrequests.exceptions.ProxyError: Unable to connect to proxy", 0, "be reached"),
        ("ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed\nTip: ...", 0, "be reached"),
        ("packaging.version.InvalidVersion: Invalid version: '='", 1, "Invalid version: '='"),
        ("requests.exceptions.SSLError: certificate verify failed", 1, "certificate verify failed"),
        ("No module named pip_audit", 1, "has failed, nothing was checked"),
        ("", 1, "has failed, nothing was checked"),
    ],
)
def test_only_a_service_that_cannot_be_reached_is_forgiven(said: str, code: int, told: str) -> None:
    verdict, text = verdict_of(None, said, {}, TODAY)
    assert verdict == code
    assert told in text


@pytest.mark.parametrize(("until", "code"), [(TODAY, 0), (date(2026, 11, 24), 1)])
def test_a_waiver_ends(until: date, code: int) -> None:
    assert verdict_of([BAD], "", {"PYSEC-1": until, "PYSEC-2": date.max}, TODAY)[0] == code


def test_the_lock_holds_the_floors() -> None:
    lock = (PROJECT / "requirements.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", lock, re.MULTILINE))
    for name, floor in FLOORS.items():
        assert Version(locked[name]) >= Version(floor)
