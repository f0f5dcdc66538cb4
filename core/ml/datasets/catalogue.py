"""The dataset formats by their name in the configuration."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from core.config.dataset import CorrectionsDataset, DatasetConfig, InLibrary, LabelConfig, LibraryDataset
from core.ml.datasets import corrections, fma, folder, gtzan, jamendo, library, magnatagatune, manifest, msd
from core.ml.datasets.corrections import CorrectedTrack
from core.ml.datasets.examples import Dataset
from core.ml.datasets.library import TaggedTrack
from core.ml.datasets.spellings import with_one_spelling

READERS: dict[str, Callable[..., Dataset]] = {
    "folder": folder.read,
    "manifest": manifest.read,
    "fma": fma.read,
    "gtzan": gtzan.read,
    "jamendo": jamendo.read,
    "magnatagatune": magnatagatune.read,
    "msd": msd.read,
    "library": library.read,
    "corrections": corrections.read,
}


def read_dataset(config: DatasetConfig) -> Dataset:
    """Read a dataset, with one spelling per label. For a library use the two below."""
    if isinstance(config, InLibrary):
        raise ValueError("the tracks of a library are known to the database only")
    options = config.model_dump(exclude={"kind", "root"})
    return with_one_spelling(READERS[config.kind](Path(config.root), **options))


def read_library(
    config: LibraryDataset,
    root: Path,
    tracks: Iterable[TaggedTrack],
    facets: Mapping[str, str] | None = None,
    selection: LabelConfig | None = None,
) -> Dataset:
    """The library at `root` with the given tracks, with one spelling per label; see `library.read`."""
    options = config.model_dump(exclude={"kind", "library", "path"})
    return with_one_spelling(
        READERS[config.kind](root, tracks, **options, facets=facets, selection=selection)
    )


def read_corrections(
    config: CorrectionsDataset, root: Path, tracks: Iterable[CorrectedTrack], selection: LabelConfig | None
) -> Dataset:
    """The tracks of the library at `root` on whose labels people have decided. Raises UnusableDataset."""
    return with_one_spelling(corrections.read(root, tracks, config.labels, config.exclusive, selection))
