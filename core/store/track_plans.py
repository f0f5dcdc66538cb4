"""How tracks are looked for among many: one by one until there are enough, or all that match at once.

Postgres does not know how often words, labels and verdicts come together, so it is tried out on some tracks.
Ids are random: those below a bound are a fair sample of all, whatever order the tracks came in.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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

# As the planner does: the density at the last (auto)vacuum, and the size of now.
ESTIMATED_TRACKS = text(
    "SELECT pg_relation_size(oid) / 8192.0 * CASE WHEN reltuples > 0 THEN reltuples / greatest(relpages, 1)"
    " ELSE 20 END FROM pg_class WHERE oid = to_regclass('tracks')"
)
# Whatever does not come in order, or reads a table to its end for a few rows of it.
GATHERING = frozenset(("bitmapscan", "sort", "incremental_sort", "seqscan", "hashjoin", "mergejoin"))
# Until the transaction ends: some thousand tracks are looked up in an index rather than found in all.
LOOK_UP = select(func.set_config("random_page_cost", "1.1", True))
MOST_COMPARED = 20_000  # rows of a label; one that has fewer is rare
FEW_COMPARED = 1000  # rows, of which each is rather looked up than all merged with those of other labels


@dataclass(frozen=True)
class Try:
    """On how many tracks conditions are tried, and how many of these must match for them to be frequent.

    The slower the conditions are to check one by one, the more frequent must they be.
    """

    tracks: int
    enough: int


TRY_WORDS = Try(200, 10)  # the words of a track take some 50 microseconds
TRY_LABELS = Try(1000, 10)
TRY_COLUMNS = Try(1000, 5)


def estimate_tracks(session: Session) -> float:
    """How many rows of tracks there are, at no cost."""
    return float(session.scalar(ESTIMATED_TRACKS) or 0)


def below(share: float) -> ColumnElement[bool]:
    """A fair sample of this share of all tracks, at most 1."""
    return Track.id <= UUID(int=min(int(share * 2**128), 2**128 - 1))


@contextmanager
def one_by_one(session: Session, *allowed: str) -> Iterator[None]:
    """Statements in this block look at tracks one by one, in order or those of a sample.

    An index of words or years could bring a million of which few are needed. `allowed` are ways of
    `GATHERING` that may be used all the same.
    """
    avoided = sorted(GATHERING.difference(allowed))
    session.execute(select(*(func.set_config(f"enable_{each}", "off", True) for each in avoided)))
    yield
    session.execute(select(*(func.set_config(f"enable_{each}", "on", True) for each in avoided)))


def is_frequent(
    session: Session, wanted: TrackFilter, where: Sequence[ColumnElement[bool]], known: float
) -> bool:
    """Whether checking tracks one by one, among about `known` ones, soon finds a page of matches."""
    effort = TRY_COLUMNS
    if wanted.labels or wanted.not_labels:
        effort = TRY_LABELS
    if wanted.words:
        effort = TRY_WORDS
    sample = below(effort.tracks / known)
    tried = select(Track.id).join(Library, Library.id == Track.library_id).where(sample, *where)
    with one_by_one(session):
        return len(session.scalars(tried.limit(effort.enough)).all()) == effort.enough


def gather(
    session: Session,
    model: Model,
    wanted: TrackFilter,
    labels: Sequence[LabelScores],
    where: Sequence[ColumnElement[bool]],
    *columns: InstrumentedAttribute[Any],
    share: float = 1.0,
) -> CTE | None:
    """All tracks that match, with these columns; `labels` are those that they must have by `where`.

    With a `share` only a fair sample of them: those of a range of audio where labels or verdicts find them,
    else of a range of ids. None where no index finds what they must have.
    """
    start = _audio_with_all(session, model, labels, share)
    if share < 1:
        is_by_audio = start or wanted.corrected or wanted.unsure
        start = [*start, Track.content_hash <= _bound(share) if is_by_audio else below(share)]
    if not start and not _has_index(wanted):
        return None
    session.execute(LOOK_UP)
    found = select(*columns).join(Library, Library.id == Track.library_id).where(*start, *where)
    return found.cte("found").prefix_with("MATERIALIZED")


def _has_index(wanted: TrackFilter) -> bool:
    """Whether an index finds the tracks that match something of it."""
    names = (wanted.words, wanted.suffix, wanted.year, wanted.path, wanted.id_prefix, wanted.area)
    flags = (wanted.missing, wanted.corrected, wanted.unsure, wanted.unreadable_tags)
    return any(names) or any(flags)


def _bound(share: float) -> bytes:
    """The content hash that this share of all audio, below 1, does not exceed: they are random."""
    return int(share * 2**64).to_bytes(8, "big")


def _audio_with_all(
    session: Session, model: Model, labels: Sequence[LabelScores], share: float
) -> list[ColumnElement[bool]]:
    """What follows from having these labels, but lets Postgres start from the rows of them.

    Those of a rare label; else the audio of several, from ranges of an index. Empty where that finds too
    much: for one frequent label, and for scores that no row has.
    """
    sources = [_audio_with(session, model, each, share) for each in labels]
    indexed = [source for source in sources if source is not None]
    counted = [(_count_some(session, source), source) for source in indexed]
    if not counted:
        return []
    least, rarest = min(counted, key=itemgetter(0))
    if len(counted) == 1 or least < min(FEW_COMPARED, MOST_COMPARED):
        return [Track.content_hash.in_(rarest)] if least < MOST_COMPARED else []
    first, *others = [source.subquery() for source in indexed]
    joined = select(first.c.content_hash)
    for other in others:
        joined = joined.join(other, other.c.content_hash == first.c.content_hash)
    all_of_them = joined.cte("with_all").prefix_with("MATERIALIZED")
    return [Track.content_hash.in_(select(all_of_them.c.content_hash))]


def _audio_with(session: Session, model: Model, wanted: LabelScores, share: float) -> Any:
    """The audio that may have a label, a share of it; None where only the scores of all audio tell."""
    label = find_label(session, model, wanted.label)
    confirmed = select(Correction.content_hash).where(*is_confirmed(wanted.label))
    given = select(PredictionLabel.content_hash)
    if share < 1:
        confirmed = confirmed.where(Correction.content_hash <= _bound(share))
        given = given.where(PredictionLabel.content_hash <= _bound(share))
    if label is None:
        return confirmed
    if reaches_below(model, label, wanted):
        return None
    given = given.where(*has_label_row(model, label, wanted))
    # Without the other part it comes in the order of an index.
    return given if session.scalar(confirmed.limit(1)) is None else union_all(confirmed, given)


def _count_some(session: Session, source: Any) -> int:
    some = select(source.subquery().c.content_hash).limit(MOST_COMPARED).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0
