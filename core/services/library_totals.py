"""What the libraries hold in total, counted exactly, at most now and then.

Counting a million tracks takes seconds, so an answer may be some time old, and says when it was counted.
"""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.errors import ModelNotFound
from core.store.registry import resolve_model
from core.store.session import SessionFactory
from core.store.tables import Library, Model, Prediction, Track

INLINE_S = 0.05  # a count that takes no longer is made while a request waits
IDLE_PER_WORK = 20  # counting takes at most this part of the time


@dataclass(frozen=True)
class LibraryTotals:
    """Of all libraries together. Tracks are present ones, unless they are called missing."""

    libraries: int
    tracks: int
    bytes: int
    missing: int  # tracks whose file was gone when their library was last listed
    duplicates: int  # tracks whose audio another one has too, the first of each not counted
    labelled: int  # tracks that the default model has labelled
    hours: float  # of the labelled tracks
    model: str | None  # the default one; None if there is none
    counted_at: datetime


def count_totals(session: Session) -> LibraryTotals:
    model = _default_model(session)
    files = select(
        func.count().filter(Track.missing_at.is_(None)),
        func.count().filter(Track.missing_at.is_not(None)),
        func.coalesce(func.sum(Track.size).filter(Track.missing_at.is_(None)), 0),
    )
    tracks, missing, size = session.execute(files.join(Library, Library.id == Track.library_id)).one()
    duplicates, labelled, duration_s = _count_audio(session, model)
    return LibraryTotals(
        libraries=session.scalar(select(func.count()).select_from(Library)) or 0,
        tracks=tracks,
        bytes=int(size),
        missing=missing,
        duplicates=duplicates,
        labelled=labelled,
        hours=round(duration_s / 3600, 2),
        model=None if model is None else model.reference,
        counted_at=datetime.now(UTC),
    )


def _default_model(session: Session) -> Model | None:
    try:
        return resolve_model(session, "default")
    except ModelNotFound:
        return None


def _count_audio(session: Session, model: Model | None) -> tuple[int, int, float]:
    """Superfluous tracks of equal audio, and the tracks with a prediction of the model and their seconds."""
    audio = (
        select(Track.content_hash, func.count().label("tracks"))
        .join(Library, Library.id == Track.library_id)
        .where(Track.missing_at.is_(None), Track.content_hash.is_not(None))
        .group_by(Track.content_hash)
        .subquery()
    )
    of_model = Prediction.content_hash == audio.c.content_hash
    of_model &= Prediction.model_id == (0 if model is None else model.id)
    sums = select(
        func.sum(audio.c.tracks - 1),
        func.sum(audio.c.tracks).filter(Prediction.model_id.is_not(None)),
        func.sum(audio.c.tracks * Prediction.duration_s),
    )
    duplicates, labelled, duration_s = session.execute(
        sums.select_from(audio).outerjoin(Prediction, of_model)
    ).one()
    return int(duplicates or 0), int(labelled or 0), float(duration_s or 0)


class KnownTotals:
    """The totals of one process. Thread-safe."""

    def __init__(self, sessions: SessionFactory) -> None:
        self._sessions = sessions
        self._counting = threading.Lock()
        self._known: LibraryTotals | None = None
        self._took_s = self._counted = 0.0  # of the monotonic clock

    def get(self) -> tuple[LibraryTotals, bool]:
        """The cached totals, and whether the caller should refresh them with `renew` after its response."""
        known = self._known
        if known is None or (self._is_old() and self._took_s <= INLINE_S):
            known = self.count()
        return known, self._is_old()

    def renew(self) -> None:
        """Count, unless another thread is counting."""
        if self._counting.acquire(blocking=False):
            try:
                self._measure()
            finally:
                self._counting.release()

    def count(self) -> LibraryTotals:
        """Count, unless another thread has just done so."""
        asked = time.monotonic()
        with self._counting:
            if self._known is not None and self._counted > asked:
                return self._known
            return self._measure()

    def _measure(self) -> LibraryTotals:
        start = time.monotonic()
        with self._sessions() as session:
            self._known = totals = count_totals(session)
        self._counted = time.monotonic()
        self._took_s = self._counted - start
        return totals

    def _is_old(self) -> bool:
        return time.monotonic() - self._counted > IDLE_PER_WORK * self._took_s
