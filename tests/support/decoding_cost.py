"""What it costs to read a file's tags and to decode it, in helpers that died as well."""

import os
import resource
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from core.errors import ItemError
from core.ml.audio.sandbox import Sandbox
from tests.support.memory import peak_kb

LONGEST_S = 4 * 3600


@dataclass(frozen=True)
class Cost:
    code: str | None
    cpu_s: float
    peak_kb: int


def measure(path: Path, windows: int | None) -> Cost:
    """In a process of its own, whose children are the helpers and nothing else."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_decode, path, windows).result()


def _decode(path: Path, windows: int | None) -> Cost:
    code = None
    with closing(Sandbox()) as sandbox, path.open("rb") as file:
        sandbox.read_tags(file)
        try:
            if windows is None:
                for block in sandbox.stream(file, 16_000, max_duration_s=LONGEST_S):
                    assert len(block)
            else:
                sandbox.decode_windows(file, 16_000, windows, 3.0, max_duration_s=LONGEST_S)
        except ItemError as error:
            code = error.code
    # Of itself, ru_maxrss would tell that of the process that it was forked from, too.
    helpers_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return Cost(code, sum(os.times()[:4]), max(peak_kb(), helpers_kb))
