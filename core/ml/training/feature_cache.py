"""Log-mel frames of whole tracks on disk, so that audio is decoded once for all trainings."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
import torch

from core.atomic_write import atomic_write
from core.config.models import FeatureConfig
from core.errors import ItemError
from core.ml.audio.features import LogMel, LogMelStream
from core.ml.audio.sandbox import stream
from core.ml.datasets.credits import Credits
from core.ml.datasets.paths import open_audio
from core.ml.training.cache_paths import LOG_MEL, cache_path, notes_path
from core.ml.training.cache_versions import folder_of
from core.ml.training.context import OnTrack, TrainingStopped, ignore_progress
from core.ml.training.identity import Identity, check_unchanged, identify, known_identity
from core.ml.training.store_limit import mark_used

MAX_DURATION_S = 4 * 3600.0
TRACKS_AHEAD = 4  # per thread; bounds how long a stop takes


@dataclass(frozen=True)
class Cached:
    """The cached array of a track, and what is known of its file."""

    file: Path  # array in .npy format
    content: str  # hex hash of the audio
    credits: Credits  # from its tags
    warnings: tuple[str, ...] = ()  # sentences about audio that could not be decoded


CacheResult = Cached | ItemError


def cache_log_mels(
    sources: Sequence[Path],
    features: FeatureConfig,
    cache_dir: Path,
    should_stop: Callable[[], bool] = lambda: False,
    on_track: OnTrack = ignore_progress,
    *,
    root: Path | None = None,
    contents: Mapping[Path, str] = MappingProxyType({}),
    threads: int | None = None,
    on_step: Callable[[], None] = lambda: None,
    make_space: Callable[[int], None] = lambda _size: None,
) -> list[CacheResult]:
    """For each audio file its frames (N, F) as float16 on disk, or the error. Raises TrainingStopped.

    `contents` are known hashes of audio in hex: such a file is not opened if its frames are there. `on_step`
    is called from `threads` threads (None: one per core), at least once per decoded block; `make_space`
    before frames are written, with their size in bytes.
    """
    folder = folder_of(cache_dir, LOG_MEL) / config_hash(features)
    log_mel = LogMel(features)
    outcomes: dict[int, CacheResult] = {}
    threads = threads or os.cpu_count() or 1

    def cache(source: Path) -> CacheResult:
        return _cache_one(source, root, log_mel, folder, cache_dir, contents, on_step, make_space)

    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="decode") as pool:
        running: dict[Future[CacheResult], int] = {}
        for index, source in enumerate(sources):
            if should_stop():
                raise TrainingStopped
            running[pool.submit(cache, source)] = index
            while len(running) >= TRACKS_AHEAD * threads:
                _collect(running, outcomes)
                on_track(len(outcomes), len(sources))
        while running:
            _collect(running, outcomes)
            on_track(len(outcomes), len(sources))
    return [outcomes[index] for index in range(len(sources))]


def config_hash(features: FeatureConfig) -> str:
    return hashlib.sha256(features.model_dump_json().encode()).hexdigest()[:16]


def known(
    source: Path, root: Path | None, folder: Path, cache_dir: Path, contents: Mapping[Path, str]
) -> Cached | None:
    """The cached array of a file whose audio is known, without opening it; None if either is unknown."""
    identity = known_identity(source, root, cache_dir, contents)
    if identity is None or not cache_path(folder, identity.content).exists():
        return None
    return cached(folder, identity)


def cached(folder: Path, identity: Identity) -> Cached:
    file = cache_path(folder, identity.content)
    return Cached(file, identity.content, identity.credits, read_warnings(file))


def write_warnings(path: Path, warnings: Sequence[str]) -> None:
    """Store the warnings about a track beside its array; to be written before the array."""
    if warnings:
        with atomic_write(notes_path(path)) as file:
            file.write(json.dumps(list(warnings)).encode())


def read_warnings(path: Path) -> tuple[str, ...]:
    """The warnings stored beside an array."""
    try:
        return tuple(map(str, json.loads(notes_path(path).read_bytes())))
    except FileNotFoundError:
        return ()


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file atomically."""
    with atomic_write(path) as file:
        np.save(file, array, allow_pickle=False)


def _collect(running: dict[Future[CacheResult], int], outcomes: dict[int, CacheResult]) -> None:
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in finished:
        outcomes[running.pop(future)] = future.result()


def _cache_one(
    source: Path,
    root: Path | None,
    log_mel: LogMel,
    folder: Path,
    cache_dir: Path,
    contents: Mapping[Path, str],
    on_step: Callable[[], None],
    make_space: Callable[[int], None],
) -> CacheResult:
    try:
        if (found := known(source, root, folder, cache_dir, contents)) is not None:
            mark_used(found.file)
            return found
        with open_audio(source, root) as file:
            before = os.fstat(file.fileno())
            found = cached(folder, identify(file, cache_dir))
            if not found.file.exists():
                frames, warnings = _frames(file, log_mel, on_step)
                check_unchanged(before, os.fstat(file.fileno()))
                make_space(frames.nbytes)
                write_warnings(found.file, warnings)
                write_array(found.file, frames)
                found = replace(found, warnings=warnings)
    except ItemError as error:
        return error
    return found


@torch.inference_mode()
def _frames(
    file: BinaryIO, log_mel: LogMel, on_step: Callable[[], None]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The track's frames (N, F) and warnings. The rounding of float16 is below the loss of audio codecs."""
    frames = LogMelStream(log_mel)
    pieces = []
    blocks = stream(file, log_mel.config.sample_rate, max_duration_s=MAX_DURATION_S)
    while True:
        on_step()
        try:
            block = next(blocks)
        except StopIteration as stop:
            warnings: tuple[str, ...] = stop.value.warnings
            break
        pieces.append(frames.push(torch.from_numpy(block)).T.half().numpy())
    pieces.append(frames.finish().T.half().numpy())
    return np.ascontiguousarray(np.concatenate(pieces)), warnings
