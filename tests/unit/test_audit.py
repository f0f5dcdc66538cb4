"""What `make audit` makes of an answer, or of none."""

import runpy
from typing import Any

import pytest

from tests.conftest import PROJECT

judge = runpy.run_path(str(PROJECT / ".ci" / "audit.py"))["judge"]
GOOD = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3", "4"]}]}
UNKNOWN = {"name": "unknown", "version": "5", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "told"),
    [
        (None, 0, "nothing was checked"),
        ([UNKNOWN], 0, "nothing was checked"),
        ([GOOD], 0, "0 known vulnerabilities in 1 packages"),
        ([GOOD, UNKNOWN], 0, "in 1 packages, 1 unknown"),
        ([GOOD, BAD, UNKNOWN], 1, "bad 2: PYSEC-1, fixed in 3, 4"),
    ],
)
def test_only_a_vulnerability_fails(packages: list[dict[str, Any]] | None, code: int, told: str) -> None:
    verdict, text = judge(packages)
    assert verdict == code
    assert told in text
