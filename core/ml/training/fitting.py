"""The fits that make up a training: one on a split, or one per fold and a final one on everything."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core.ml.datasets.examples import Part
from core.ml.training.bases import Resolved
from core.ml.training.checkpoint import Checkpoint, Checkpoints
from core.ml.training.learners import learn
from core.ml.training.material import Material
from core.ml.training.prediction import Scores, predict
from core.ml.training.processes import is_first, world_size
from core.ml.training.reports import EpochReport
from core.ml.training.run import Run, Stage
from core.states import Activity


@dataclass(frozen=True)
class Scored:
    """What a model that has not learnt from these tracks says about them."""

    rows: list[int]
    scores: Scores  # (M, L)
    folds: list[int]  # the fold that each track was tested in; all 0 without cross-validation


@dataclass(frozen=True)
class Fitted:
    model: nn.Module
    history: list[EpochReport]
    validation: Scored  # to choose thresholds and calibration by
    test: Scored  # with cross-validation the same tracks


def fit_all(resolved: Resolved, material: Material, run: Run, checkpoints: Path) -> Fitted:
    """Learn, and score the tracks that were not learnt from."""
    if len(material.splits) == 1:
        return _hold_out(resolved, material, run, checkpoints)
    return _cross_validate(resolved, material, run, checkpoints)


def _hold_out(resolved: Resolved, material: Material, run: Run, checkpoints: Path) -> Fitted:
    rows = {part: material.rows(material.splits[0].part(part)) for part in Part}
    stage = Stage(rows[Part.TRAIN], rows[Part.VALIDATION], checkpoints / "only")
    model, history = learn(resolved, material.tracks, stage, run)
    validation, test = (
        Scored(rows[part], _score(model, material, rows[part], run), [0] * len(rows[part]))
        for part in (Part.VALIDATION, Part.TEST)
    )
    return Fitted(model, history, validation, test)


def _cross_validate(resolved: Resolved, material: Material, run: Run, checkpoints: Path) -> Fitted:
    """Every track is scored by the one model that has not learnt from it; the final model learns from all."""
    parts = list(_folds(resolved, material, run, checkpoints))
    everything = list(range(len(material.dataset.examples)))
    stage = Stage(everything, [], checkpoints / "final")
    model, history = learn(resolved, material.tracks, stage, run)
    scored = Scored(
        rows=[row for rows, _, _ in parts for row in rows],
        scores=np.concatenate([scores for _, scores, _ in parts]),
        folds=[fold for fold, (rows, _, _) in enumerate(parts) for _ in rows],
    )
    return Fitted(model, [report for _, _, of_fold in parts for report in of_fold] + history, scored, scored)


def _folds(
    resolved: Resolved, material: Material, run: Run, checkpoints: Path
) -> Iterator[tuple[list[int], Scores, list[EpochReport]]]:
    """Rows, scores and history of each fold; one that an interrupted training had finished is only read."""
    count = len(material.splits)
    for number, split in enumerate(material.splits, start=1):
        rows = material.rows(split.test)
        finished = Checkpoints(checkpoints / f"fold-{number}-finished")
        known = finished.load_latest()
        if known is None:
            folder = checkpoints / f"fold-{number}"
            stage = Stage(material.rows(split.train), [], folder, fold=number, folds=count)
            model, history = learn(resolved, material.tracks, stage, run)
            scores = _score(model, material, rows, run)
            if is_first():
                state = {"history": [report.as_dict() for report in history]}
                finished.save(0, Checkpoint({"scores": torch.from_numpy(scores)}, state))
        else:
            scores = known.tensors["scores"].numpy()
            history = [EpochReport.from_dict(report) for report in known.state["history"]]
        yield rows, scores, history


def _score(model: nn.Module, material: Material, rows: list[int], run: Run) -> Scores:
    def note(done: int) -> None:
        run.note(Activity.SCORING, done * world_size(), len(rows))

    return predict(model, material.tracks.inputs, rows, None, run.device, note)
