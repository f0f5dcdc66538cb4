"""Loaded models: each worker process loads one once and keeps it."""

from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from core.ml.inference.tagger import Tagger
from core.settings import get_settings
from core.store.tables import Model


def get_tagger(model: Model, threads: int | None) -> Tagger:
    """`threads` for torch: 1 where a process per core does bulk work, None for all cores."""
    return _load(model.artifact_url, threads)


@lru_cache(maxsize=2)
def _load(artifact_url: str, threads: int | None) -> Tagger:
    folder = Path(url2pathname(urlsplit(artifact_url).path))
    return Tagger.load(folder, get_settings().device, threads)
