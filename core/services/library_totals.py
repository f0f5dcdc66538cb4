"""What the libraries hold in total, counted at most now and then.

Counting a million tracks takes seconds, so an answer may be some time old, and says when it was counted. The
last totals are a row, so that a gateway that starts has them at once.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from core.errors import ModelNotFound
from core.store.facets import LabelCount, count_facets
from core.store.registry import resolve_model
from core.store.session import SessionFactory
from core.store.tables import KeptTotals, Library, Model, Prediction, Track
from core.store.track_filters import EVERYTHING

log = logging.getLogger("core.services.library_totals")

INLINE_S = 0.05  # a count that takes no longer is made while a request waits
IDLE_PER_WORK = 20  # counting takes at most this part of the time
TOP_LABELS = 12


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
    top_labels: Sequence[LabelCount]  # those that most tracks have, by the default model and by people
    top_labels_exact: bool  # whether their tracks were counted; else the counts are estimates
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
    top_labels, are_exact = _count_labels(session, model)
    return LibraryTotals(
        libraries=session.scalar(select(func.count()).select_from(Library)) or 0,
        tracks=tracks,
        bytes=int(size),
        missing=missing,
        duplicates=duplicates,
        labelled=labelled,
        hours=round(duration_s / 3600, 2),
        model=None if model is None else model.reference,
        top_labels=top_labels,
        top_labels_exact=are_exact,
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


def _count_labels(session: Session, model: Model | None) -> tuple[list[LabelCount], bool]:
    if model is None:
        return [], True
    found = count_facets(session, model, EVERYTHING)
    return [each for each in found.labels[:TOP_LABELS] if each.count], found.exact


def _keep(session: Session, totals: LibraryTotals, took_s: float) -> None:
    facts = asdict(totals)
    values = {"id": 1, "counted_at": facts.pop("counted_at"), "took_s": took_s, "facts": facts}
    statement = insert(KeptTotals).values(values)
    session.execute(statement.on_conflict_do_update(index_elements=[KeptTotals.id], set_=values))


def _read_kept(session: Session) -> tuple[LibraryTotals, float] | None:
    """The last totals and the seconds that counting took; None if there are none of this version."""
    kept = session.get(KeptTotals, 1)
    if kept is None or {*kept.facts, "counted_at"} != {each.name for each in fields(LibraryTotals)}:
        return None
    facts: dict[str, Any] = dict(kept.facts)
    labels = [LabelCount(**each) for each in facts.pop("top_labels")]
    return LibraryTotals(**facts, top_labels=labels, counted_at=kept.counted_at), kept.took_s


class KnownTotals:
    """The totals of one process, at first those of the one before it. Thread-safe."""

    def __init__(self, sessions: SessionFactory) -> None:
        self._sessions = sessions
        self._counting = threading.Lock()
        self._known: LibraryTotals | None = None
        self._took_s = self._counted = 0.0  # of the monotonic clock

    def get(self) -> tuple[LibraryTotals, bool]:
        """The cached totals, and whether the caller should refresh them with `renew` after its response."""
        known = self._known or self._read_kept()
        if known is None or (self._is_old(known) and self._took_s <= INLINE_S):
            known = self.count()
        return known, self._is_old(known)

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
        with self._sessions.begin() as session:
            self._known = totals = count_totals(session)
            self._counted = time.monotonic()
            self._took_s = self._counted - start
        self._keep(totals)
        return totals

    def _keep(self, totals: LibraryTotals) -> None:
        """For the next process; where nothing can be written, these totals are right all the same."""
        try:
            with self._sessions.begin() as session:
                _keep(session, totals, self._took_s)
        except DBAPIError as error:
            log.warning("the totals of the libraries cannot be kept: %s", error.orig)

    def _read_kept(self) -> LibraryTotals | None:
        with self._sessions() as session:
            kept = _read_kept(session)
        if kept is None:
            return None
        self._known, self._took_s = kept
        age_s = (datetime.now(UTC) - self._known.counted_at).total_seconds()
        self._counted = time.monotonic() - max(age_s, 0.0)  # the clock may have been ahead
        return self._known

    def _is_old(self, known: LibraryTotals) -> bool:
        """Whether it is time to count again, or another model has become the default one."""
        if time.monotonic() - self._counted > IDLE_PER_WORK * self._took_s:
            return True
        with self._sessions() as session:
            model = _default_model(session)
        return known.model != (None if model is None else model.reference)
