"""Collects the outcomes of a unit's tracks and writes them in batches."""

import logging
import threading
import time
from collections.abc import Set
from dataclasses import replace

from sqlalchemy.orm import Session

from core.config.models import Coverage, coverage_name
from core.errors import Empty, ItemError
from core.jobs.items import Outcome, WorkItem, record_outcomes
from core.library.content import identity_without_audio
from core.ml.audio.waveform import Waveform
from core.ml.inference.tagger import Analysis
from core.states import ItemState
from core.store.contents import move_results
from core.store.embeddings import NewEmbedding, hold_embeddings, save_embeddings
from core.store.predictions import NewPrediction, hold_predictions, save_predictions
from core.store.tables import Model
from core.store.tracks import AnalysedFile, save_analysed
from core.store.waveforms import save_waveforms
from workers.lease import Lease

log = logging.getLogger(__name__)

# Frequent writes lose little work in a crash, but are expensive compared with fast tracks.
WRITE_EVERY_ITEMS = 8
WRITE_EVERY_S = 2.0
WRITE_PAUSE_S = 0.25  # between two writes, unless MAX_ITEMS are pending
MAX_ITEMS = 128


class Recorder:
    """Thread-safe: called from the decoding thread (failed, skipped) and the inference thread (succeeded)."""

    def __init__(self, lease: Lease, model: Model, coverage: Coverage) -> None:
        self._lease, self._model, self._coverage = lease, model, coverage
        self._lock = threading.Lock()
        self._written = time.monotonic()
        self.store_s = 0.0  # spent on writing
        self._outcomes: list[Outcome] = []
        self._files: list[AnalysedFile] = []
        self._predictions: list[NewPrediction] = []
        self._waveforms: dict[bytes, Waveform] = {}

    def fail(self, item: WorkItem, error: ItemError, file: AnalysedFile | None = None) -> None:
        """Record a failure, with the hashes and tags of a `file` that could be opened."""
        if file is not None and isinstance(error, Empty):  # files without audio are not duplicates
            file = replace(file, content_hash=identity_without_audio(file.file_hash))
        self._add(Outcome(item.pos, ItemState.FAILED, error_code=error.code, error_detail=error.detail), file)

    def skip(self, item: WorkItem, file: AnalysedFile) -> None:
        """Record a track whose audio already has a result, under this path or another."""
        self._add(Outcome(item.pos, ItemState.SKIPPED, file.content_hash), file)

    def relabel(self, item: WorkItem, file: AnalysedFile, prediction: NewPrediction) -> None:
        """Record a track labelled from a stored embedding."""
        self._add(Outcome(item.pos, ItemState.DONE, file.content_hash), file, prediction)

    def succeed(self, item: WorkItem, file: AnalysedFile, analysis: Analysis) -> None:
        for warning in analysis.warnings:
            log.warning("%.300r is labelled despite missing audio: %s", item.path, warning)
        prediction = new_prediction(file.content_hash, self._coverage, analysis)
        done = Outcome(item.pos, ItemState.DONE, file.content_hash)
        self._add(done, file, prediction, analysis.waveform)

    def _add(
        self,
        outcome: Outcome,
        file: AnalysedFile | None = None,
        prediction: NewPrediction | None = None,
        waveform: Waveform | None = None,
    ) -> None:
        with self._lock:
            self._outcomes.append(outcome)
            if file is not None:
                self._files.append(file)
            if prediction is not None:
                self._predictions.append(prediction)
            if file is not None and waveform is not None:
                self._waveforms[file.content_hash] = waveform
            if self._is_due(len(self._outcomes), time.monotonic() - self._written):
                self._flush()

    def _is_due(self, items: int, waited_s: float) -> bool:
        is_enough = items >= WRITE_EVERY_ITEMS and waited_s >= WRITE_PAUSE_S
        return is_enough or waited_s >= WRITE_EVERY_S or items >= MAX_ITEMS

    def flush(self) -> None:
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        start = time.monotonic()
        if self._outcomes:
            self._lease.write(self._write)
            self.store_s += time.monotonic() - start
        self._outcomes, self._files, self._predictions, self._waveforms = [], [], [], {}
        self._written = time.monotonic()

    def _write(self, session: Session) -> None:
        known = [done.content_hash for done in self._outcomes if done.state is ItemState.SKIPPED]
        self._save_results(session, {digest for digest in known if digest is not None})
        save_waveforms(session, self._waveforms)
        save_analysed(session, self._files)
        # Not as soon as a hash is known: the content of files without audio gets no hash of its own.
        found = {identity_without_audio(file.file_hash): file.content_hash for file in self._files}
        move_results(session, found)
        record_outcomes(session, self._lease.claim, self._outcomes)

    def _save_results(self, session: Session, known: Set[bytes]) -> None:
        """Write what is new, and hold what is `known` until the transaction ends."""
        hold_predictions(session, known, self._model.id)
        save_predictions(session, self._model, self._predictions)
        relabelled = {each.content_hash for each in self._predictions if each.embedding is None}
        hold_embeddings(session, relabelled, self._model.encoder_id)


class EmbeddingRecorder(Recorder):
    """Stores embeddings without predictions: all that a training needs."""

    def __init__(self, lease: Lease, model: Model) -> None:
        super().__init__(lease, model, "full")

    def _save_results(self, session: Session, known: Set[bytes]) -> None:
        found = {each.content_hash: each for each in self._predictions}
        new = [
            NewEmbedding(digest, each.coverage, each.duration_s, each.embedding, each.warnings)
            for digest, each in found.items()
        ]
        save_embeddings(session, self._model.encoder_id, new)
        hold_embeddings(session, known, self._model.encoder_id)


def new_prediction(content_hash: bytes, coverage: Coverage, analysis: Analysis) -> NewPrediction:
    return NewPrediction(
        content_hash,
        coverage_name(coverage),
        analysis.duration_s,
        analysis.scores.tolist(),
        analysis.embedding,
        analysis.warnings,
    )
