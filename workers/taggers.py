"""Loaded models, cached per worker process."""

from functools import lru_cache
from pathlib import Path

from core.ml.inference.tagger import Tagger
from core.settings import get_settings
from core.store.registry import artifact_folder
from core.store.tables import Model


def get_tagger(model: Model, threads: int | None) -> Tagger:
    """`threads` of torch: 1 for batch workers, which have a process per core; None for all cores."""
    return _load(artifact_folder(model), threads)


@lru_cache(maxsize=2)
def _load(folder: Path, threads: int | None) -> Tagger:
    return Tagger.load(folder, get_settings().device, threads)
