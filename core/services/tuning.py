"""Jobs that run the trials of a study, and the training of the best one."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.config.models import ModelConfig
from core.config.params import JobKind, TuningParams
from core.config.search_space import best_experiment, check_space, explicit_fields, grid_size, planned_trials
from core.config.tuning import Choices, GridConfig, TuningConfig, load_tuning, parse_tuning
from core.errors import GridExhausted, MFAError, NoBestTrial, NothingToRetry, StudyAtWork
from core.jobs.jobs import OPEN_JOB_STATES
from core.jobs.kinds import JobSpec, NewJob, SubmissionContext, UnitSpec
from core.jobs.submission import Submission, submit
from core.services import queues
from core.services.datasets import check_labels, place_dataset
from core.services.preparation import PHASE, PLAN_INPUTS, PREPARE, describe_preparation
from core.services.references import hold_library_and_model
from core.services.studies import find_front, find_leaders, get_study, list_trials
from core.services.thresholds import prepare_thresholds, threshold_identity
from core.services.training import (
    TRAINING_TIME_LIMIT_S,
    check_bases,
    check_name,
    find_config,
    find_experiment,
    is_base,
    prepare_experiment,
)
from core.services.trials import USABLE, TrialEnding, add_trial, close_trials, end_trial, lock_study
from core.settings import PROJECT
from core.states import TrialState
from core.store.tables import Job, JobUnit, Model, Study, Trial

CONFIGS = PROJECT / "configs" / "tuning"


def prepare_tuning(session: Session, params: TuningParams, context: SubmissionContext) -> NewJob:
    """A study; a request for thresholds, which may come as `tuning` too, makes a job of their own kind."""
    if params.thresholds is not None:
        return prepare_thresholds(session, params.thresholds, context)
    assert params.study is not None
    return _prepare_study(session, params.study, context)


def _prepare_study(session: Session, wanted: dict[str, Any] | str, context: SubmissionContext) -> NewJob:
    """Unless whoever submits is trusted, the dataset must lie in a library."""
    config = read_study(wanted)
    experiment = best_experiment(config, {})
    check_name(experiment)
    check_labels(experiment.dataset)
    dataset, library = place_dataset(session, experiment.dataset, context)
    placed = explicit_fields(experiment.model_copy(update={"dataset": dataset}))
    config = config.model_copy(update={"experiment": placed})
    check_space(config)
    _check_bases(session, config)
    return NewJob(
        JobKind.TUNING,
        {"study": config.model_dump(mode="json")},
        total=planned_trials(config),
        library_id=library.id if library else None,
        on_insert=partial(_add_study, config=config),
    )


def _add_study(session: Session, job: Job, config: TuningConfig) -> None:
    content = config.model_dump(mode="json")
    study = Study(id=job.id, name=config.study_name, config=content, job_id=job.id)
    session.add(study)
    session.flush()
    _add_first_trials(session, study, job, config.max_parallel)


def read_study(wanted: dict[str, Any] | str) -> TuningConfig:
    """The study that is meant, its experiment looked up."""
    if isinstance(wanted, dict):
        config = parse_tuning(wanted)
    else:
        config = load_tuning(find_config(CONFIGS, "study", wanted))
    experiment = find_experiment(config.experiment)
    return config.model_copy(update={"experiment": explicit_fields(experiment)})


def _check_bases(session: Session, config: TuningConfig) -> None:
    """The stored models that some trial might build on."""
    for model in possible_models(config):
        check_bases(session, model)


def possible_models(config: TuningConfig) -> Iterator[ModelConfig]:
    """One of each kind and backbone that a trial might train."""
    keys = [key for key in ("model.kind", "model.backbone") if isinstance(config.space.get(key), Choices)]
    for values in itertools.product(*(config.space[key].choices for key in keys)):  # type: ignore[union-attr]
        chosen = dict(zip(keys, values, strict=True))
        if chosen.get("model.kind", "transfer") != "transfer":
            chosen.pop("model.backbone", None)
        yield best_experiment(config, chosen).model


def _may_build_on(session: Session, job: Job, model: Model) -> bool:
    """Whether a trial of a job's study might build on a model.

    Not if the study has been deleted, or this version cannot read it: such a job fails before it needs any.
    """
    try:
        if "resume" in job.params:
            study = session.get(Study, UUID(job.params["resume"]))
            config = None if study is None else TuningConfig.model_validate(study.config)
        else:
            config = TuningConfig.model_validate(job.params["study"])
        return config is not None and is_base(model, possible_models(config))
    except (ValidationError, MFAError, KeyError):
        return False


def _add_first_trials(session: Session, study: Study, job: Job, max_parallel: int) -> None:
    """As many trials as may run at a time; each that ends adds another one."""
    of_trials = select(JobUnit.id).where(JobUnit.job_id == job.id, JobUnit.kind == TRIAL.name)
    first = session.scalars(of_trials).one()
    add_trial(session, study, job.id, first)
    for _ in range(min(max_parallel, job.total) - 1):
        add_trial(session, study, job.id)


def resume_study(session: Session, study_id: UUID, n_trials: int, context: SubmissionContext) -> Submission:
    """A new job that adds trials to a study whose last job has ended."""
    content = ("resume", str(study_id), n_trials)
    return submit(session, context, content, lambda: _prepare_resume(session, study_id, n_trials, context))


def _prepare_resume(session: Session, study_id: UUID, n_trials: int, context: SubmissionContext) -> NewJob:
    config = TuningConfig.model_validate(get_study(session, study_id).study.config)
    _check_bases(session, config)
    _, library = place_dataset(session, best_experiment(config, {}).dataset, context)
    study = lock_study(session, study_id)
    return NewJob(
        JobKind.TUNING,
        {"resume": str(study.id), "n_trials": n_trials},
        total=_left(session, study, config, n_trials),
        library_id=library.id if library else None,
        on_insert=partial(_resume, study=study, max_parallel=config.max_parallel),
    )


def _resume(session: Session, job: Job, study: Study, max_parallel: int) -> None:
    state = session.scalar(select(Job.state).where(Job.id == study.job_id))
    if state in OPEN_JOB_STATES:
        raise StudyAtWork
    if job.total == 0:
        raise GridExhausted
    study.job_id = job.id
    session.flush()
    _add_first_trials(session, study, job, max_parallel)


def _left(session: Session, study: Study, config: TuningConfig, n_trials: int) -> int:
    """How many more there can be: a grid ends with its last point; what was cancelled is still to try."""
    if not isinstance(config.sampler, GridConfig):
        return n_trials
    tried = (*USABLE, TrialState.FAILED)
    done = session.scalar(select(func.count()).where(Trial.study_id == study.id, Trial.state.in_(tried))) or 0
    return max(0, min(n_trials, grid_size(config.sampler, config.space) - done))


def train_best(
    session: Session, study_id: UUID, context: SubmissionContext, *, number: int | None = None
) -> Submission:
    """Train the best trial (or the one of this number) for all epochs, and register the model."""
    content = ("train-best", str(study_id), number)
    return submit(session, context, content, lambda: _prepare_best(session, study_id, number, context))


def _prepare_best(session: Session, study_id: UUID, number: int | None, context: SubmissionContext) -> NewJob:
    row = get_study(session, study_id)
    config = TuningConfig.model_validate(row.study.config)
    chosen = find_leaders(session, study_id, config, 1)
    if number is not None:
        trials = list_trials(session, study_id, [number])
        chosen = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    elif len(config.objectives) > 1:
        chosen = find_front(session, study_id, config)[0]
    if not chosen:
        raise NoBestTrial
    experiment = best_experiment(config, chosen[0].params or {})
    return prepare_experiment(session, experiment, context, study_id=study_id)


def _identity(params: TuningParams) -> dict[str, Any]:
    """Only what was asked for: a study, or thresholds."""
    if params.thresholds is not None:
        return {"thresholds": threshold_identity(params.thresholds)}
    return {"study": params.study}


def _fail_trial(session: Session, unit_id: int, code: str, detail: str) -> None:
    """A trial is itself an outcome of its study: it fails, and the study goes on."""
    end_trial(session, unit_id, TrialEnding(TrialState.FAILED, error_code=code, error_detail=detail))


def _has_no_usable_trial() -> ColumnElement[bool]:
    trials = select(Trial.id).where(Trial.job_id == Job.id).correlate(Job)
    return trials.exists() & ~trials.where(Trial.state.in_(USABLE)).exists()


def _refuse_retry(_session: Session, _old: Job) -> NewJob:
    raise NothingToRetry(
        "A study is not retried: POST /api/v1/studies/{id}/resume adds trials to it "
        "(`mfa tune --resume STUDY --trials 20`)."
    )


TRIAL = UnitSpec(
    "trial",
    queues.TRIAL,
    "workers.tuning:run_trial",
    time_limit_s=TRAINING_TIME_LIMIT_S,
    can_be_cut=False,
    after=PHASE,
    is_serving=False,
    on_give_up=_fail_trial,
)
CONCLUSION = UnitSpec(
    "study", queues.TRIAL, "workers.tuning:conclude_study", can_be_cut=False, is_serving=False
)
TUNING = JobSpec(
    name=JobKind.TUNING,
    params=TuningParams,
    first_unit=TRIAL,
    opening_units=(PLAN_INPUTS,),
    further_units=(PREPARE, CONCLUSION),
    prepare=prepare_tuning,
    retry=_refuse_retry,
    identity=_identity,
    hold_references=hold_library_and_model,
    describe_progress=describe_preparation,
    has_failed=_has_no_usable_trial,
    on_end=close_trials,
    uses_model=_may_build_on,
)
