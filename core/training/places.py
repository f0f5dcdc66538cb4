"""Where arrays computed from audio lie in the cache; without torch, for those who only delete them."""

from collections.abc import Iterator
from pathlib import Path

KINDS = ("log-mel", "embeddings")  # each with a folder per configuration or encoder


def place(folder: Path, content: str) -> Path:
    """Where the array of an audio file with this hash lies; spread over folders: there may be a million."""
    return folder / content[:2] / f"{content}.npy"


def places(cache_dir: Path, content: str) -> Iterator[Path]:
    """Every place where something computed from this audio may lie."""
    for kind in KINDS:
        for folder in (cache_dir / kind).glob("*"):
            yield place(folder, content)


def embeddings_folder(cache_dir: Path, weights_sha256: str) -> Path:
    """The embeddings of an encoder."""
    return cache_dir / "embeddings" / weights_sha256[:16]
