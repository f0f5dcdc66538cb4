"""Bodies of `analyse` units (tracks of a library) and `predict` units (an uploaded file)."""

import os
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import closing, suppress
from dataclasses import dataclass, field
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
from core.jobs.counters import count_unit_itself, save_timings
from core.jobs.items import WorkItem, load_work
from core.library.content import file_hash
from core.ml.inference.tagger import Tagger
from core.ml.inference.timings import StageTimings
from core.settings import get_settings
from core.store.contents import find_known_files
from core.store.embeddings import find_embeddings
from core.store.predictions import (
    NewPrediction,
    find_coverages,
    find_prediction,
    hold_predictions,
    is_covered,
    save_predictions,
)
from core.store.tables import Job, Library, Model
from workers.examining import Opened, examine, open_group, rekey
from workers.lease import Lease
from workers.recorder import Recorder, new_prediction
from workers.relabelling import predict_from, relabel_items
from workers.taggers import get_tagger

FILES_PER_QUERY = 8


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
    tagger.timings = StageTimings()
    results = tagger.analyse(
        _open_items(lease, recorder, tagger, model, root, params, items),
        params.coverage,
        max_duration_s=get_settings().max_duration_s,
        on_progress=lease.record_step,
        sequential=lease.claim.crash_count > 0,
    )
    with closing(results):
        try:
            for (item, file), outcome in results:
                if isinstance(outcome, ItemError):
                    recorder.fail(item, outcome, file)
                else:
                    recorder.succeed(item, file, outcome)
        except Exception:
            recorder.flush()
            raise
    recorder.flush()
    seconds = tagger.timings.stages() | {"store": recorder.store_s}
    lease.write(lambda session: save_timings(session, lease.claim, seconds))
    lease.check()


def _open_items(
    lease: Lease,
    recorder: Recorder,
    tagger: Tagger,
    model: Model,
    root: Path,
    params: AnalysisParams,
    items: list[WorkItem],
) -> Iterator[Opened]:
    """Open the files that need analysis, in order; ends early if the unit is stopped.

    After a crash, files are opened one by one, and the position of each is recorded before: if the next
    worker crashes too, that file is to blame.
    """
    is_sequential = lease.claim.crash_count > 0
    size = 1 if is_sequential else FILES_PER_QUERY
    for start in range(0, len(items), size):
        if is_sequential:
            lease.start_item(items[start].pos)
        opened = open_group(lease, recorder, root, items[start : start + size], force=params.force)
        try:
            known = _Reusable() if params.force else _find_reusable(lease, tagger, model, opened, params)
            while opened and lease.stop is None:
                (item, found), file = opened.popleft()
                if found.content_hash in known.labelled:
                    file.close()
                    recorder.skip(item, found)
                elif found.content_hash in known.relabelled:
                    file.close()
                    recorder.relabel(item, found, known.relabelled[found.content_hash])
                else:
                    yield (item, found), file
        finally:
            for _, file in opened:
                file.close()
        if lease.stop is not None:
            return


@dataclass(frozen=True)
class _Reusable:
    """Audio that need not be decoded, by content hash."""

    labelled: Set[bytes] = frozenset()  # the model has a result of sufficient coverage
    relabelled: Mapping[bytes, NewPrediction] = field(
        default_factory=dict
    )  # predicted from stored embeddings


def _find_reusable(
    lease: Lease, tagger: Tagger, model: Model, opened: Iterable[Opened], params: AnalysisParams
) -> _Reusable:
    contents = [found.content_hash for (_, found), _ in opened]
    coverages = lease.transact(lambda session: find_coverages(session, contents, model.id))
    labelled = {content for content, known in coverages.items() if is_covered(known, params.coverage)}
    others = [content for content in contents if content not in labelled]
    embeddings = lease.transact(lambda session: find_embeddings(session, others, model, params.coverage))
    predictions = predict_from(tagger, list(embeddings.values())) if embeddings else []
    return _Reusable(labelled, {each.content_hash: each for each in predictions})


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

    def write(session: Session) -> None:
        hold_predictions(session, [digest] if is_known else [], model.id)
        save_predictions(session, model, predictions)
        session.get_one(Job, lease.claim.job_id).result = {"content_hash": digest.hex()}
        count_unit_itself(session, lease.claim)

    lease.write(write)


def _predict(lease: Lease, model: Model, file: BinaryIO, digest: bytes) -> NewPrediction:
    tagger = get_tagger(model, threads=None)
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
