"""Bodies of a study's units: execute one trial; conclude the study after the last one has ended."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
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
from core.ml.training.reports import EpochReport
from core.ml.training.train import train
from core.ml.tuning.objective import measure, torch_threads
from core.ml.tuning.pruning import compared_epochs, explain_pruning, should_prune
from core.ml.tuning.study import ask
from core.services.studies import best_trials, list_trials, save_importances
from core.services.trials import (
    TrialEnding,
    end_trial,
    lock_study,
    should_stop,
    start_trial,
    started_numbers,
    trial_of,
)
from core.settings import get_settings
from core.states import OPEN_TRIAL_STATES, TrialState
from core.store.tables import Job, Study, Trial
from workers.known_audio import stored_embeddings
from workers.lease import Lease
from workers.studies import asking_alone, read_records
from workers.training import RunReporter, load_known_dataset


def run_trial(lease: Lease) -> None:
    """Execute the trial of this unit.

    Run again after any interruption, it continues with the same parameters, from the last checkpoint.
    """
    trial = _start(lease)
    if trial.state not in OPEN_TRIAL_STATES:
        return
    folder = get_settings().training_dir / str(lease.claim.job_id) / f"trial-{trial.number}"
    ending = _train(lease, trial, folder / "model")
    lease.write(partial(_end, unit_id=lease.claim.unit_id, ending=ending))
    shutil.rmtree(folder, ignore_errors=True)


def _start(lease: Lease) -> Trial:
    """The trial of this unit, with the parameters that it got when it was first started."""
    trial = lease.write(partial(_cancel_if_stopped, lease=lease))
    if trial.state != TrialState.WAITING:
        return trial
    config = _config_of(lease, trial.study_id)
    epochs = () if config.pruner.kind == "none" else None  # only pruned trials are judged by their curves
    with asking_alone(lease.sessions.kw["bind"], trial.study_id, lease.record_step):
        while trial.state == TrialState.WAITING:
            lease.record_step()
            records = lease.transact(partial(read_records, study_id=trial.study_id, epochs=epochs))
            params = ask(config, str(trial.study_id), trial.number, records)
            known = {record.number for record in records if record.params}
            trial = lease.write(partial(_save_params, lease=lease, params=params, known=known))
    return trial


def _config_of(lease: Lease, study_id: UUID) -> TuningConfig:
    with lease.sessions() as session:
        return TuningConfig.model_validate(session.get_one(Study, study_id).config)


def _cancel_if_stopped(session: Session, lease: Lease) -> Trial:
    """The trial; cancelled if it was added before the target was reached or the time was used up."""
    trial = trial_of(session, lease.claim.unit_id)
    if trial.state == TrialState.WAITING:
        study = lock_study(session, trial.study_id)
        config = TuningConfig.model_validate(study.config)
        if should_stop(session, config, session.get_one(Job, lease.claim.job_id)):
            end_trial(session, lease.claim.unit_id, TrialEnding(TrialState.CANCELLED))
            notify_dispatcher(session)
    return trial


def _save_params(session: Session, lease: Lease, params: dict[str, Any], known: set[int]) -> Trial:
    """The trial, started with these parameters; it still waits if they may be those of another one.

    That is if a trial that is not `known` to the sampler has started: the connection that holds the lock of
    `asking_alone` may break.
    """
    trial = _cancel_if_stopped(session, lease)
    if trial.state == TrialState.WAITING and started_numbers(session, trial.study_id) <= known:
        start_trial(session, trial, params)
    return trial


def _train(lease: Lease, trial: Trial, folder: Path) -> TrialEnding:
    settings, config = get_settings(), _config_of(lease, trial.study_id)
    reporter = RunReporter(lease, trial.id, counted=False)
    try:
        experiment = trial_experiment(config, trial.params or {})
        # Parallel trials share the cores.
        with torch_threads(max(1, (os.cpu_count() or 1) // settings.trial_processes)):
            result = train(
                experiment,
                load_known_dataset(lease, experiment.dataset, experiment.labels),
                _on_epoch(lease, config, trial, reporter),
                folder=folder,
                cache_dir=settings.cache_dir,
                models_dir=settings.models_dir,
                device=settings.device,
                should_stop=reporter.should_stop,
                on_track=reporter.on_track,
                on_activity=reporter.on_activity,
                find_stored=stored_embeddings(lease.sessions),
                pictures=False,
            )
            values = measure(result, [objective.metric for objective in config.objectives])
        ending = TrialEnding(TrialState.COMPLETE, values)
    except TrainingStopped:
        reporter.flush()
        lease.check()
        raise
    except optuna.TrialPruned as pruned:
        ending = TrialEnding(TrialState.PRUNED, error_detail=str(pruned))
    except MFAError as error:
        ending = TrialEnding(TrialState.FAILED, error_code=error.code, error_detail=error.detail)
    reporter.flush()
    return ending


def _on_epoch(
    lease: Lease, config: TuningConfig, trial: Trial, reporter: RunReporter
) -> Callable[[EpochReport], None]:
    """Reports each epoch, and raises `TrialPruned` if the trial does too badly to go on."""
    losses: dict[int, float] = {}
    study_id = trial.study_id

    def on_epoch(report: EpochReport) -> None:
        reporter.on_epoch(report)
        if report.validation_loss is None:
            return
        losses[report.epoch] = report.validation_loss
        if epochs := compared_epochs(config, report.epoch):
            records = lease.transact(partial(read_records, study_id=study_id, epochs=epochs))
            others = [record for record in records if record.number != trial.number]
            if should_prune(config, str(study_id), trial.number, losses, others):
                raise optuna.TrialPruned(explain_pruning(config, losses, others))

    return on_epoch


def _end(session: Session, unit_id: int, ending: TrialEnding) -> None:
    end_trial(session, unit_id, ending)
    notify_dispatcher(session)


def conclude_study(lease: Lease) -> None:
    """Compute the importances of the keys, and draw the study."""
    from core.ml.tuning.importances import importances  # scikit-learn and matplotlib, which no trial needs
    from core.ml.tuning.plots import draw

    study_id = UUID(lease.claim.payload["study_id"])
    config = _config_of(lease, study_id)
    with lease.sessions() as session:
        best = best_trials(config, list_trials(session, study_id))
        records = read_records(session, study_id, epochs=())
    result = {"study_id": str(study_id), "best": [trial.number for trial in best]}
    shares = importances(config, records, lease.record_progress)
    lease.write(partial(_conclude, lease=lease, importances=shares, result=result))
    _write_pictures(get_settings().studies_dir / str(study_id), draw(config, records, shares))


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
