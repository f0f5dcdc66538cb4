"""How tracks are looked for among many: one by one until there are enough, or all that match at once.

Postgres does not know how often words, labels and verdicts come together, so it is tried out on some tracks.
Ids are random: those below a bound are a fair sample of all, whatever order the tracks came in.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, func, select, text, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.label_scores import LabelScores
from core.store.tables import Correction, Library, Model, PredictionLabel, Track
from core.store.track_filters import (
    TrackFilter,
    find_label,
    has_label_row,
    is_confirmed,
    reaches_below,
)

MANY = 16_000  # tracks: among fewer any way is fast
TRIED = 1000  # tracks of the sample
ENOUGH = 20  # of these that match, so that a page of such is soon found by looking at tracks one by one

# As the planner does: the density at the last (auto)vacuum, and the size of now.
ESTIMATED_TRACKS = text(
    "SELECT pg_relation_size(oid) / 8192.0 * CASE WHEN reltuples > 0 THEN reltuples / greatest(relpages, 1)"
    " ELSE 20 END FROM pg_class WHERE oid = to_regclass('tracks')"
)
NEITHER_GATHER_NOR_SORT = select(
    func.set_config("enable_bitmapscan", "off", True), func.set_config("enable_sort", "off", True)
)
GATHER_AND_SORT = select(
    func.set_config("enable_bitmapscan", "on", True), func.set_config("enable_sort", "on", True)
)
# Until the transaction ends: some thousand tracks are looked up in an index rather than found in all.
LOOK_UP = select(func.set_config("random_page_cost", "1.1", True))
MOST_COMPARED = 20_000  # rows of a label; one that has fewer is rare


def estimate_tracks(session: Session) -> float:
    """How many rows of tracks there are, at no cost."""
    return float(session.scalar(ESTIMATED_TRACKS) or 0)


def below(share: float) -> ColumnElement[bool]:
    """A fair sample of this share of all tracks, at most 1."""
    return Track.id <= UUID(int=int(share * (2**128 - 1)))


@contextmanager
def one_by_one(session: Session) -> Iterator[None]:
    """Statements in this block look at tracks one by one, in order or those of a sample.

    An index of words or years could bring a million of which few are needed.
    """
    session.execute(NEITHER_GATHER_NOR_SORT)
    yield
    session.execute(GATHER_AND_SORT)


def is_frequent(session: Session, where: Sequence[ColumnElement[bool]], known: float) -> bool:
    """Whether checking tracks one by one, among about `known` ones, soon finds a page of matches."""
    tried = select(Track.id).join(Library, Library.id == Track.library_id).where(below(TRIED / known), *where)
    with one_by_one(session):
        return len(session.scalars(tried.limit(ENOUGH)).all()) == ENOUGH


def gather(
    session: Session,
    model: Model,
    wanted: TrackFilter,
    labels: Sequence[LabelScores],
    where: Sequence[ColumnElement[bool]],
    *columns: InstrumentedAttribute[Any],
) -> CTE | None:
    """All tracks that match, with these columns; `labels` are those that they must have by `where`.

    None where nothing that they must have is rare by itself.
    """
    start = _rarest_label(session, model, labels)
    if not start and not _has_index(wanted):
        return None
    session.execute(LOOK_UP)
    found = select(*columns).join(Library, Library.id == Track.library_id).where(*start, *where)
    return found.cte("found").prefix_with("MATERIALIZED")


def _rarest_label(session: Session, model: Model, labels: Sequence[LabelScores]) -> list[ColumnElement[bool]]:
    """What follows from having a rare label, but lets Postgres start from its rows."""
    sources = [_audio_with(session, model, each) for each in labels]
    counted = [(_count_some(session, source), source) for source in sources if source is not None]
    rare = [(count, source) for count, source in counted if count < MOST_COMPARED]
    return [Track.content_hash.in_(min(rare, key=itemgetter(0))[1])] if rare else []


def _has_index(wanted: TrackFilter) -> bool:
    """Whether an index finds the tracks that match something of it."""
    names = (wanted.words, wanted.suffix, wanted.year, wanted.path, wanted.id_prefix, wanted.area)
    flags = (wanted.missing, wanted.corrected, wanted.unsure, wanted.unreadable_tags)
    return any(names) or any(flags)


def _audio_with(session: Session, model: Model, wanted: LabelScores) -> Any:
    """The audio that may have a label; None where only the scores of all audio tell."""
    label = find_label(session, model, wanted.label)
    confirmed = select(Correction.content_hash).where(*is_confirmed(wanted.label))
    if label is None:
        return confirmed
    if reaches_below(model, label, wanted):
        return None
    given = select(PredictionLabel.content_hash).where(*has_label_row(model, label, wanted))
    return union_all(confirmed, given)


def _count_some(session: Session, source: Any) -> int:
    some = select(source.subquery().c.content_hash).limit(MOST_COMPARED).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0
