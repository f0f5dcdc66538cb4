"""Renaming, moving and deleting what is stored, unless an open job needs it.

To delete is to set a mark: when its transaction commits, no query returns the row any more.
`core.services.sweep` removes what belonged to it later, in pieces. Every check holds a lock that submissions
wait for, so nothing is deleted between the check of a new job and its commit.
"""

import json
from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    SQLColumnExpression,
    Text,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from core.errors import (
    Invalid,
    JobBeingRetried,
    JobNotFinished,
    LibraryExists,
    LibraryInUse,
    MFAError,
    ModelInUse,
    RunAtWork,
    RunNotFound,
    StudyAtWork,
)
from core.jobs.jobs import OPEN_JOB_STATES, get_job
from core.jobs.kinds import job_spec, job_specs
from core.services.trials import lock_study
from core.states import TERMINAL_JOB_STATES
from core.store.experiments import retire_version
from core.store.libraries import check_files, no_such_library, resolve_folder
from core.store.registry import PREVIOUS_ALIAS, artifact_folder, lock_registry, no_such_model
from core.store.tables import Experiment, Job, JobUnit, Library, Model, ModelAlias, Run

_RENAME_IN_STUDIES = text(
    """
    UPDATE studies
    SET config = jsonb_set(config, '{experiment,dataset,library}', to_jsonb(CAST(:new AS text)))
    WHERE config #>> '{experiment,dataset,kind}' IN ('library', 'corrections')
    AND config #>> '{experiment,dataset,library}' = :old
    """
)

_ENSEMBLES = select(Model).where(Model.kind == "ensemble")


def change_library(
    session: Session, name: str, new_name: str | None, new_path: str | None, *, force: bool = False
) -> Library:
    """Give a library another name or folder; None leaves it as it is. Its tracks and results stay.

    A folder that lacks most of its files is refused, unless with `force`.

    Jobs know their library by its id, so a new name may come while they run; their parameters keep the name
    that was asked for. The folder may only change while no job reads it.
    """
    library = _lock_library(session, name)
    if new_path is not None and (folder := resolve_folder(new_path)) != library.path:
        _refuse_open_job(session, Job.library_id == library.id, LibraryInUse, f"the library {name!r}")
        if not force:
            check_files(session, library, folder)
        library.path = folder
    if new_name is not None and new_name != library.name:
        try:
            with session.begin_nested():
                library.name = new_name
                session.flush()
        except IntegrityError:
            raise LibraryExists(f"There is another library {new_name!r}.") from None
        session.execute(_RENAME_IN_STUDIES, {"old": name, "new": new_name})
    session.flush()
    return library


def delete_library(session: Session, name: str) -> None:
    """Forget a library with its tracks; the music itself is not touched."""
    library = _lock_library(session, name)
    _refuse_open_job(session, Job.library_id == library.id, LibraryInUse, f"the library {name!r}")
    library.deleted_at = func.now()
    session.flush()


def _lock_library(session: Session, name: str) -> Library:
    library = session.scalars(select(Library).where(Library.name == name).with_for_update()).one_or_none()
    if library is None:
        raise no_such_library(session, name)
    return library


def delete_job(session: Session, job_id: UUID, *, visible_to: str | None = None) -> None:
    """Delete a job that has ended. A run or study that it has made stays."""
    job = get_job(session, job_id, visible_to=visible_to, lock=True)
    if job.state not in TERMINAL_JOB_STATES:
        raise JobNotFinished
    _refuse_open_job(session, _takes_up(Job, literal(job.id)), JobBeingRetried, "this one")
    mark_jobs(session, [job.id])


def mark_jobs(session: Session, job_ids: list[UUID]) -> None:
    """Delete jobs that the caller has locked and checked; their Idempotency-Keys are free again."""
    marked = update(Job).where(Job.id.in_(job_ids)).values(deleted_at=func.now(), idempotency_key=None)
    session.execute(marked.execution_options(synchronize_session=False))


def is_being_retried() -> ColumnElement[bool]:
    """Whether an open job takes up the failed items of this one, which must be there until then."""
    retry = aliased(Job)
    return select(retry.id).where(_takes_up(retry, Job.id), retry.state.in_(OPEN_JOB_STATES)).exists()


def _takes_up(retry: type[Job], job_id: SQLColumnExpression[UUID]) -> ColumnElement[bool]:
    """Whether `retry` is a retry of a job, directly or through others in between.

    Its first unit names the job whose failed items it plans again, or all whose checkpoints it may continue.
    """
    shown = cast(job_id, Text)
    names_it = or_(
        JobUnit.payload["retry_of"].astext == shown,
        JobUnit.payload["continues"].contains(func.to_jsonb(shown)),
    )
    through_others = select(JobUnit.id).where(JobUnit.job_id == retry.id, JobUnit.seq == 0, names_it).exists()
    return or_(retry.retry_of == job_id, through_others)


def delete_run(session: Session, run_id: UUID) -> None:
    """Delete what is known of a training that has ended. Its model stays, and so does its job."""
    of_experiment = Run.experiment_id.is_not(None)
    run = session.scalars(select(Run).where(Run.id == run_id, of_experiment).with_for_update()).one_or_none()
    if run is None:
        raise RunNotFound(f"There is no run {run_id}.")
    _refuse_open_job(session, Job.id == run.job_id, RunAtWork, "this run")
    if run.version is not None:
        name = session.scalars(select(Experiment.name).where(Experiment.id == run.experiment_id)).one()
        retire_version(session, name, run.version)
    run.deleted_at = func.now()
    session.flush()


def delete_study(session: Session, study_id: UUID) -> None:
    """Delete a study whose last job has ended, with its trials and pictures."""
    study = lock_study(session, study_id)
    _refuse_open_job(session, Job.id == study.job_id, StudyAtWork, "this study")
    study.deleted_at = func.now()
    session.flush()


def delete_model(session: Session, reference: str) -> None:
    """Delete the version that `name@version` names, with all that it says of any track.

    Refused for a model that an alias names (but `previous`, which is only a memory), for a member of an
    ensemble, and while an open job uses it. Models that were built on it hold its weights themselves.
    """
    lock_registry(session)
    model = _lock_version(session, reference)
    shown = model.reference
    aliases = select(ModelAlias.alias).where(ModelAlias.model_id == model.id)
    if kept := sorted(set(session.scalars(aliases)) - {PREVIOUS_ALIAS}):
        raise ModelInUse(f"{shown} is the model `{kept[0]}`: promote another one to that first.")
    folder = artifact_folder(model).name
    for other in session.scalars(_ENSEMBLES):
        if model.kind != "ensemble" and folder in _members(other, shown):
            raise ModelInUse(f"{shown} is a member of {other.reference}: delete that one first.")
    for job_id in _jobs_with(session, model):
        raise ModelInUse(f"The open job {job_id} uses {shown}: wait until it has ended or cancel it.")
    session.execute(delete(ModelAlias).where(ModelAlias.model_id == model.id))
    retire_version(session, model.name, model.version)
    model.deleted_at = func.now()
    session.flush()


def _lock_version(session: Session, reference: str) -> Model:
    name, _, version = reference.rpartition("@")
    if not name or not version.isdecimal() or len(version) > 9:
        raise Invalid(f"{reference!r} names no version of a model: write `name@version`.")
    query = select(Model).where(Model.name == name, Model.version == int(version)).with_for_update()
    model = session.scalars(query).one_or_none()
    if model is None:
        raise no_such_model(session, reference)
    return model


def _members(ensemble: Model, shown: str) -> list[str]:
    """The folders of the models that an ensemble was made of.

    Raises ModelInUse for the model `shown` when they cannot be read: it may be one of them.
    """
    card = artifact_folder(ensemble) / "model.json"
    try:
        content = json.loads(card.read_text(encoding="utf-8"))
        return list(content["model"]["members"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelInUse(
            f"{shown} may be a member of {ensemble.reference}, whose {card} cannot be read: "
            "restore that file or delete that model first."
        ) from None


def _jobs_with(session: Session, model: Model) -> Iterator[UUID]:
    """Open jobs that label with a model, build on it, or have just made it."""
    shown = model.reference
    others = [spec.name for spec in job_specs() if spec.uses_model is not None]
    has_made = Job.result["model"].astext == shown
    may_need = or_(Job.model_id == model.id, has_made, Job.kind.in_(others))
    jobs = select(Job).where(Job.state.in_(OPEN_JOB_STATES), may_need).order_by(Job.created_at)
    for job in session.scalars(jobs):
        uses = job_spec(job.kind).uses_model
        if (
            job.model_id == model.id
            or (job.result or {}).get("model") == shown
            or (uses is not None and uses(session, job, model))
        ):
            yield job.id


def _refuse_open_job(
    session: Session, condition: ColumnElement[bool], error: type[MFAError], what: str
) -> None:
    """Raise `error` when an open job meets the condition."""
    found = select(Job.id).where(condition, Job.state.in_(OPEN_JOB_STATES)).order_by(Job.created_at).limit(1)
    job_id = session.scalar(found)
    if job_id is not None:
        raise error(f"The open job {job_id} uses {what}: wait until it has ended or cancel it.")
