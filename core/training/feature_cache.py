"""Log-mel frames of whole tracks on disk, so that audio is decoded once, whatever is trained on it."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from core.audio.features import LogMel, LogMelStream
from core.audio.sandbox import stream
from core.config import FeatureConfig
from core.errors import Disappeared, ItemError, NotAFile, Unreadable
from core.library.content import content_hash
from core.training.run import OnTrack, TrainingStopped, unheard

MAX_DURATION_S = 4 * 3600.0
TRACKS_AHEAD = 4  # per thread; bounds what a stop has to wait for


@dataclass(frozen=True)
class Cached:
    """A track that can be learnt from."""

    file: Path  # array in .npy format
    content: str  # hex SHA-256 of the audio file


Outcome = Cached | ItemError


def cache_log_mels(
    sources: Sequence[Path],
    features: FeatureConfig,
    cache_dir: Path,
    should_stop: Callable[[], bool] = lambda: False,
    on_track: OnTrack = unheard,
) -> list[Outcome]:
    """For each audio file its frames (N, F) as float16 on disk, or what is wrong with it."""
    folder = cache_dir / "log-mel" / config_hash(features)
    log_mel = LogMel(features)
    outcomes: dict[int, Outcome] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="decode") as pool:
        running: dict[Future[Outcome], int] = {}
        for index, source in enumerate(sources):
            if should_stop():
                raise TrainingStopped
            running[pool.submit(_cache_one, source, log_mel, folder)] = index
            while len(running) >= TRACKS_AHEAD * (os.cpu_count() or 1):
                _collect(running, outcomes)
                on_track(len(outcomes), len(sources))
        while running:
            _collect(running, outcomes)
            on_track(len(outcomes), len(sources))
    return [outcomes[index] for index in range(len(sources))]


def config_hash(features: FeatureConfig) -> str:
    return hashlib.sha256(features.model_dump_json().encode()).hexdigest()[:16]


def open_track(path: Path) -> BinaryIO:
    """The file, or the item error that says why not."""
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise Disappeared from error
    except IsADirectoryError as error:
        raise NotAFile from error
    except PermissionError as error:
        raise Unreadable from error


def place(folder: Path, content: str) -> Path:
    """Where the array of an audio file with this hash lies; spread over folders: there may be a million."""
    return folder / content[:2] / f"{content}.npy"


def write_array(path: Path, array: np.ndarray) -> None:
    """Write a .npy file that is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _collect(running: dict[Future[Outcome], int], outcomes: dict[int, Outcome]) -> None:
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in finished:
        outcomes[running.pop(future)] = future.result()


def _cache_one(source: Path, log_mel: LogMel, folder: Path) -> Outcome:
    try:
        with open_track(source) as file:
            content = content_hash(file).hex()
            target = place(folder, content)
            if not target.exists():
                write_array(target, _frames(file, log_mel))
    except ItemError as error:
        return error
    return Cached(target, content)


@torch.inference_mode()
def _frames(file: BinaryIO, log_mel: LogMel) -> np.ndarray:
    """The track's frames (N, F); float16 is exact to 1/2000, less than what two encodings differ by."""
    frames = LogMelStream(log_mel)
    pieces = []
    for block in stream(file, log_mel.config.sample_rate, max_duration_s=MAX_DURATION_S):
        pieces.append(frames.push(torch.from_numpy(block)).T.half().numpy())
    pieces.append(frames.finish().T.half().numpy())
    return np.ascontiguousarray(np.concatenate(pieces))
