"""Typed configuration of datasets, labels and splits, without torch, so that the gateway can validate it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from core.config.base import Config
from core.spelling import name_key

SMALL, USUAL_FOLDS = 500, 5  # with fewer tracks, the parts of one split are too small to be measured by
PART = 0.1  # usual share of the validation and of the test part
SplitFraction = Annotated[float, Field(gt=0, lt=0.5, description="share of the tracks")]


def _agreeing(aliases: dict[str, str]) -> dict[str, str]:
    """Refuse aliases that map one label to different names."""
    meanings: dict[str, str] = {}
    for label, name in aliases.items():
        if name_key(meanings.setdefault(name_key(label), name)) != name_key(name):
            raise ValueError(f"the label {label!r} has two different aliases")
    return aliases


Aliases = Annotated[
    dict[str, str],
    AfterValidator(_agreeing),
    Field(description="label as found -> label to use; an empty one removes the label"),
]
PathLabels = Literal["folder", "words"]


def placed(root: str, data_dir: Path) -> Path:
    """The path of a dataset's root, in which a leading `.mfa` is the data folder."""
    path = Path(root)
    return data_dir.joinpath(*path.parts[1:]) if path.parts[:1] == (".mfa",) else path


class _OnDisk(Config):
    root: Annotated[str, Field(min_length=1, description="the dataset's folder")]


class _FromPaths(Config):
    vocabulary: Annotated[
        tuple[str, ...], Field(description="labels to look for in the path; for labels_from: words")
    ] = ()

    def _check_vocabulary(self, labels_from: str) -> None:
        if (labels_from == "words") != bool(self.vocabulary):
            raise ValueError("labels_from: words needs a vocabulary, and only that")


class FolderDataset(_OnDisk, _FromPaths):
    """One folder per genre, or labels from words of the path."""

    kind: Literal["folder"] = "folder"
    labels_from: PathLabels = "folder"

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_vocabulary(self.labels_from)
        return self


class ManifestDataset(_OnDisk):
    """A CSV file `path,genres[,artist,album,split,duration]` in the dataset's folder."""

    kind: Literal["manifest"] = "manifest"
    file: str = "manifest.csv"


class FMADataset(_OnDisk):
    """Free Music Archive: `fma_metadata` and `fma_<size>` side by side."""

    kind: Literal["fma"] = "fma"
    size: Literal["small", "medium", "large"] = "small"
    labels: Literal["genre_top", "genres", "genres_all"] = "genre_top"


class GTZANDataset(_OnDisk):
    kind: Literal["gtzan"] = "gtzan"


class JamendoDataset(_OnDisk):
    """MTG-Jamendo: `data` of its repository, and audio in the folder `audio` beside it."""

    kind: Literal["jamendo"] = "jamendo"
    category: Literal["genre", "instrument", "mood/theme", "top50", "all"] = "genre"
    split: Annotated[int, Field(ge=0, le=4)] = 0
    audio: Annotated[str, Field(description="folder of 00 to 99, within the root")] = "audio"
    low_quality: Annotated[bool, Field(description="file names like 775.low.mp3")] = False


class MagnaTagATuneDataset(_OnDisk):
    kind: Literal["magnatagatune"] = "magnatagatune"


class MSDDataset(_OnDisk):
    """The part of the Million Song Dataset with Last.fm tags; its audio cannot be downloaded."""

    kind: Literal["msd"] = "msd"
    audio: Annotated[str, Field(description="folder of the audio, within the root")] = "audio"


class LibraryDataset(_FromPaths):
    """The tracks of a library, labelled by genre tags or by paths."""

    kind: Literal["library"] = "library"
    library: Annotated[str, Field(min_length=1, description="name of the library")]
    path: Annotated[str, Field(description="folder within the library")] = ""
    labels_from: Literal["genre_tags"] | PathLabels = "genre_tags"
    separators: Annotated[str, Field(description="characters between two genres in one tag")] = ";/|,\\"
    aliases: Annotated[Aliases, Field(description="also looked up before a tag is split at separators")] = {}  # noqa: RUF012 (pydantic copies it)
    corrections: Annotated[
        bool, Field(description="what people said outranks tags and paths; learnt labels must be sure")
    ] = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_vocabulary(self.labels_from)
        return self


class CorrectionsDataset(Config):
    """The tracks of a library on whose labels people have decided; what nobody said is unknown, not a no."""

    kind: Literal["corrections"] = "corrections"
    library: Annotated[str, Field(min_length=1, description="name of the library")]
    path: Annotated[str, Field(description="folder within the library")] = ""
    label_set: (
        Annotated[str, Field(description="its labels are learnt; by default those that people gave")] | None
    ) = None
    labels: Annotated[tuple[str, ...], Field(description="set from the label set when the job is made")] = ()
    exclusive: Annotated[
        tuple[tuple[str, ...], ...],
        Field(description="groups of labels of which a track has one; from a label set that says so"),
    ] = ()


InLibrary = LibraryDataset | CorrectionsDataset  # their tracks are known to the database
DatasetConfig = Annotated[
    FolderDataset
    | ManifestDataset
    | FMADataset
    | GTZANDataset
    | JamendoDataset
    | MagnaTagATuneDataset
    | MSDDataset
    | LibraryDataset
    | CorrectionsDataset,
    Field(discriminator="kind"),
]


def reads_corrections(experiment: Mapping[str, Any]) -> bool:
    """Whether a training of this experiment, as runs and model cards store it, has read corrections."""
    dataset = experiment.get("dataset", {})
    return dataset.get("kind") == "corrections" or bool(dataset.get("corrections"))


class LabelConfig(Config):
    """Which of a dataset's labels are used."""

    num_genres: (
        Annotated[int, Field(ge=2, le=100_000, description="the most frequent labels; all by default")] | None
    ) = None
    min_tracks: Annotated[int, Field(ge=1, le=1_000_000_000, description="minimum per label")] = 1
    min_artists: Annotated[
        int, Field(ge=1, le=1_000_000_000, description="minimum per label; unknown artists count as one")
    ] = 1
    aliases: Aliases = {}  # noqa: RUF012 (pydantic copies it)


class SplitConfig(Config):
    """How tracks are split for training and evaluation.

    Without `folds`, fewer than 500 tracks are cross-validated in five folds, unless the dataset has a split
    of its own or the sizes of the parts are given: a tenth of them would be too few to be measured by.
    """

    own: Annotated[bool, Field(description="use the dataset's own split if it is complete")] = True
    validation: SplitFraction = PART
    test: SplitFraction = PART
    folds: (
        Annotated[
            int,
            Field(ge=1, le=20, description="of a cross-validation; 1: a single split; by default by size"),
        ]
        | None
    ) = None
    seed: Annotated[int, Field(ge=0, lt=2**31, description="by default that of the experiment")] | None = None

    @property
    def depends_on_size(self) -> bool:
        """Whether the number of tracks decides between one split and a cross-validation."""
        return self.folds is None and (self.validation, self.test) == (PART, PART)

    @property
    def most_fits(self) -> int:
        """The fits of a training: one on a split, or one for each fold and a final one."""
        folds = USUAL_FOLDS if self.depends_on_size else self.folds or 1
        return folds + 1 if folds > 1 else 1
