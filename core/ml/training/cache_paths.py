"""Paths of cached arrays, without torch, for callers that only delete them."""

from collections.abc import Iterator
from pathlib import Path

LOG_MEL, EMBEDDINGS = "log-mel", "embeddings"
KINDS = (LOG_MEL, EMBEDDINGS)  # each with a folder per version, in it one per configuration or encoder


def cache_path(folder: Path, content: str) -> Path:
    """Path of the array for the audio with this hash, in one of 256 subfolders."""
    return folder / content[:2] / f"{content}.npy"


def notes_path(array: Path) -> Path:
    """Path of the warnings about the audio of a cached array."""
    return array.with_suffix(".warnings.json")


def cache_paths(cache_dir: Path, content: str) -> Iterator[Path]:
    """Every path at which an array computed from this audio may be cached."""
    for kind in KINDS:
        for folder in (cache_dir / kind).glob("*/*"):
            yield cache_path(folder, content)


def embeddings_folders(cache_dir: Path, weights_sha256: str) -> Iterator[Path]:
    """The embedding folders of an encoder, one per version of the code."""
    yield from (cache_dir / EMBEDDINGS).glob(f"*/{weights_sha256[:16]}")
