"""The fits of a training: one on a split, or one per fold and a final one on all tracks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.ml.datasets.examples import Part
from core.ml.training.bases import Resolved
from core.ml.training.checkpoint import Checkpoint, Checkpoints
from core.ml.training.context import Stage, TrainingContext
from core.ml.training.early_stopping import best_epochs, describe, final_epochs, with_validation
from core.ml.training.learners import fit_model
from core.ml.training.prediction import HeldOutScores, Scores, joined, predict
from core.ml.training.prepared_dataset import PreparedDataset
from core.ml.training.processes import is_first, world_size
from core.ml.training.reports import EpochReport
from core.states import Activity


@dataclass(frozen=True)
class Fitted:
    model: nn.Module
    history: list[EpochReport]
    validation: HeldOutScores  # for choosing thresholds and calibration; may contain training tracks
    test: HeldOutScores  # with cross-validation the same as `validation`
    notes: tuple[str, ...] = ()  # sentences on how the fits were made and ended


def fit_all(
    resolved: Resolved, prepared: PreparedDataset, context: TrainingContext, checkpoints: Path
) -> Fitted:
    """Fit the model, and score the held-out tracks."""
    if len(prepared.splits) == 1:
        return _hold_out(resolved, prepared, context, checkpoints)
    return _cross_validate(resolved, prepared, context, checkpoints)


def _hold_out(
    resolved: Resolved, prepared: PreparedDataset, context: TrainingContext, checkpoints: Path
) -> Fitted:
    rows = {part: prepared.rows(prepared.splits[0].part(part)) for part in Part}
    stage = Stage(rows[Part.TRAIN], rows[Part.VALIDATION], checkpoints / "only", scores_training=True)
    fitted = fit_model(resolved, prepared, stage, context)
    validation, test = (
        HeldOutScores(rows[part], _score(fitted.module, prepared, rows[part], context), [0] * len(rows[part]))
        for part in (Part.VALIDATION, Part.TEST)
    )
    if fitted.out_of_fold is not None:
        validation = joined((fitted.out_of_fold, validation))
    return Fitted(fitted.module, fitted.reports, validation, test, _notes(fitted.note))


def _cross_validate(
    resolved: Resolved, prepared: PreparedDataset, context: TrainingContext, checkpoints: Path
) -> Fitted:
    """Score every track by the model that was not trained on it; the final model is trained on all tracks."""
    parts = list(_folds(resolved, prepared, context, checkpoints))
    best = best_epochs([history for _, _, history in parts])
    everything = list(range(len(prepared.dataset.examples)))
    stage = Stage(everything, [], checkpoints / "final", epochs=final_epochs(best, resolved.config))
    fitted = fit_model(resolved, prepared, stage, context)
    scored = HeldOutScores(
        rows=[row for rows, _, _ in parts for row in rows],
        scores=np.concatenate([scores for _, scores, _ in parts]),
        folds=[fold for fold, (rows, _, _) in enumerate(parts, start=1) for _ in rows],
    )
    history = [report for _, _, of_fold in parts for report in of_fold] + fitted.reports
    notes = _notes(describe(best, resolved.config), fitted.note)
    return Fitted(fitted.module, history, scored, scored, notes)


def _notes(*sentences: str | None) -> tuple[str, ...]:
    return tuple(sentence for sentence in sentences if sentence)


def _folds(
    resolved: Resolved, prepared: PreparedDataset, context: TrainingContext, checkpoints: Path
) -> Iterator[tuple[list[int], Scores, list[EpochReport]]]:
    """Rows, scores and history of each fold; folds that an interrupted training had finished are loaded."""
    count, total = len(prepared.splits), len(prepared.dataset.examples)
    for number, split in enumerate(prepared.splits, start=1):
        rows = prepared.rows(split.test)
        finished = Checkpoints(checkpoints / f"fold-{number}-finished")
        known = finished.load_latest()
        if known is None:
            folder = checkpoints / f"fold-{number}"
            train = prepared.rows(split.train)
            stage = Stage(train, [], folder, fold=number, folds=count, epoch_tracks=total)
            stage = with_validation(stage, prepared, resolved.config)
            fitted = fit_model(resolved, prepared, stage, context)
            history, scores = fitted.reports, _score(fitted.module, prepared, rows, context)
            if is_first():
                state = {"history": [report.as_dict() for report in history]}
                finished.save(0, Checkpoint({"scores": torch.from_numpy(scores)}, state))
        else:
            scores = known.tensors["scores"].numpy()
            history = [EpochReport.from_dict(report) for report in known.state["history"]]
        yield rows, scores, history


def _score(model: nn.Module, prepared: PreparedDataset, rows: list[int], context: TrainingContext) -> Scores:
    def note(done: int) -> None:
        context.note(Activity.SCORING, done * world_size(), len(rows))

    return predict(model, prepared.tracks.inputs, rows, None, context.device, note)
