"""What decoding in a helper process costs: `python -m tests.benchmarks.sandbox MODEL_DIR MUSIC_DIR`.

The same few files go in turn through the tagger as it is, and through one that decodes in its own process, in
one process per core; then the next few. Which of the two comes first changes from pair to pair.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from threading import Barrier
from typing import BinaryIO

import numpy as np
import psutil

from core.ml.audio import decode
from core.ml.audio.sandbox import CpuTime, stream
from core.ml.audio.stopwatch import Stopwatch
from core.ml.inference import tagger as tagger_module
from core.ml.inference.tagger import Tagger
from tests.benchmarks.engine import SUFFIXES, label

PAIRS = 30
FILES_AT_A_TIME = 5  # per process: short pairs, so that what else the machine does meets both alike


def in_process(
    file: BinaryIO, sample_rate: int, *, max_duration_s: float, cpu_time: CpuTime | None = None
) -> Iterator[np.ndarray]:
    """As `core.ml.audio.sandbox.stream`, without the sandbox."""
    assert cpu_time is not None
    clock = Stopwatch()
    yield from decode.stream(file, sample_rate, max_duration_s=max_duration_s, resampling=clock)
    cpu_time.resample_s += clock.seconds
    cpu_time.decode_s -= clock.seconds


def label_in_turn(
    model_dir: Path, files: list[Path], pairs: int, together: Barrier
) -> list[tuple[float, float]]:
    """Processor seconds of each round, the helper's included: in the sandbox, in the process."""
    tagger = Tagger.load(model_dir, threads=1)
    label(tagger, files[:1])
    turns = cycle(files)
    return [
        measure_pair(tagger, list(islice(turns, FILES_AT_A_TIME)), together, pair % 2 == 0)
        for pair in range(pairs)
    ]


def measure_pair(
    tagger: Tagger, files: list[Path], together: Barrier, sandbox_first: bool
) -> tuple[float, float]:
    taken = {}
    for is_sandboxed in (sandbox_first, not sandbox_first):
        vars(tagger_module)["stream"] = stream if is_sandboxed else in_process
        together.wait()
        start = processor_s()
        label(tagger, files)
        taken[is_sandboxed] = processor_s() - start
        together.wait()
    return taken[True], taken[False]


def processor_s() -> float:
    """Processor seconds of this process and its children so far."""
    own = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (own, *own.children()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("music_dir", type=Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    arguments = parser.parse_args()
    files = sorted(path for path in arguments.music_dir.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise SystemExit(f"no music below {arguments.music_dir}")
    processes, pairs = min(arguments.processes, len(files)), arguments.pairs
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(processes) as pool:
        together = manager.Barrier(processes + 1)
        shares = [files[index::processes] for index in range(processes)]
        running = pool.starmap_async(
            label_in_turn, [(arguments.model_dir, share, pairs, together) for share in shares], chunksize=1
        )
        wall = [measure_wall(together, pair % 2 == 0) for pair in range(pairs)]
        shares_s = running.get()
    processor = [
        sum(share[pair][0] for share in shares_s) / sum(share[pair][1] for share in shares_s)
        for pair in range(pairs)
    ]
    print(f"{pairs} pairs of {processes * FILES_AT_A_TIME} files, sandboxed : in the process (quartiles):")
    for name, ratios in (("seconds", wall), ("processor seconds", processor)):
        low, median, high = statistics.quantiles(ratios, n=4)
        print(f"  {name:<18} {median:.3f}  {low:.3f} to {high:.3f}")


def measure_wall(together: Barrier, sandbox_first: bool) -> float:
    """How many times as long a round in the sandbox takes."""
    taken = {}
    for is_sandboxed in (sandbox_first, not sandbox_first):
        together.wait(timeout=300)
        start = time.perf_counter()
        together.wait(timeout=300)
        taken[is_sandboxed] = time.perf_counter() - start
    return taken[True] / taken[False]


if __name__ == "__main__":
    main()
