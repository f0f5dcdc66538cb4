"""How much faster the tagger is than a plain loop: `python -m tests.benchmarks.engine MODEL_DIR MUSIC_DIR`.

Both label the same files in the same run: the plain loop one file after the other with torch's default
threads, the tagger as the workers use it, one process with one thread per core.
"""

import argparse
import multiprocessing
import os
import time
from functools import partial, reduce
from multiprocessing.synchronize import Barrier
from operator import add
from pathlib import Path

import torch

from core.ml.inference.tagger import Analysis, Tagger
from core.ml.inference.timings import StageTimings
from core.ml.models import artifact
from tests.benchmarks.plain_musicnn import plain_analyse, plain_forward

SUFFIXES = {".mp3", ".flac", ".ogg", ".opus", ".wav"}
LONGEST_S = 4 * 3600
REPEATS = 3  # of the music, so that the start and the uneven end of a run weigh little


def plain_loop(model_dir: Path, files: list[Path]) -> tuple[float, float]:
    """Seconds of audio and seconds taken."""
    forward = partial(plain_forward, p=artifact.load(model_dir).model.state_dict())
    with torch.inference_mode():
        plain_analyse(files[0], forward)
        start = time.perf_counter()
        audio_s = sum(plain_analyse(path, forward)[0] for path in files)
    return audio_s, time.perf_counter() - start


def tagger_process(model_dir: Path, files: list[Path], ready: Barrier) -> StageTimings:
    tagger = Tagger.load(model_dir, threads=1)
    label(tagger, files[:1])
    tagger.timings = StageTimings()
    ready.wait()
    label(tagger, files)
    return tagger.timings


def label(tagger: Tagger, files: list[Path]) -> None:
    for path, outcome in tagger.analyse(
        ((path, path.open("rb")) for path in files), max_duration_s=LONGEST_S
    ):
        if not isinstance(outcome, Analysis):
            print(f"{path}: {outcome.code}")


def tagger_processes(model_dir: Path, files: list[Path], processes: int) -> tuple[StageTimings, float]:
    """Timings added up over the processes, and seconds taken."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(processes) as pool:
        ready = manager.Barrier(processes + 1)
        shares = [files[index::processes] for index in range(processes)]
        running = pool.starmap_async(
            tagger_process, [(model_dir, share, ready) for share in shares], chunksize=1
        )
        ready.wait(timeout=120)
        start = time.perf_counter()
        timings = running.get()
        return reduce(add, timings), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("music_dir", type=Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit", type=int, default=None, help="label this many files only")
    arguments = parser.parse_args()
    files = sorted(path for path in arguments.music_dir.rglob("*") if path.suffix.lower() in SUFFIXES)
    files = files[: arguments.limit] * REPEATS
    if not files:
        raise SystemExit(f"no music below {arguments.music_dir}")

    timings, tagger_s = tagger_processes(arguments.model_dir, files, min(arguments.processes, len(files)))
    audio_s, plain_s = plain_loop(arguments.model_dir, files)
    print(f"{len(files)} files, {audio_s / 60:.1f} minutes of audio")
    print(f"plain loop:  {audio_s / plain_s:6.1f} x real time, {len(files) / plain_s:5.2f} tracks/s")
    print(f"tagger:      {audio_s / tagger_s:6.1f} x real time, {len(files) / tagger_s:5.2f} tracks/s")
    print(f"ratio:       {plain_s / tagger_s:6.2f}")
    stages = timings.stages()
    for stage, seconds in stages.items():
        share = seconds / sum(stages.values())
        speed = timings.audio_s / max(seconds, 1e-9)
        print(f"  {stage:<8} {share:6.1%}, {speed:6.0f} x real time per core")


if __name__ == "__main__":
    main()
