"""What the stack takes while nothing is to be done: `python -m tests.benchmarks.idle MODEL_DIR MUSIC_DIR`.

`mfa serve` is measured for a minute before its first job and for a minute after workers have been idle for
long enough to give their memory back: processor time and memory of every process, and how long jobs wait
for their start afterwards. Memory is the proportional set size: what processes share counts once.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
import psutil

from core.local.command import free_port
from core.settings import PROJECT
from tests.benchmarks.stack import wait_for_end
from tests.support.stack import eventually

MEASURE_S = 60.0
SETTLE_S = 20.0  # after the start or a job, until caches are filled and connections opened
START_WITHIN_S = 180.0
MB = 1e6


@dataclass(frozen=True)
class Taken:
    """By one process: seconds of processor time in user and kernel mode, bytes."""

    cpu_s: float
    memory: int


@contextmanager
def serving(model_dir: Path) -> Iterator[tuple[psutil.Process, str, Path]]:
    """`mfa serve` in a folder of its own: its process, its URL, the folder."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(model_dir, Path(folder) / "models" / model_dir.name)
        port = free_port()
        environment = os.environ | {"MFA_DATA_DIR": folder, "MFA_HOST": "127.0.0.1", "MFA_PORT": str(port)}
        arguments = (sys.executable, "-m", "api.client.cli", "serve")
        with subprocess.Popen(arguments, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL) as server:
            try:
                url = f"http://127.0.0.1:{port}"
                eventually(lambda: is_ready(url), START_WITHIN_S)
                yield psutil.Process(server.pid), url, Path(folder)
            finally:
                server.terminate()


def is_ready(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/readyz").is_success
    return False


def names_of(root: psutil.Process, data_dir: Path) -> dict[psutil.Process, str]:
    """All processes of the stack, with a name for each."""
    services = {each["pid"]: each["name"] for each in json.loads((data_dir / "stack.json").read_text())}
    names = {root: "mfa serve"}
    for process in root.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            names[process] = services.get(process.pid) or name_of_child(process, services)
    return names


def name_of_child(process: psutil.Process, services: dict[int, str]) -> str:
    title = " ".join(process.cmdline())
    if title.startswith("postgres:"):
        return title
    if "core.local.supervisor" in title:
        return "supervisor"
    return f"{services.get(process.ppid(), process.name())}, child"


def look(process: psutil.Process) -> Taken | None:
    """None if it has ended."""
    with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        times = process.cpu_times()
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        pss_kb = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return Taken(times.user + times.system, pss_kb * 1024)
    return None


def measure(root: psutil.Process, data_dir: Path) -> dict[str, float]:
    """Print what each process takes; percent of a core and MB of all."""
    before = {process: look(process) for process in names_of(root, data_dir)}
    began = time.monotonic()
    time.sleep(MEASURE_S)
    names = names_of(root, data_dir)
    after = {process: look(process) for process in names}
    took_s = time.monotonic() - began
    rows = []
    for process, taken in after.items():
        if taken is not None:
            start = before.get(process)
            cpu = 100 * (taken.cpu_s - (start.cpu_s if start else 0)) / took_s
            rows.append((names[process], cpu, taken.memory / MB))
    for name, cpu, memory in sorted(rows):
        print(f"  {name:<42} {cpu:6.2f} %  {memory:7.1f} MB")
    total = {"cpu": sum(row[1] for row in rows), "memory": sum(row[2] for row in rows)}
    print(f"  {len(rows)} processes{total['cpu']:38.2f} %  {total['memory']:7.1f} MB", flush=True)
    return total


def seconds_to_start(http: httpx.Client, music: Path) -> float:
    """From the submission of an analysis to its start, as the server's clock has it; waits for its end."""
    library = f"bench {time.time_ns()}"
    http.post("/libraries", json={"name": library, "path": str(music.resolve())}).raise_for_status()
    body = {"kind": "analysis", "params": {"library": library, "force": True}}
    job = wait_for_end(http, http.post("/jobs", json=body).raise_for_status().json())
    created, started = (datetime.fromisoformat(job[name]) for name in ("created_at", "started_at"))
    return (started - created).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("music_dir", type=Path)
    parser.add_argument("--rest", type=float, default=390.0, help="seconds between two jobs")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with (
        serving(arguments.model_dir) as (root, url, data_dir),
        httpx.Client(base_url=f"{url}/api/v1", timeout=60) as http,
    ):
        time.sleep(SETTLE_S)
        print("before the first job")
        measure(root, data_dir)
        print(f"the first job starts after {seconds_to_start(http, arguments.music_dir):.2f} s")
        time.sleep(SETTLE_S)
        print("just after a job")
        measure(root, data_dir)
        time.sleep(max(0.0, arguments.rest - MEASURE_S - SETTLE_S))
        print(f"{arguments.rest:.0f} s after a job")
        measure(root, data_dir)
        print(f"the next job starts after {seconds_to_start(http, arguments.music_dir):.2f} s")


if __name__ == "__main__":
    main()
