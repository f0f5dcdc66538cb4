"""Pages of tracks in several orders.

Those of a genre come in parts: those that people gave the label, then the most certain of the model, in the
end those whose score is below the label's threshold, if they are asked for.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    REAL,
    ColumnElement,
    Select,
    SQLColumnExpression,
    Uuid,
    any_,
    cast,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.errors import Invalid, InvalidCursor
from core.label_scores import LabelScores
from core.states import TrackOrder, Verdict
from core.store.cursor import Page, cut_page, decode_cursor
from core.store.tables import Correction, Library, Model, Prediction, PredictionLabel, Track
from core.store.track_filters import (
    EVERYTHING,
    TrackFilter,
    besides_genre,
    find_label,
    has_label_row,
    is_confirmed,
    is_undecided,
    matching,
    reaches_below,
    score_between,
    stored_score,
    threshold_of,
)
from core.store.track_plans import MANY, estimate_tracks, gather, is_frequent, one_by_one
from core.store.tracks import TrackRow, track_row, tracks_with


def list_tracks(
    session: Session,
    model: Model,
    wanted: TrackFilter = EVERYTHING,
    *,
    order: TrackOrder | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Page[TrackRow]:
    """Tracks in an order; without one in that of their ids or, with a genre, the most certain first.

    Raises LibraryNotFound, and Invalid for a genre that nothing has and for the order of the scores of none.
    """
    if order is TrackOrder.SCORE and wanted.genre is None:
        raise Invalid("Only tracks of a genre have an order by score: name a `genre`.")
    if wanted.genre is not None and order in (None, TrackOrder.SCORE):
        return _labelled_page(session, model, wanted.labels[0], wanted, cursor, limit)
    if order is TrackOrder.DURATION:
        return _page_by_duration(session, model, wanted, cursor, limit)
    keys = ORDERS[order]
    after = None if cursor is None else decode_cursor(cursor, *keys.parts)
    rows = [track_row(*row) for row in _in_order(session, model, wanted, keys, after, limit + 1)]
    return cut_page(rows, limit, lambda row: tuple(getattr(row.track, key.key) for key in keys.columns))


@dataclass(frozen=True)
class Keys:
    """An order of tracks, and how to read the parts of its cursors."""

    columns: tuple[InstrumentedAttribute[Any], ...]
    parts: tuple[Callable[[str], Any], ...]
    descending: bool = False

    def follow(
        self, query: Select[*tuple[Any, ...]], columns: Sequence[Any], after: tuple[Any, ...] | None
    ) -> Select[*tuple[Any, ...]]:
        """The query in this order of its columns, behind the position `after`."""
        ordered = query.order_by(*(column.desc() if self.descending else column for column in columns))
        if after is None:
            return ordered
        here, there = tuple_(*columns), tuple_(*after)
        return ordered.where(here < there if self.descending else here > there)

    def precede(self, last: Sequence[Any]) -> ColumnElement[bool]:
        """Whether a track comes before a position."""
        here, there = tuple_(*self.columns), tuple_(*last)
        return here > there if self.descending else here < there


WALKED = 20_000  # tracks, in which a page of what is frequent is looked for

ORDERS = {
    None: Keys((Track.id,), (UUID,)),
    TrackOrder.PATH: Keys((Track.library_id, Track.path), (UUID, str)),  # one library after the other
    TrackOrder.DATE: Keys((Track.mtime_ns, Track.id), (int, UUID), descending=True),  # the newest file first
}


def _in_order(
    session: Session,
    model: Model,
    wanted: TrackFilter,
    keys: Keys,
    after: tuple[Any, ...] | None,
    limit: int,
) -> Sequence[Any]:
    if wanted == EVERYTHING or (known := estimate_tracks(session)) < MANY:
        query = tracks_with(model).where(*matching(session, model, wanted))
        return session.execute(keys.follow(query, keys.columns, after).limit(limit)).all()
    while True:
        ids = _find_in_order(session, model, wanted, keys, after, limit, known)
        page = tracks_with(model).where(Track.id == any_(literal(ids, ARRAY(Uuid))))
        rows = session.execute(keys.follow(page, keys.columns, None)).all()
        if len(rows) == len(ids):  # none has been deleted in between
            return rows


def _find_in_order(
    session: Session,
    model: Model,
    wanted: TrackFilter,
    keys: Keys,
    after: tuple[Any, ...] | None,
    limit: int,
    known: float,
) -> Sequence[UUID]:
    """The ids of a page of tracks, among about `known` ones."""
    where = matching(session, model, wanted)
    ids = keys.follow(select(Track.id).join(Library).where(*where), keys.columns, after).limit(limit)
    if is_frequent(session, wanted, where, known):
        # Not to the end: all that match may be there, such as in the last library.
        with one_by_one(session):
            ordered = keys.follow(select(*keys.columns), keys.columns, after)
            last = session.execute(ordered.offset(WALKED).limit(1)).one_or_none()
            found = session.scalars(ids if last is None else ids.where(keys.precede(last))).all()
        if last is None or len(found) == limit:
            return found
    gathered = gather(session, model, wanted, wanted.labels, where, *dict.fromkeys((Track.id, *keys.columns)))
    if gathered is not None:
        columns = [gathered.c[key.key] for key in keys.columns]
        return session.scalars(keys.follow(select(gathered.c.id), columns, after).limit(limit)).all()
    with one_by_one(session):
        return session.scalars(ids).all()


def _page_by_duration(
    session: Session, model: Model, wanted: TrackFilter, cursor: str | None, limit: int
) -> Page[TrackRow]:
    """The longest first, then those that the model has not analysed, whose cursor has no duration."""
    shortest, last_id = (None, None) if cursor is None else decode_cursor(cursor, _duration, UUID)
    where, is_walked = _found_or_matching(session, model, wanted)
    query = tracks_with(model).where(*where)
    key = (Prediction.duration_s, Track.id)
    rows: list[TrackRow] = []
    # Tracks of equal durations are sorted by their ids.
    with one_by_one(session, "incremental_sort") if is_walked else nullcontext():
        if cursor is None or shortest is not None:
            known = query.where(Prediction.duration_s.is_not(None)).order_by(*(each.desc() for each in key))
            if last_id is not None:
                known = known.where(tuple_(*key) < tuple_(cast(shortest, REAL), last_id))
            rows = [track_row(*row) for row in session.execute(known.limit(limit + 1))]
        if len(rows) <= limit:
            unknown = query.where(Prediction.duration_s.is_(None)).limit(limit + 1 - len(rows))
            if shortest is None and last_id is not None:
                unknown = unknown.where(Track.id > last_id)
            rows += [track_row(*row) for row in session.execute(unknown.order_by(Track.id))]
    return cut_page(
        rows, limit, lambda row: (row.prediction.duration_s if row.prediction else None, row.track.id)
    )


def _found_or_matching(
    session: Session, model: Model, wanted: TrackFilter
) -> tuple[list[ColumnElement[bool]], bool]:
    """What holds of the tracks that match, gathered if they are rare; whether all are looked at for it."""
    where = matching(session, model, wanted)
    known = estimate_tracks(session)
    if known < MANY:
        return where, False
    if wanted != EVERYTHING and not is_frequent(session, wanted, where, known):
        found = gather(session, model, wanted, wanted.labels, where, Track.id)
        if found is not None:
            return [Track.id.in_(select(found.c.id))], False
    return where, True


def _duration(value: Any) -> float | None:
    return None if value is None else float(value)


def _labelled_page(
    session: Session,
    model: Model,
    asked: LabelScores,
    wanted: TrackFilter,
    cursor: str | None,
    limit: int,
) -> Page[TrackRow]:
    """Each part goes on where the page starts: the first by audio, the others by score.

    Only scores below the threshold are in no index: those of all audio are looked through.
    """
    label = find_label(session, model, asked.label)
    tracks = _besides(session, model, wanted)
    after, below = _positions(cursor)
    rows: list[tuple[TrackRow, tuple[Any, ...]]] = []
    if below is None:
        for *row, digest in session.execute(_confirmed(tracks, asked.label, after).limit(limit + 1)):
            found = track_row(*row)
            rows.append((found, (str(Verdict.YES), digest.hex(), found.track.id)))
    for query in [] if label is None else _predicted(tracks, model, label, asked, below):
        if len(rows) > limit:
            break
        for *row, score in session.execute(query.limit(limit + 1 - len(rows))):
            found = track_row(*row)
            rows.append((found, (score, found.track.id)))
    page = cut_page(rows, limit, lambda row: row[1])
    return Page([row for row, _ in page.items], page.next_cursor)


def _besides(session: Session, model: Model, wanted: TrackFilter) -> Select[*tuple[Any, ...]]:
    """Tracks that match besides their first genre."""
    where = besides_genre(session, model, wanted)
    label_only = TrackFilter(wanted.genre, min_score=wanted.min_score, max_score=wanted.max_score)
    known = estimate_tracks(session)
    if known < MANY or wanted == label_only or is_frequent(session, wanted, where, known):
        return tracks_with(model).where(*where)
    found = gather(session, model, wanted, wanted.labels[1:], where, Track.id)
    return tracks_with(model).where(*(where if found is None else [Track.id.in_(select(found.c.id))]))


def _positions(cursor: str | None) -> tuple[tuple[bytes, UUID] | None, tuple[float, UUID] | None]:
    """Where a page starts among the confirmed tracks, or among those that the model labels."""
    if cursor is None:
        return None, None
    try:
        score, track_id = decode_cursor(cursor, float, UUID)
        return None, (score, track_id)
    except InvalidCursor:
        _, digest, track_id = decode_cursor(cursor, Verdict, bytes.fromhex, UUID)
        return (digest, track_id), None


def _confirmed(
    tracks: Select[*tuple[Any, ...]], genre: str, after: tuple[bytes, UUID] | None
) -> Select[*tuple[Any, ...]]:
    """Tracks that people gave the label, by their audio."""
    query = (
        tracks.join(Correction, Correction.content_hash == Track.content_hash)
        .where(*is_confirmed(genre))
        .order_by(Correction.content_hash, Track.id)
        .add_columns(Correction.content_hash)
    )
    if after is None:
        return query
    return query.where(
        Correction.content_hash >= after[0], tuple_(Correction.content_hash, Track.id) > tuple_(*after)
    )


def _predicted(
    tracks: Select[*tuple[Any, ...]],
    model: Model,
    label: str,
    wanted: LabelScores,
    below: tuple[float, UUID] | None,
) -> list[Select[*tuple[Any, ...]]]:
    """Tracks by the model's scores of which nobody said more, the highest first, query after query."""
    given = _given(tracks, model, label, wanted, below)
    if not reaches_below(model, label, wanted):
        return [given]
    return [given, _scored_below(tracks, model, label, wanted, below)]


def _given(
    tracks: Select[*tuple[Any, ...]],
    model: Model,
    label: str,
    wanted: LabelScores,
    below: tuple[float, UUID] | None,
) -> Select[*tuple[Any, ...]]:
    """Tracks that the model gave the label, out of the index."""
    given = PredictionLabel
    query = (
        tracks.join(given, given.content_hash == Track.content_hash)
        .where(*has_label_row(model, label, wanted), is_undecided(model, label))
        .order_by(given.score.desc(), Track.id)
        .add_columns(given.score)
    )
    return query.where(*_after(given.score, below))


def _scored_below(
    tracks: Select[*tuple[Any, ...]],
    model: Model,
    label: str,
    wanted: LabelScores,
    below: tuple[float, UUID] | None,
) -> Select[*tuple[Any, ...]]:
    """Tracks whose score is below the threshold.

    The scores are sorted before the tracks are looked up, so that a page looks up few.
    """
    score = stored_score(model, label)
    rows = select(Prediction.content_hash, score.label("score")).where(
        Prediction.model_id == model.id,
        *score_between(score, wanted),
        score < cast(threshold_of(model, label), REAL),
    )
    if below is not None:
        rows = rows.where(score <= cast(below[0], REAL))
    scored = rows.order_by(score.desc()).subquery()
    query = (
        tracks.join(scored, scored.c.content_hash == Track.content_hash)
        .where(is_undecided(model, label))
        .order_by(scored.c.score.desc(), Track.id)
        .add_columns(scored.c.score)
    )
    return query.where(*_after(scored.c.score, below))


def _after(score: SQLColumnExpression[Any], below: tuple[float, UUID] | None) -> list[ColumnElement[bool]]:
    """Behind the last track of a page."""
    if below is None:
        return []
    last = cast(below[0], REAL)
    # A bound on the score alone lets the index scan start where the page does.
    return [score <= last, or_(score < last, Track.id > below[1])]
