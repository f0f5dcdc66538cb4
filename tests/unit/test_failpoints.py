"""A point kills one process once, and only where it is armed."""

import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = "from core.failpoints import failpoint; failpoint('here'); failpoint('there')"


def exit_code(environment: dict[str, str]) -> int:
    return subprocess.run((sys.executable, "-c", PROGRAM), env=environment, check=False).returncode


def test_an_armed_point_kills_once(tmp_path: Path) -> None:
    armed = {"MFA_FAILPOINTS_DIR": str(tmp_path)}
    assert exit_code(armed) == 0
    (tmp_path / "there").touch()
    assert exit_code({}) == 0
    assert exit_code(armed) == -signal.SIGKILL
    assert exit_code(armed) == 0
