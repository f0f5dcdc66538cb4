"""Removes what belonged to deleted jobs, libraries, models, runs and studies, a piece per transaction.

Every function removes about `limit` rows at most and returns how many of which table; an empty answer means
that there is nothing left for it to do. The process may be killed at any point: the marked row is the last to
go, after its files, so the next sweep finds what is left. Only the holder of `may_sweep` removes anything.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Text,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from core.config.params import JobKind
from core.jobs.jobs import OPEN_JOB_STATES
from core.store.base import Base
from core.store.registry import EMBEDDING_INDEX_PREFIX
from core.store.tables import (
    Embedding,
    Encoder,
    Epoch,
    Job,
    JobItem,
    JobUnit,
    Library,
    Map,
    MapPoint,
    Model,
    Prediction,
    PredictionLabel,
    Run,
    Study,
    Track,
    TrainingTrack,
    Waveform,
)

PIECE = 2000  # rows
SWEEP_LOCK = 7_264_003  # of an advisory lock
WITH_DELETED = {"include_deleted": True}
Deletables = type[Library] | type[Model] | type[Job] | type[Run] | type[Study]
DELETABLE: tuple[Deletables, ...] = (Library, Model, Job, Run, Study)
# As in the index `ix_jobs_content_hash`, which a bound parameter might not match.
PREDICTED_HASH: ColumnElement[str] = literal_column("(jobs.result ->> 'content_hash')", Text)
IS_PREDICT = text(f"jobs.kind = '{JobKind.PREDICT}'")

Swept = Counter[str]  # rows by table


def may_sweep(session: Session) -> bool:
    """Whether no other process sweeps; none does until the transaction ends."""
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(SWEEP_LOCK))))


def count_marked(session: Session) -> dict[str, int]:
    """Deleted rows that have not been removed yet, by table."""
    counts: dict[str, int] = {}
    for table in DELETABLE:
        query = select(func.count()).select_from(table).where(table.deleted_at.is_not(None))
        counts[table.__tablename__] = session.scalar(query, execution_options=WITH_DELETED) or 0
    return counts


def find_marked_ids(session: Session, table: type[Library] | type[Run] | type[Study]) -> list[UUID]:
    """The ids of deleted rows, those deleted first come first."""
    query = select(table.id).where(table.deleted_at.is_not(None)).order_by(table.deleted_at, table.id)
    return list(session.scalars(query, execution_options=WITH_DELETED))


def find_marked_models(session: Session) -> list[Model]:
    query = select(Model).where(Model.deleted_at.is_not(None)).order_by(Model.deleted_at, Model.id)
    return list(session.scalars(query, execution_options=WITH_DELETED))


def sweep_units(session: Session, limit: int = PIECE) -> Swept:
    """Units and items of deleted jobs."""
    marked = select(Job.id).where(Job.deleted_at.is_not(None))
    some = select(JobUnit.id).where(JobUnit.job_id.in_(marked)).limit(max(1, limit // 20))
    units = session.scalars(some, execution_options=WITH_DELETED).all()
    items = _delete_some(session, JobItem, JobItem.unit_id.in_(units), limit)
    if items:
        return Swept(job_items=items)
    return _swept(JobUnit, _delete(session, JobUnit, JobUnit.id.in_(units)))


def find_bare_jobs(session: Session, limit: int = PIECE) -> list[UUID]:
    """Deleted jobs without units: only their files and their own rows are left."""
    has_units = select(JobUnit.id).where(JobUnit.job_id == Job.id).exists()
    query = select(Job.id).where(Job.deleted_at.is_not(None), ~has_units).limit(max(1, limit // 20))
    return list(session.scalars(query, execution_options=WITH_DELETED))


def remove_jobs(session: Session, job_ids: Collection[UUID]) -> tuple[Swept, list[bytes]]:
    """Rows of jobs without units, and the predictions of uploads that nothing refers to any more.

    The second part of the answer are the hashes of that audio.
    """
    of_uploads = select(PREDICTED_HASH).select_from(Job).where(Job.id.in_(job_ids), IS_PREDICT)
    digests = session.scalars(of_uploads, execution_options=WITH_DELETED).all()
    removed = _delete(session, Job, Job.id.in_(job_ids))
    swept, forgotten = forget_audio(session, {bytes.fromhex(digest) for digest in digests if digest})
    return swept + _swept(Job, removed), forgotten


def sweep_tracks(session: Session, limit: int = PIECE) -> tuple[Swept, list[bytes]]:
    """Tracks of deleted libraries, their items in jobs, and the results of audio that no other track holds.

    The second part of the answer are the hashes of that audio.
    """
    marked = select(Library.id).where(Library.deleted_at.is_not(None))
    some = select(Track.id, Track.content_hash).where(Track.library_id.in_(marked))
    # Each may have results of many models, with many labels each.
    tracks = session.execute(some.limit(max(1, limit // 20)), execution_options=WITH_DELETED).all()
    ids = [track.id for track in tracks]
    items = _delete_some(session, JobItem, JobItem.track_id.in_(ids), limit)
    if items:
        return Swept(job_items=items), []
    removed = _delete(session, Track, Track.id.in_(ids))
    swept, forgotten = forget_audio(session, {track.content_hash for track in tracks if track.content_hash})
    return swept + _swept(Track, removed), forgotten


def forget_audio(session: Session, content_hashes: Collection[bytes]) -> tuple[Swept, list[bytes]]:
    """Remove the results of audio that no track and no job of an upload refers to; the hashes of that audio.

    Whoever uses a stored result for another track locks it until that track is committed (`hold_predictions`,
    `hold_embeddings`): references are looked for after these locks have been waited for. Only the locked rows
    are deleted, as one that was added since may have been committed together with its track.
    """
    if not content_hashes:
        return Swept(), []
    wanted = sorted(content_hashes)
    predictions = _lock(session, Prediction.content_hash, Prediction.model_id, wanted)
    embeddings = _lock(session, Embedding.content_hash, Embedding.encoder_id, wanted)
    of_tracks = select(Track.content_hash).where(Track.content_hash.in_(wanted))
    of_uploads = (
        select(PREDICTED_HASH)
        .select_from(Job)
        .where(IS_PREDICT, PREDICTED_HASH.in_([digest.hex() for digest in wanted]))
    )
    referenced = set(session.scalars(of_tracks)) | set(map(bytes.fromhex, session.scalars(of_uploads)))
    forgotten = [digest for digest in wanted if digest not in referenced]
    swept = Swept()
    for table, maker_id, locked in (
        (PredictionLabel, PredictionLabel.model_id, predictions),
        (Prediction, Prediction.model_id, predictions),
        (Embedding, Embedding.encoder_id, embeddings),
    ):
        keys = [key for key in locked if key[0] not in referenced]
        swept += _swept(table, _delete(session, table, tuple_(table.content_hash, maker_id).in_(keys)))
    for of_audio in (Waveform, MapPoint):
        swept += _swept(of_audio, _delete(session, of_audio, of_audio.content_hash.in_(forgotten)))
    return swept, forgotten


def _lock(
    session: Session,
    content_hash: InstrumentedAttribute[bytes],
    maker_id: InstrumentedAttribute[int],
    content_hashes: Sequence[bytes],
) -> list[tuple[bytes, int]]:
    """Lock the results of this audio; the keys of those that were there: content hash, model or encoder."""
    keys = select(content_hash, maker_id).where(content_hash.in_(content_hashes))
    rows = session.execute(keys.order_by(content_hash, maker_id).with_for_update())
    return [(digest, number) for digest, number in rows]


def sweep_library(session: Session, library_id: UUID, limit: int = PIECE) -> Swept:
    """A deleted library whose tracks have gone: its jobs forget it, then its row goes."""
    if released := _release(session, Job, Job.library_id == library_id, "library_id", limit):
        return Swept(jobs_released=released)
    if session.scalar(select(Track.id).where(Track.library_id == library_id).limit(1)) is not None:
        return Swept()
    return _swept(Library, _delete(session, Library, Library.id == library_id))


def sweep_predictions(session: Session, model_id: int, limit: int = PIECE) -> Swept:
    """The results of a deleted model, and the references of jobs and runs to it."""
    for table in (PredictionLabel, Prediction, TrainingTrack):
        if removed := _delete_some(session, table, table.model_id == model_id, limit):
            return _swept(table, removed)
    if released := _release(session, Job, Job.model_id == model_id, "model_id", limit):
        return Swept(jobs_released=released)
    if released := _release(session, Run, Run.model_id == model_id, "model_id", limit):
        return Swept(runs_released=released)
    return Swept()


def shares_folder(session: Session, model: Model) -> bool:
    """Whether another model, also a deleted one, lies in the same folder."""
    other = select(Model.id).where(Model.artifact_url == model.artifact_url, Model.id != model.id).limit(1)
    return session.scalar(other, execution_options=WITH_DELETED) is not None


def remove_model(session: Session, model_id: int) -> Swept:
    """The row of a deleted model of which nothing else is left."""
    return _swept(Model, _delete(session, Model, Model.id == model_id))


def find_idle_encoders(session: Session) -> list[Encoder]:
    """Encoders that no model has any more."""
    used = select(Model.id).where(Model.encoder_id == Encoder.id).exists()
    return list(session.scalars(select(Encoder).where(~used), execution_options=WITH_DELETED))


def sweep_encoder(session: Session, encoder_id: int, limit: int = PIECE) -> Swept:
    """Embeddings of an encoder that no model has; after the last one its index and its row.

    The row is locked and models are looked for again: one with the same weights may just be registered.
    """
    row = select(Encoder.id).where(Encoder.id == encoder_id).with_for_update(skip_locked=True)
    model = select(Model.id).where(Model.encoder_id == encoder_id).limit(1)
    if session.scalar(row) is None or session.scalar(model, execution_options=WITH_DELETED) is not None:
        return Swept()
    if removed := _delete_some(session, Embedding, Embedding.encoder_id == encoder_id, limit):
        return _swept(Embedding, removed)
    session.execute(text("SET LOCAL lock_timeout = '1s'"))  # writers of embeddings wait behind it
    session.execute(text(f"DROP INDEX IF EXISTS {EMBEDDING_INDEX_PREFIX}{encoder_id:d}"))
    return _swept(Encoder, _delete(session, Encoder, Encoder.id == encoder_id))


def sweep_maps(session: Session, limit: int = PIECE) -> Swept:
    """Points of maps that nobody can see any more, then the maps.

    Those are replaced by a newer one, or half drawn by a job that has ended, or of a deleted library or of an
    encoder that no model has any more.
    """
    newer = aliased(Map)
    of_open_job = select(Job.id).where(Job.id == Map.job_id, Job.state.in_(OPEN_JOB_STATES)).exists()
    is_replaced = exists().where(
        newer.encoder_id == Map.encoder_id,
        newer.library_id.is_not_distinct_from(Map.library_id),
        newer.completed_at > Map.completed_at,
    )
    of_library = select(Library.id).where(Library.id == Map.library_id, Library.deleted_at.is_not(None))
    has_model = select(Model.id).where(Model.encoder_id == Map.encoder_id).exists()
    unseen = or_(Map.completed_at.is_(None) & ~of_open_job, is_replaced, of_library.exists(), ~has_model)
    map_id = session.scalar(select(Map.id).where(unseen).limit(1), execution_options=WITH_DELETED)
    if removed := _delete_some(session, MapPoint, MapPoint.map_id == map_id, limit):
        return _swept(MapPoint, removed)
    return _swept(Map, _delete(session, Map, Map.id == map_id))


def sweep_runs(session: Session, condition: ColumnElement[bool], limit: int = PIECE) -> Swept:
    """Epochs of the runs that meet the condition, then their rows."""
    epochs = Epoch.run_id.in_(select(Run.id).where(condition).execution_options(**WITH_DELETED))
    if removed := _delete_some(session, Epoch, epochs, limit):
        return _swept(Epoch, removed)
    return _swept(Run, _delete_some(session, Run, condition, limit))


def is_job(session: Session, job_id: UUID) -> bool:
    """Whether there is a job with this id that has not been deleted."""
    return session.scalar(select(Job.id).where(Job.id == job_id)) is not None


def may_train(session: Session) -> bool:
    """Whether a training or a study is open, which may read features from the cache."""
    learning = Job.kind.in_((JobKind.TRAINING, JobKind.TUNING))
    return session.scalar(select(Job.id).where(learning, Job.state.in_(OPEN_JOB_STATES)).limit(1)) is not None


def remove_study(session: Session, study_id: UUID) -> Swept:
    """The row of a deleted study of which nothing else is left."""
    return _swept(Study, _delete(session, Study, Study.id == study_id))


def _swept(table: type[Base], count: int) -> Swept:
    return Swept({table.__tablename__: count} if count else {})


def _delete(session: Session, table: type[Base], condition: ColumnElement[bool]) -> int:
    return session.connection().execute(delete(table).where(condition)).rowcount


def _delete_some(session: Session, table: type[Base], condition: ColumnElement[bool], limit: int) -> int:
    """Delete up to `limit` of the rows, found by their place in the table."""
    place: ColumnElement[str] = literal_column("ctid")
    some = select(place).select_from(table).where(condition).limit(limit)
    return _delete(session, table, place.in_(some))


def _release(
    session: Session, table: type[Job] | type[Run], condition: ColumnElement[bool], column: str, limit: int
) -> int:
    """Set a reference to null in up to `limit` rows; the foreign key would do so in all of them at once."""
    some = select(table.id).where(condition).limit(limit)
    statement = update(table).where(table.id.in_(some)).values({column: None})
    return session.connection().execute(statement).rowcount
