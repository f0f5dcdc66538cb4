"""Fails when a locked package has a known vulnerability; without the advisory service it only says so.

python .ci/audit.py requirements.lock
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WITHIN_S = 300


def ask(lock: Path) -> list[dict[str, Any]] | None:
    """What pip-audit has found out about each package; None when it could not find out anything."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        what = ("--requirement", str(lock), "--no-deps", "--disable-pip")
        how = ("--progress-spinner", "off", "--format", "json", "--output", str(report))
        argv = (sys.executable, "-m", "pip_audit", *what, *how)
        try:
            subprocess.run(argv, capture_output=True, timeout=WITHIN_S)
            packages: list[dict[str, Any]] = json.loads(report.read_text())["dependencies"]
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None
    return packages


def judge(packages: list[dict[str, Any]] | None) -> tuple[int, str]:
    """The exit code, and what to print."""
    known = [package for package in packages or [] if "skip_reason" not in package]
    if not known:
        return 0, "audit: the advisory service cannot be reached, nothing was checked"
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions'])}"
        for package in known
        for flaw in package["vulns"]
    ]
    summary = f"audit: {len(found)} known vulnerabilities in {len(known)} packages"
    unknown = len(packages or []) - len(known)
    return int(bool(found)), "\n".join([*found, summary + (f", {unknown} unknown" if unknown else "")])


if __name__ == "__main__":
    code, text = judge(ask(Path(sys.argv[1])))
    sys.stdout.write(f"{text}\n")
    raise SystemExit(code)
