"""Frames of a network's tracks, computed by one batch worker process and by two.

`python -m tests.benchmarks.preparation MODEL_DIR`. The time is from the start of the first unit that computes
frames to the end of the last one; processes have computed some before. A process uses more than one core, as
its decoder is a process of its own: one is also measured with everything on one core.
"""

import argparse
import os
import tempfile
from pathlib import Path
from uuid import UUID

import httpx
from sqlalchemy import func, select

from core.services.preparation import PREPARE
from core.store.session import create_database_engine, create_session_factory
from core.store.tables import JobUnit
from tests.benchmarks.stack import running_stack, wait_for_end
from tests.support import sounds

TRACKS, DURATION_S = 200, 60
WARM_UP_TRACKS = 16  # units for every process
MODEL = {"kind": "audio_cnn", "base_channels": 4}
TRAINING = {"epochs": 1, "patches_per_track": 1}
RUNS = ((1, 1), (1, 2), (2, 2))  # processes and cores


def make_music(folder: Path, count: int) -> None:
    for index in range(count):
        path = folder / ("noise" if index % 2 else "chord") / f"{index:03d}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = sounds.noise(DURATION_S, seed=index, level=0.02 + 0.2 * (index % 2))
        sounds.write(path, samples + sounds.chord([110 + index, 330 + index], DURATION_S))


def train(http: httpx.Client, root: Path) -> UUID:
    """The ended job."""
    dataset = {"kind": "folder", "root": str(root)}
    experiment = {
        "experiment_name": "bench",
        "dataset": dataset,
        "split": {"folds": 1},
        "model": MODEL,
        "training": TRAINING,
    }
    submitted = http.post("/jobs", json={"kind": "training", "params": {"experiment": experiment}})
    return UUID(wait_for_end(http, submitted.raise_for_status().json())["id"])


def preparation_s(database_url: str, job_id: UUID) -> float:
    engine = create_database_engine(database_url)
    ends = select(func.min(JobUnit.started_at), func.max(JobUnit.finished_at))
    with create_session_factory(engine)() as session:
        start, end = session.execute(ends.where(JobUnit.job_id == job_id, JobUnit.kind == PREPARE.name)).one()
    engine.dispose()
    if start is None or end is None:
        raise SystemExit("nothing was prepared")
    return (end - start).total_seconds()


def measure(model_dir: Path, music: Path, warm_up: Path, processes: int) -> float:
    with (
        running_stack(model_dir, processes) as stack,
        httpx.Client(base_url=f"{stack.url}/api/v1", timeout=60) as http,
    ):
        train(http, warm_up)
        return preparation_s(stack.database_url, train(http, music))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("music_dir", type=Path, nargs="?", help="not looked at")
    model_dir = parser.parse_args().model_dir
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("two cores are needed")
    with tempfile.TemporaryDirectory() as folder:
        music, warm_up = Path(folder) / "music", Path(folder) / "warm-up"
        make_music(music, TRACKS)
        make_music(warm_up, WARM_UP_TRACKS)
        took = {}
        for processes, on in RUNS:
            os.sched_setaffinity(0, cores[:on])
            took[processes, on] = measure(model_dir, music, warm_up, processes)
            print(f"{TRACKS} tracks, worker processes {processes}, cores {on}: {took[processes, on]:.1f} s")
        for one in RUNS[:2]:
            print(f"two processes are {took[one] / took[2, 2]:.2f} times as fast as one on {one[1]} core(s)")


if __name__ == "__main__":
    main()
