"""What the whole stack costs over the engine alone: `python -m tests.benchmarks.stack MODEL_DIR MUSIC_DIR`.

The same files go through both in one run, `ROUNDS` times in turn: the engine as one process per core, the
stack as a job over REST, Celery and Postgres. Workers are warm before they are measured.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from core.local import Stack, local_stack
from core.local.command import free_port
from core.settings import Settings
from core.store.session import create_database_engine, create_session_factory
from core.store.tables import JobUnit
from tests.benchmarks.engine import SUFFIXES, tagger_processes

ROUNDS = 3
COPIES = 3  # of the music, so that start and end of a run weigh little
POLL_EVERY_S = 0.5  # as a client does
POLL_HARD_EVERY_S = 0.02  # to measure how long an answer takes, in a run of its own


@contextmanager
def running_stack(model_dir: Path, worker_processes: int = 0) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(model_dir, Path(folder) / "models" / model_dir.name)
        settings = Settings(
            database_url="",
            broker_url="",
            data_dir=Path(folder),
            host="127.0.0.1",
            port=free_port(),
            worker_processes=worker_processes,
        )
        with local_stack(settings) as stack:
            yield stack


def wait_for_end(http: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """The job when it has succeeded."""
    while job["state"] in ("queued", "running"):
        time.sleep(POLL_EVERY_S)
        job = http.get(f"/jobs/{job['id']}").raise_for_status().json()
    if job["state"] != "succeeded":
        raise SystemExit(f"the job failed: {job}")
    return job


def label_library(
    http: httpx.Client, poll_every_s: float = POLL_EVERY_S, *, force: bool = True
) -> list[float]:
    """Label everything, by default anew; the seconds that each poll took meanwhile."""
    polls = []
    params = {"library": "bench", "force": force}
    job = http.post("/jobs", json={"kind": "analysis", "params": params}).raise_for_status().json()
    while job["state"] in ("queued", "running"):
        time.sleep(poll_every_s)
        start = time.perf_counter()
        job = http.get(f"/jobs/{job['id']}").raise_for_status().json()
        polls.append(time.perf_counter() - start)
    if job["state"] != "succeeded" or job["progress"]["failed"]:
        raise SystemExit(f"the job failed: {job}")
    return polls


def stage_seconds(database_url: str) -> Counter[str]:
    """Seconds of each stage, added up over everything the workers have done."""
    engine = create_database_engine(database_url)
    with create_session_factory(engine)() as session:
        rows = session.scalars(select(JobUnit.timings)).all()
    engine.dispose()
    return sum((Counter(row) for row in rows), Counter())


def copy_music(music_dir: Path, target: Path) -> list[Path]:
    files = sorted(path for path in music_dir.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise SystemExit(f"no music below {music_dir}")
    copies = []
    for copy in range(COPIES):
        for index, path in enumerate(files):
            copies.append(target / f"{copy}-{index:04d}{path.suffix}")
            shutil.copy(path, copies[-1])
    return copies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("music_dir", type=Path)
    arguments = parser.parse_args()
    cores = os.cpu_count() or 1
    ratios = []
    with tempfile.TemporaryDirectory() as music, running_stack(arguments.model_dir) as stack:
        files = copy_music(arguments.music_dir, Path(music))
        with httpx.Client(base_url=f"{stack.url}/api/v1", timeout=60) as http:
            http.post("/libraries", json={"name": "bench", "path": music}).raise_for_status()
            label_library(http)  # warms the workers up
            for _ in range(ROUNDS):
                timings, engine_s = tagger_processes(arguments.model_dir, files, cores)
                start = time.perf_counter()
                label_library(http)
                stack_s = time.perf_counter() - start
                ratios.append(stack_s / engine_s)
                print(f"{len(files)} tracks, {timings.audio_s / 60:.0f} min of audio")
                for name, seconds in (("engine", engine_s), ("stack", stack_s)):
                    speed = (
                        f"{timings.audio_s / seconds:6.1f} x real time, {len(files) / seconds:6.2f} tracks/s"
                    )
                    print(f"  {name:<8} {speed}")
            polls = label_library(http, POLL_HARD_EVERY_S)
        stages = stage_seconds(stack.database_url)
    print(f"stack / engine: {statistics.median(ratios):.3f} (median of {ROUNDS})")
    for stage, seconds in stages.items():
        print(f"  {stage:<8} {seconds / stages.total():6.1%}")
    took_ms = sorted(1000 * poll for poll in polls)
    median, p99 = statistics.median(took_ms), took_ms[int(0.99 * len(took_ms))]
    print(f"{len(polls)} polls while labelling: median {median:.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    main()
