"""Bodies of `analyse` units (tracks of a library) and `predict` units (an uploaded file)."""

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from sqlalchemy.orm import Session

from core.config.params import AnalysisParams
from core.errors import (
    Disappeared,
    ItemError,
    LibraryNotFound,
    MFAError,
    ModelNotFound,
)
from core.jobs.claims import Claim
from core.jobs.counters import count_unit_itself
from core.jobs.items import WorkItem, load_work
from core.library.content import file_hash
from core.ml.inference.tagger import Tagger
from core.settings import get_settings
from core.store.contents import find_known_files
from core.store.embeddings import find_embeddings, hold_embeddings
from core.store.predictions import (
    NewPrediction,
    find_coverages,
    find_prediction,
    hold_predictions,
    is_covered,
    save_predictions,
)
from core.store.tables import Job, Library, Model
from workers.examining import Opened, examine, rekey
from workers.extraction import Reusable, analyse_files, open_items
from workers.lease import Lease
from workers.recorder import Recorder, new_prediction
from workers.relabelling import predict_from, relabel_items
from workers.taggers import get_tagger


def analyse_tracks(lease: Lease) -> None:
    """Label the pending items of a unit; every one gets an outcome."""
    params = AnalysisParams.model_validate(lease.claim.params)
    library, model, items = lease.transact(partial(_load, claim=lease.claim))
    tagger = get_tagger(model, threads=1)
    uncached = relabel_items(lease, tagger, model, params.coverage, items)
    label_items(lease, tagger, model, Path(library.path), params, uncached)


def _load(session: Session, claim: Claim) -> tuple[Library, Model, list[WorkItem]]:
    library = session.get(Library, claim.library_id)
    if library is None:
        raise LibraryNotFound
    return library, _get_model(session, claim), load_work(session, claim)


def label_items(
    lease: Lease, tagger: Tagger, model: Model, root: Path, params: AnalysisParams, items: list[WorkItem]
) -> None:
    recorder = Recorder(lease, model, params.coverage)

    def reuse(opened: Sequence[Opened]) -> Reusable:
        return {} if params.force else _reusable(lease, recorder, tagger, model, opened, params)

    opened = open_items(lease, recorder, root, items, reuse, force=params.force)
    analyse_files(lease, recorder, tagger, opened, params.coverage, get_settings().max_duration_s)


def _reusable(
    lease: Lease,
    recorder: Recorder,
    tagger: Tagger,
    model: Model,
    opened: Sequence[Opened],
    params: AnalysisParams,
) -> Reusable:
    """Audio of which the model has a sufficient result, or can predict one from a stored embedding."""
    contents = [found.content_hash for (_, found), _ in opened]
    coverages = lease.transact(lambda session: find_coverages(session, contents, model.id))
    labelled = {content for content, known in coverages.items() if is_covered(known, params.coverage)}
    others = [content for content in contents if content not in labelled]
    embeddings = lease.transact(lambda session: find_embeddings(session, others, model, params.coverage))
    predictions = predict_from(tagger, list(embeddings.values())) if embeddings else []
    return dict.fromkeys(labelled, recorder.skip) | {
        each.content_hash: partial(recorder.relabel, prediction=each) for each in predictions
    }


def analyse_upload(lease: Lease) -> None:
    """Label one uploaded file; the job's result holds the content hash of its prediction."""

    def load(session: Session) -> tuple[Model, bool]:
        job = session.get_one(Job, lease.claim.job_id)
        return _get_model(session, lease.claim), job.result is not None

    model, is_written = lease.transact(load)
    upload = get_settings().uploads_dir / str(lease.claim.job_id)
    if not is_written:
        try:
            _label_upload(lease, model, upload)
        except MFAError:
            with suppress(OSError):
                os.utime(upload)  # its retention for a retry starts now
            raise
    with suppress(OSError):  # the dispatcher sweeps leftovers
        upload.unlink()


def _label_upload(lease: Lease, model: Model, upload: Path) -> None:
    try:
        file = upload.open("rb")
    except FileNotFoundError:
        raise Disappeared("The uploaded file is gone.") from None
    with file:
        whole = file_hash(file, lease.record_step)
        seen = lease.transact(lambda session: find_known_files(session, [whole]))
        digest = (seen.get(whole) or examine(lease, file, whole)).content_hash
        rekey(lease, {whole: digest})
        known = lease.transact(lambda session: find_prediction(session, digest, model.id))
        is_known = known is not None and is_covered(known.coverage, "full")
        predictions = [] if is_known else [_predict(lease, model, file, digest)]
    relabelled = [each.content_hash for each in predictions if each.embedding is None]

    def write(session: Session) -> None:
        hold_predictions(session, [digest] if is_known else [], model.id)
        save_predictions(session, model, predictions)
        hold_embeddings(session, relabelled, model.encoder_id)
        session.get_one(Job, lease.claim.job_id).result = {"content_hash": digest.hex()}
        count_unit_itself(session, lease.claim)

    lease.write(write)


def _predict(lease: Lease, model: Model, file: BinaryIO, digest: bytes) -> NewPrediction:
    """The prediction from a stored embedding of the audio, else from the audio itself."""
    tagger = get_tagger(model, threads=None)
    if stored := lease.transact(lambda session: find_embeddings(session, [digest], model, "full")):
        (prediction,) = predict_from(tagger, list(stored.values()))
        return prediction
    max_duration_s = get_settings().max_duration_s
    results = tagger.analyse([(None, file)], max_duration_s=max_duration_s, on_progress=lease.record_step)
    ((_, outcome),) = results
    if isinstance(outcome, ItemError):
        raise outcome
    return new_prediction(digest, "full", outcome)


def _get_model(session: Session, claim: Claim) -> Model:
    model = session.get(Model, claim.model_id)
    if model is None:
        raise ModelNotFound
    return model
