"""The progress of a fit, as plain values for its checkpoint."""

from dataclasses import asdict, dataclass, field
from typing import Any

from core.ml.training.reports import EpochReport


@dataclass
class FitProgress:
    epoch: int = 0  # finished epochs
    step: int = 0  # finished steps of the current epoch
    loss_sum: float = 0.0  # over these steps, averaged over all processes
    duration_s: float = 0.0
    data_wait_s: float = 0.0
    best_epoch: int | None = None
    best_loss: float | None = None
    history: list[EpochReport] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> "FitProgress":
        return cls(**{**state, "history": [EpochReport.from_dict(report) for report in state["history"]]})

    def end_epoch(self, report: EpochReport) -> None:
        self.history.append(report)
        self.epoch += 1
        self.step, self.loss_sum, self.duration_s, self.data_wait_s = 0, 0.0, 0.0, 0.0
        if report.is_best:
            self.best_epoch, self.best_loss = self.epoch, report.validation_loss

    def is_exhausted(self, patience: int | None) -> bool:
        """Whether the validation loss has not improved for `patience` epochs."""
        if patience is None or self.best_epoch is None:
            return False
        return self.epoch - self.best_epoch >= patience
