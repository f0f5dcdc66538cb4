"""Embeddings of whole tracks on disk, computed exactly as in serving."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import torch

from core.errors import ItemError
from core.ml.datasets.paths import open_audio, status_of_audio
from core.ml.inference.tagger import Analysis, Tagger
from core.ml.training.cache_paths import EMBEDDINGS
from core.ml.training.cache_versions import folder_of
from core.ml.training.context import OnTrack, TrainingStopped, ignore_progress
from core.ml.training.feature_cache import (
    MAX_DURATION_S,
    Cached,
    CacheResult,
    cached,
    known,
    write_array,
    write_warnings,
)
from core.ml.training.identity import check_unchanged, identify


def cache_embeddings(
    sources: Sequence[Path],
    tagger: Tagger,
    weights_sha256: str,
    cache_dir: Path,
    should_stop: Callable[[], bool] = lambda: False,
    on_track: OnTrack = ignore_progress,
    *,
    root: Path | None = None,
) -> list[CacheResult]:
    """For each audio file the cached mean embedding (D,), float32, or the error. Raises TrainingStopped."""
    folder = folder_of(cache_dir, EMBEDDINGS) / weights_sha256[:16]
    targets: dict[int, tuple[Cached, os.stat_result]] = {}
    outcomes: dict[int, CacheResult] = {}

    def missing() -> Iterator[tuple[int, BinaryIO]]:
        for index, source in enumerate(sources):
            found, file = _look_up(source, root, folder, cache_dir)
            if file is not None and isinstance(found, Cached):
                targets[index] = found, os.fstat(file.fileno())
                yield index, file
            else:
                outcomes[index] = found

    def store(index: int, analysis: Analysis) -> CacheResult:
        target, before = targets[index]
        try:
            check_unchanged(before, status_of_audio(sources[index], root))
        except ItemError as error:
            return error
        write_warnings(target.file, analysis.warnings)
        write_array(target.file, analysis.embedding)
        return replace(target, warnings=analysis.warnings)

    with _one_thread():
        for index, outcome in tagger.analyse(
            missing(), max_duration_s=MAX_DURATION_S, deterministic_batches=True
        ):
            outcomes[index] = outcome if isinstance(outcome, ItemError) else store(index, outcome)
            on_track(len(outcomes), len(sources))
            if should_stop():
                raise TrainingStopped
    on_track(len(outcomes), len(sources))
    return [outcomes[index] for index in range(len(sources))]


def _look_up(
    source: Path, root: Path | None, folder: Path, cache_dir: Path
) -> tuple[CacheResult, BinaryIO | None]:
    """The cached embedding or the error; with an open file if the embedding is yet to be computed."""
    if (found := known(source, root, folder, cache_dir)) is not None:
        return found, None
    try:
        file = open_audio(source, root)
    except ItemError as error:
        return error, None
    try:
        before = os.fstat(file.fileno())
        target = cached(folder, identify(file, cache_dir))
        check_unchanged(before, os.fstat(file.fileno()))
    except ItemError as error:
        file.close()
        return error, None
    if target.file.exists():
        file.close()
        return target, None
    return target, file


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit torch to one thread: batches are small, and decoding needs a core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
