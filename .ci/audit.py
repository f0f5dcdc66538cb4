"""Fails when a locked package has a known vulnerability; without a network it only says so.

python .ci/audit.py requirements.lock
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

WITHIN_S = 300
# What pip-audit says when there is no way to the service. Any other failure is one of ours.
UNREACHABLE = re.compile(
    r"^requests\.exceptions\.(ConnectionError|ProxyError|ConnectTimeout|ReadTimeout):|Could not connect to",
    re.MULTILINE,
)
# Advisories that do not concern us or cannot be mended yet, and the last day on which that is accepted.
WAIVED: dict[str, date] = {}


def ask(lock: Path) -> tuple[list[dict[str, Any]] | None, str]:
    """What pip-audit has found out about each package, and what it said; None when it reported nothing."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        what = ("--requirement", str(lock), "--no-deps", "--disable-pip")
        how = ("--progress-spinner", "off", "--format", "json", "--output", str(report))
        argv = (sys.executable, "-m", "pip_audit", *what, *how)
        try:
            said = subprocess.run(argv, capture_output=True, text=True, timeout=WITHIN_S).stderr
        except subprocess.TimeoutExpired:
            return None, f"Could not connect to the service within {WITHIN_S} s"
        try:
            packages: list[dict[str, Any]] = json.loads(report.read_text())["dependencies"]
        except (OSError, ValueError, KeyError):
            return None, said
    return packages, said


def verdict_of(
    packages: list[dict[str, Any]] | None, said: str, waived: Mapping[str, date], today: date
) -> tuple[int, str]:
    """The exit code, and what to print."""
    if packages is None:
        if UNREACHABLE.search(said):
            return 0, "audit: the advisory service cannot be reached, nothing was checked"
        return 1, f"{said}\naudit: pip-audit has failed, nothing was checked"
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        return 0, "audit: the package index has no advisories, nothing was checked"
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions'])}"
        for package in known
        for flaw in package["vulns"]
        if waived.get(flaw["id"], date.min) < today
    ]
    summary = f"audit: {len(found)} known vulnerabilities in {len(known)} packages"
    unknown = len(packages) - len(known)
    return int(bool(found)), "\n".join([*found, summary + (f", {unknown} unknown" if unknown else "")])


if __name__ == "__main__":
    code, text = verdict_of(*ask(Path(sys.argv[1])), WAIVED, datetime.now(UTC).date())
    sys.stdout.write(f"{text}\n")
    raise SystemExit(code)
