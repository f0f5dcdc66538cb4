"""What each kind of job takes; validated by the gateway before anything is queued."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import Field, model_validator

from core.config.base import Config
from core.config.models import Coverage
from core.config.track_query import QUERY_CHARACTERS


class JobKind(StrEnum):
    ANALYSIS = "analysis"
    PREDICT = "predict"
    TRAINING = "training"
    TUNING = "tuning"
    THRESHOLDS = "thresholds"
    PREVIEW = "preview"
    PEAKS = "peaks"
    MAP = "map"
    COVER = "cover"


class AnalysisParams(Config):
    """Label every track of a library, or of one of its folders."""

    library: str = Field(description="name of a library", min_length=1, max_length=200)
    path: str = Field(default="", description="folder inside the library; empty: all of it", max_length=4096)
    query: str | None = Field(
        default=None,
        max_length=QUERY_CHARACTERS,
        description="instead of listing a folder: the known tracks that `GET /tracks?<query>` finds",
    )
    model: str = Field(default="default", description="model alias, `name` or `name@version`", max_length=200)
    coverage: Coverage = Field(default="full", description="`full`, or `{windows: n}` evenly spaced windows")
    force: bool = Field(default=False, description="also analyse tracks that have a result already")
    confirm_empty: bool = Field(
        default=False,
        description="mark tracks as missing even when the folder holds none of them any more; "
        "without it, such a folder is taken for a disk that is not mounted",
    )


class PredictParams(Config):
    """Label one uploaded file."""

    filename: str = Field(max_length=1000)
    model: str = Field(default="default", max_length=200)


class OneTrackParams(Config):
    """Read the file of one track."""

    kind: ClassVar[JobKind]

    track_id: UUID
    library: str = Field(max_length=200)
    path: str = Field(max_length=4096)


class PeaksParams(OneTrackParams):
    """Compute the waveform of one track."""

    kind = JobKind.PEAKS


class CoverParams(OneTrackParams):
    """Read the cover in the file of one track."""

    kind = JobKind.COVER


class TrainingOverrides(Config):
    """Replace what the experiment says."""

    experiment_name: str | None = None
    num_genres: int | None = None
    epochs: int | None = None
    lr: float | None = None
    batch_size: int | None = None
    seed: int | None = None


ConfigName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]


class TrainingParams(Config):
    """Train on a dataset: makes a new version of the model that has the experiment's name."""

    experiment: dict[str, Any] | ConfigName = Field(
        description="a configuration, or the name of a file in the server's `configs/experiments`"
    )
    overrides: TrainingOverrides = TrainingOverrides()


class ThresholdParams(Config):
    """Re-tune the label thresholds of a model on the tracks it was validated on."""

    model: str = Field(description="`name` or `name@version` of a model trained here", max_length=200)
    beta: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="weight of recall relative to precision (F-beta); 1 by default",
    )
    min_precision: float | None = Field(
        default=None, gt=0, le=1, description="instead: the most recall with at least this precision"
    )
    force: bool = Field(default=False, description="register a version also for a gain that may be chance")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.beta is not None and self.min_precision is not None:
            raise ValueError("name beta or min_precision, not both")
        return self


class PreviewParams(Config):
    """Say what would change if a model served in place of another one; nothing is changed."""

    model: str = Field(description="model alias, `name` or `name@version`", max_length=200)
    against: str = Field(default="default", description="the model to compare it with", max_length=200)
    library: str | None = Field(
        default=None, description="name of a library; by default all", min_length=1, max_length=200
    )


class MapParams(Config):
    """Draw a map of all tracks, on which those that sound alike lie near each other."""

    model: str = Field(
        default="default",
        description="by whose embeddings, and with whose labels: model alias, `name` or `name@version`",
        max_length=200,
    )
    library: str | None = Field(
        default=None, description="name of a library; by default all", min_length=1, max_length=200
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="another one gives another arrangement")


class TuningParams(Config):
    """Search hyper-parameters. With `thresholds`, the job is of that kind instead."""

    study: dict[str, Any] | ConfigName | None = Field(
        default=None, description="a configuration, or the name of a file in the server's `configs/tuning`"
    )
    thresholds: ThresholdParams | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.study is None) == (self.thresholds is None):
            raise ValueError("name a study or thresholds, not both")
        return self
