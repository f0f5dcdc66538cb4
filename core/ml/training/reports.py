"""Reports of a training, during it and at its end."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class EpochReport:
    """One pass over the training tracks."""

    epoch: int  # from 1
    epochs: int  # at most
    fold: int | None  # from 1; None outside cross-validation
    folds: int | None
    train_loss: float | None  # None if the model has no loss
    validation_loss: float | None
    validation: Mapping[str, float]  # metrics of the averaged weights
    learning_rate: float  # of the last step
    steps: int
    duration_s: float  # of the steps; validation and checkpoints are not part of it
    data_wait_s: float  # part of `duration_s` spent waiting for inputs
    validation_s: float
    is_best: bool

    @property
    def busy_share(self) -> float:
        """Share of the epoch that was not spent waiting for inputs."""
        return 1 - self.data_wait_s / self.duration_s if self.duration_s else 1.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"busy_share": self.busy_share}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EpochReport":
        return cls(**{name: value for name, value in values.items() if name != "busy_share"})


@dataclass(frozen=True)
class TrainingResult:
    """The result of a finished training, as stored in its folder."""

    folder: Path
    labels: tuple[str, ...]
    results: Mapping[str, Any]  # the content of test_results.json
    metrics: Mapping[str, float]
    history: tuple[EpochReport, ...]
    dropped: Mapping[str, str] = field(default_factory=dict)  # id of an unusable track -> error code
