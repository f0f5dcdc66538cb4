"""Embeddings of whole tracks: those that are stored, else computed exactly as in serving and kept on disk."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch

from core.errors import ItemError
from core.ml.datasets.credits import Credits
from core.ml.datasets.paths import open_audio, status_of_audio
from core.ml.inference.tagger import Analysis, Tagger
from core.ml.training.cache_paths import EMBEDDINGS
from core.ml.training.cache_versions import folder_of
from core.ml.training.context import OnTrack, TrainingStopped, ignore_progress
from core.ml.training.feature_cache import (
    MAX_DURATION_S,
    Cached,
    cached,
    write_array,
    write_warnings,
)
from core.ml.training.identity import Identity, check_unchanged, identify, known_identity


@dataclass(frozen=True)
class StoredEmbedding:
    """The mean embedding of a whole track, as an analysis has stored it."""

    vector: npt.NDArray[np.float32]  # (D,)
    warnings: tuple[str, ...] = ()  # sentences about audio that could not be decoded


# From the SHA-256 of a backbone's weights and hex hashes of audio: the embeddings that are stored, by hash.
FindStored = Callable[[str, Collection[str]], Mapping[str, StoredEmbedding]]


def find_nothing(_weights_sha256: str, _contents: Collection[str]) -> Mapping[str, StoredEmbedding]:
    """A `FindStored` without a store."""
    return {}


@dataclass(frozen=True)
class Embedded:
    """The mean embedding of a track, and what is known of its file."""

    vector: npt.NDArray[np.float32]  # (D,)
    content: str  # hex hash of the audio
    credits: Credits  # from its tags
    warnings: tuple[str, ...] = ()  # sentences about audio that could not be decoded


EmbeddingResult = Embedded | ItemError


def collect_embeddings(
    sources: Sequence[Path],
    tagger: Tagger,
    weights_sha256: str,
    cache_dir: Path,
    should_stop: Callable[[], bool] = lambda: False,
    on_track: OnTrack = ignore_progress,
    *,
    root: Path | None = None,
    contents: Mapping[Path, str] = MappingProxyType({}),
    find_stored: FindStored = find_nothing,
) -> list[EmbeddingResult]:
    """For each audio file its mean embedding, or the error. Raises TrainingStopped.

    Only audio of which neither `find_stored` nor the cache has an embedding is decoded. `contents` are known
    hashes of audio in hex: a file among them is not opened if its embedding is found. `find_stored` is also
    called from another thread.
    """
    folder = folder_of(cache_dir, EMBEDDINGS) / weights_sha256[:16]
    find = partial(_find, folder=folder, find_stored=partial(find_stored, weights_sha256))
    targets: dict[int, tuple[Cached, os.stat_result]] = {}
    recalled, missing_files = _recall(sources, root, cache_dir, contents)
    outcomes: dict[int, EmbeddingResult] = {**missing_files, **find(recalled)}

    def missing() -> Iterator[tuple[int, BinaryIO]]:
        for index in [index for index in range(len(sources)) if index not in outcomes]:
            try:
                file, status, identity = _identified(sources[index], root, cache_dir)
            except ItemError as error:
                outcomes[index] = error
                continue
            if found := find({index: identity}):
                file.close()
                outcomes.update(found)
            else:
                targets[index] = cached(folder, identity), status
                yield index, file

    def store(index: int, analysis: Analysis) -> EmbeddingResult:
        target, before = targets[index]
        try:
            check_unchanged(before, status_of_audio(sources[index], root))
        except ItemError as error:
            return error
        write_warnings(target.file, analysis.warnings)
        write_array(target.file, analysis.embedding)
        return Embedded(analysis.embedding, target.content, target.credits, analysis.warnings)

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


def _recall(
    sources: Sequence[Path], root: Path | None, cache_dir: Path, contents: Mapping[Path, str]
) -> tuple[dict[int, Identity], dict[int, ItemError]]:
    """What is known of the files without opening them, and the errors of those that are not there."""
    identities, errors = {}, {}
    for index, source in enumerate(sources):
        try:
            identity = known_identity(source, root, cache_dir, contents)
        except ItemError as error:
            errors[index] = error
            continue
        if identity is not None:
            identities[index] = identity
    return identities, errors


def _find(
    identities: Mapping[int, Identity],
    *,
    folder: Path,
    find_stored: Callable[[Collection[str]], Mapping[str, StoredEmbedding]],
) -> dict[int, Embedded]:
    """The embeddings that are stored or cached, by the index of the track."""
    stored = find_stored({identity.content for identity in identities.values()})
    found = {}
    for index, identity in identities.items():
        if (known := stored.get(identity.content)) is not None:
            found[index] = Embedded(known.vector, identity.content, identity.credits, known.warnings)
        elif (entry := cached(folder, identity)).file.exists():
            vector = np.load(entry.file, allow_pickle=False)  # noqa: TID251
            found[index] = Embedded(vector, entry.content, entry.credits, entry.warnings)
    return found


def _identified(
    source: Path, root: Path | None, cache_dir: Path
) -> tuple[BinaryIO, os.stat_result, Identity]:
    """The open file, its status, and its identity. Raises ItemError."""
    file = open_audio(source, root)
    try:
        before = os.fstat(file.fileno())
        identity = identify(file, cache_dir)
        check_unchanged(before, os.fstat(file.fileno()))
    except ItemError:
        file.close()
        raise
    return file, before, identity


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit torch to one thread: batches are small, and decoding needs a core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
