"""The lock of a data folder, `stack.json`, and clean-up after a killed stack."""

import fcntl
import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from core.local import postgres
from core.local.errors import DataDirInUse
from core.local.service import Service

MARK = "MFA_STACK"  # environment variable of every process of a stack, with its data folder


def lock(data_dir: Path, wait: Callable[[float], object]) -> IO[str]:
    """Lock the data folder until the returned file is closed. Waits for a stack that is stopping.

    Raises DataDirInUse.
    """
    file = (data_dir / "stack.lock").open("a+")
    deadline = time.monotonic() + 1
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            return file
        file.seek(0)
        if time.monotonic() > deadline and file.read() != "stopping":
            file.close()
            raise DataDirInUse(
                f"Another stack runs in {data_dir}; stop it or set MFA_DATA_DIR to another folder."
            )
        wait(0.1)


def write(data_dir: Path, services: Iterable[Service]) -> None:
    """Write `stack.json`, one entry per running process; `create_time` detects reused pids."""
    entries = []
    for service in services:
        if service.process:
            with suppress(psutil.NoSuchProcess):
                pid = service.process.pid
                entry = {"name": service.command.name, "pid": pid, "log": str(service.log)}
                entries.append(entry | {"create_time": psutil.Process(pid).create_time()})
    fresh = data_dir / "stack.json.new"
    fresh.write_text(json.dumps(entries, indent=2) + "\n")
    fresh.replace(data_dir / "stack.json")


def clean_up(data_dir: Path) -> None:
    """Kill processes left by a killed supervisor, and remove `stack.json`. The caller holds the lock."""
    for _ in range(10):
        leftovers = [*recorded(data_dir), *marked(data_dir)]
        if not leftovers:
            break
        for process in leftovers:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(leftovers, timeout=1)
    else:
        pids = ", ".join(str(process.pid) for process in leftovers)
        raise DataDirInUse(f"Processes of an earlier stack in {data_dir} cannot be killed: {pids}.")
    postgres.remove_dead_server(data_dir / "postgres")
    (data_dir / "stack.json").unlink(missing_ok=True)


def recorded(data_dir: Path) -> list[psutil.Process]:
    """Running processes of `stack.json`, except Postgres, which must be shut down."""
    try:
        entries = json.loads((data_dir / "stack.json").read_text())
    except (OSError, ValueError):
        return []
    found = []
    for entry in entries:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(entry["pid"])
            same = process.create_time() == entry["create_time"]
            if same and process.status() != psutil.STATUS_ZOMBIE and entry["name"] != "postgres":
                found.append(process)
    return found


def marked(data_dir: Path) -> list[psutil.Process]:
    """Running processes with this data folder's `MARK`, such as children of a killed worker."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == str(data_dir) and process.name() != "postgres":
                found.append(process)
    return found
