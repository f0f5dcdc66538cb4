"""Where arrays computed from audio lie in the cache; without torch, for those who only delete them."""

from collections.abc import Iterator
from pathlib import Path

LOG_MEL, EMBEDDINGS = "log-mel", "embeddings"
KINDS = (LOG_MEL, EMBEDDINGS)  # each with a folder per version, in it one per configuration or encoder


def place(folder: Path, content: str) -> Path:
    """Where the array of an audio file with this hash lies; spread over folders: there may be a million."""
    return folder / content[:2] / f"{content}.npy"


def places(cache_dir: Path, content: str) -> Iterator[Path]:
    """Every place where something computed from this audio may lie."""
    for kind in KINDS:
        for folder in (cache_dir / kind).glob("*/*"):
            yield place(folder, content)


def embeddings_folders(cache_dir: Path, weights_sha256: str) -> Iterator[Path]:
    """The embeddings of an encoder, a folder per version of the code that computed them."""
    yield from (cache_dir / EMBEDDINGS).glob(f"*/{weights_sha256[:16]}")
