"""Embeddings of whole tracks on disk, computed exactly as serving computes them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import torch

from core.datasets.paths import open_audio
from core.errors import ItemError
from core.inference.tagger import Analysis, Tagger
from core.training.feature_cache import (
    MAX_DURATION_S,
    Cached,
    Outcome,
    cached,
    known,
    write_array,
    write_warnings,
)
from core.training.identity import identify
from core.training.run import OnTrack, TrainingStopped, unheard


def cache_embeddings(
    sources: Sequence[Path],
    tagger: Tagger,
    weights_sha256: str,
    cache_dir: Path,
    should_stop: Callable[[], bool] = lambda: False,
    on_track: OnTrack = unheard,
    *,
    root: Path | None = None,
) -> list[Outcome]:
    """For each audio file its mean embedding (D,) as float32 on disk, or what is wrong with it."""
    folder = cache_dir / "embeddings" / weights_sha256[:16]
    targets: dict[int, Cached] = {}
    outcomes: dict[int, Outcome] = {}

    def missing() -> Iterator[tuple[int, BinaryIO]]:
        for index, source in enumerate(sources):
            file, found = None, known(source, root, folder, cache_dir)
            try:
                if found is None:
                    file = open_audio(source, root)
                    found = cached(folder, identify(file, cache_dir))
            except ItemError as error:
                found = error
            if file is not None and isinstance(found, Cached) and not found.file.exists():
                targets[index] = found
                yield index, file
                continue
            if file is not None:
                file.close()
            outcomes[index] = found

    with _one_thread():
        for index, outcome in tagger.analyse(missing(), max_duration_s=MAX_DURATION_S, apart=True):
            if isinstance(outcome, Analysis):
                write_warnings(targets[index].file, outcome.warnings)
                write_array(targets[index].file, outcome.embedding)
                outcomes[index] = replace(targets[index], warnings=outcome.warnings)
            else:
                outcomes[index] = outcome
            on_track(len(outcomes), len(sources))
            if should_stop():
                raise TrainingStopped
    on_track(len(outcomes), len(sources))
    return [outcomes[index] for index in range(len(sources))]


@contextmanager
def _one_thread() -> Iterator[None]:
    """torch computes in one thread: a few patches are too little to share, and decoding needs a core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
