"""URLs and checksums of the Free Music Archive dataset, from its README."""

from dataclasses import dataclass
from typing import Literal

_BASE = "https://os.unil.cloud.switch.ch/fma"

FMASize = Literal["small", "medium", "large"]


@dataclass(frozen=True)
class Archive:
    """A ZIP file to download."""

    url: str
    sha1: str

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


METADATA = Archive(f"{_BASE}/fma_metadata.zip", "f0df49ffe5f2a6008d7dc83c6915b31835dfe733")
AUDIO: dict[FMASize, Archive] = {
    "small": Archive(f"{_BASE}/fma_small.zip", "ade154f733639d52e35e32f5593efe5be76c6d70"),
    "medium": Archive(f"{_BASE}/fma_medium.zip", "c67b69ea232021025fca9231fc1c7c1a063ab50b"),
    "large": Archive(f"{_BASE}/fma_large.zip", "497109f4dd721066b5ce5e5f250ec604dc78939e"),
}


def archives(size: FMASize) -> tuple[Archive, Archive]:
    """The archives of a size: tables and audio."""
    return METADATA, AUDIO[size]
