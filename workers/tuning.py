"""Bodies of a study's units: do one trial; sum the study up when the last one has ended."""

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import optuna
from sqlalchemy.orm import Session

from core.config.search_space import trial_experiment
from core.config.tuning import TuningConfig
from core.errors import MFAError
from core.jobs.jobs import notify_dispatcher
from core.ml.training.context import TrainingStopped
from core.ml.training.json_values import finite_or_null
from core.ml.training.reports import EpochReport
from core.ml.tuning import study as asking
from core.ml.tuning.objective import torch_threads, train_trial
from core.ml.tuning.plots import Tried, draw
from core.ml.tuning.pruning import report_epoch
from core.services.studies import best_trials, list_trials, save_importances
from core.services.trials import (
    USABLE,
    TrialEnding,
    end_trial,
    is_enough,
    known_optuna_numbers,
    lock_study,
    save_curve,
    start_trial,
    trial_of,
)
from core.settings import get_settings
from core.states import OPEN_TRIAL_STATES, TrialState
from core.store.tables import Job, Study, Trial
from workers.lease import Lease
from workers.studies import asking_alone, get_storage
from workers.training import WRITE_EVERY_S, load_dataset


def run_trial(lease: Lease) -> None:
    """Started again after whatever, it goes on with the same parameters, from the last checkpoint."""
    storage = get_storage()
    trial = _start(lease)
    if trial.state not in OPEN_TRIAL_STATES:
        return
    with lease.sessions() as session:
        config = TuningConfig.model_validate(session.get_one(Study, trial.study_id).config)
    assert trial.optuna_number is not None
    asked = asking.resume(storage, str(trial.study_id), config, trial.optuna_number)
    folder = get_settings().training_dir / str(lease.claim.job_id) / f"trial-{trial.number}"
    reporter = Reporter(lease, trial, asked if config.pruner.kind != "none" else None)
    ending = _told_before(asked) or _train(lease, config, trial, reporter, folder)
    if ending.state in USABLE:
        lease.confirm()  # who has lost the lease tells Optuna nothing
        asking.tell(asked, ending.values)
    lease.write(partial(_end, unit_id=lease.claim.unit_id, ending=ending))
    shutil.rmtree(folder, ignore_errors=True)


def _start(lease: Lease) -> Trial:
    """The trial of this unit, with the parameters that it got when it was first started.

    One process at a time asks for a trial of a study: what a dead one has asked for and nobody has written
    down is taken over by the next that asks.
    """
    trial = lease.write(partial(_cancel_if_enough, lease=lease))
    if trial.state != TrialState.WAITING:
        return trial
    with lease.sessions() as session:
        config = TuningConfig.model_validate(session.get_one(Study, trial.study_id).config)
    with asking_alone(lease.sessions.kw["bind"], trial.study_id, lease.record_step):
        while trial.state == TrialState.WAITING:
            lease.record_step()
            known = lease.transact(partial(known_optuna_numbers, study_id=trial.study_id))
            asked = asking.ask(get_storage(), str(trial.study_id), config, trial.number, known)
            trial = lease.write(partial(_write_down, lease=lease, asked=asked))
    return trial


def _cancel_if_enough(session: Session, lease: Lease) -> Trial:
    """The trial; one that was added before the target was reached or the time was over is cancelled."""
    trial = trial_of(session, lease.claim.unit_id)
    if trial.state == TrialState.WAITING:
        study = lock_study(session, trial.study_id)
        config = TuningConfig.model_validate(study.config)
        if is_enough(session, config, session.get_one(Job, lease.claim.job_id)):
            end_trial(session, lease.claim.unit_id, TrialEnding(TrialState.CANCELLED))
            notify_dispatcher(session)
    return trial


def _write_down(session: Session, lease: Lease, asked: asking.Asked) -> Trial:
    """The trial, started with what was asked for; it still waits where another trial has that already.

    If it is cancelled instead, its parameters stay open in Optuna: the next trial takes them over.
    """
    trial = _cancel_if_enough(session, lease)
    is_taken = asked.number in known_optuna_numbers(session, trial.study_id)
    if trial.state == TrialState.WAITING and not is_taken:
        start_trial(session, trial, asked.number, asked.params)
    return trial


def _told_before(asked: optuna.Trial) -> TrialEnding | None:
    """How the trial ended, when its worker died between telling that and writing it down."""
    ended = asking.ended(asked)
    if ended is None:
        return None
    state, values = ended
    if state == optuna.trial.TrialState.COMPLETE:
        return TrialEnding(TrialState.COMPLETE, values)
    return TrialEnding(TrialState.PRUNED)


def _train(
    lease: Lease, config: TuningConfig, trial: Trial, reporter: "Reporter", folder: Path
) -> TrialEnding:
    settings = get_settings()
    try:
        experiment = trial_experiment(config, trial.params or {})
        # Trials at a time share the cores.
        with torch_threads(max(1, (os.cpu_count() or 1) // settings.trial_processes)):
            values = train_trial(
                experiment,
                load_dataset(lease, experiment.dataset),
                [objective.metric for objective in config.objectives],
                reporter.on_epoch,
                folder=folder / "model",
                cache_dir=settings.cache_dir,
                models_dir=settings.models_dir,
                device=settings.device,
                should_stop=reporter.should_stop,
                on_track=reporter.on_track,
            )
    except TrainingStopped:
        reporter.flush()
        lease.check()
        raise
    except optuna.TrialPruned:
        return TrialEnding(TrialState.PRUNED, curve=reporter.curve)
    except MFAError as error:
        return TrialEnding(
            TrialState.FAILED, curve=reporter.curve, error_code=error.code, error_detail=error.detail
        )
    return TrialEnding(TrialState.COMPLETE, values, reporter.curve)


def _end(session: Session, unit_id: int, ending: TrialEnding) -> None:
    end_trial(session, unit_id, ending)
    notify_dispatcher(session)


class Reporter:
    """Tells the database and the pruner how a trial gets on, and the trial when it should stop."""

    def __init__(self, lease: Lease, trial: Trial, judged: optuna.Trial | None) -> None:
        self._lease, self._judged = lease, judged
        self._points: dict[tuple[int, int], dict[str, Any]] = {
            (point["fold"] or 0, point["epoch"]): point for point in trial.curve
        }
        self._written = time.monotonic()

    @property
    def curve(self) -> list[dict[str, Any]]:
        """A point per epoch, in the order in which they were trained; the final fit comes after the folds."""
        order = sorted(self._points, key=lambda key: (key[0] == 0, key))
        return [self._points[key] for key in order]

    def on_epoch(self, report: EpochReport) -> None:
        self._lease.record_progress()
        self._points[report.fold or 0, report.epoch] = _point(report)
        if self._judged is not None:
            report_epoch(self._judged, report)
        if time.monotonic() - self._written >= WRITE_EVERY_S:
            self.flush()

    def on_track(self, _done: int, _total: int) -> None:
        self._lease.record_progress()

    def should_stop(self) -> bool:
        self._lease.record_progress()
        return self._lease.stop is not None

    def flush(self) -> None:
        curve = self.curve
        self._lease.write(lambda session: save_curve(session, self._lease.claim.unit_id, curve))
        self._written = time.monotonic()


def _point(report: EpochReport) -> dict[str, Any]:
    point: dict[str, Any] = finite_or_null(
        {
            "fold": report.fold,
            "epoch": report.epoch,
            "train_loss": report.train_loss,
            "validation_loss": report.validation_loss,
            "validation": dict(report.validation),
        }
    )
    return point


def conclude_study(lease: Lease) -> None:
    """Write what the keys were worth, and draw the study."""
    study_id = UUID(lease.claim.payload["study_id"])
    with lease.sessions() as session:
        config = TuningConfig.model_validate(session.get_one(Study, study_id).config)
        rows = list_trials(session, study_id, curves=False)
    trials = [
        Tried(trial.number, trial.params or {}, trial.values or [])
        for trial in rows
        if trial.state == TrialState.COMPLETE
    ]
    result = {"study_id": str(study_id), "best": [trial.number for trial in best_trials(config, rows)]}
    importances = asking.importances(get_storage(), str(study_id), config, lease.record_progress)
    lease.write(partial(_conclude, lease=lease, importances=importances, result=result))
    pictures = draw(config.objectives, config.space, trials, importances)
    _write_pictures(get_settings().studies_dir / str(study_id), pictures)


def _conclude(session: Session, lease: Lease, importances: Mapping[str, Any], result: dict[str, Any]) -> None:
    save_importances(session, UUID(result["study_id"]), dict(importances))
    session.get_one(Job, lease.claim.job_id).result = result


def _write_pictures(folder: Path, pictures: Mapping[str, bytes]) -> None:
    """Each appears as a whole; the gateway may be reading them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        descriptor, partial_name = tempfile.mkstemp(dir=folder, prefix=".unfinished-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(partial_name).chmod(0o644)
        Path(partial_name).replace(folder / f"{name}.png")
