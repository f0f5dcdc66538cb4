"""Which tracks are meant by a query, and pages of them.

Those of a genre come in two parts: those that people gave the label, then the most certain of the model.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import REAL, ColumnElement, Select, cast, exists, false, func, or_, select, text, true, tuple_
from sqlalchemy.orm import Session

from core.errors import Invalid, InvalidCursor
from core.spelling import name_key
from core.states import TrackOrder, Verdict
from core.store.cursor import Page, cut_page, decode_cursor
from core.store.ids import id_starts_with
from core.store.libraries import get_library_by_name
from core.store.tables import Correction, LabelSet, Library, Model, PredictionLabel, Track
from core.store.tracks import TrackRow, track_row, tracks_with

DECIDED = (Verdict.YES, Verdict.NO)


@dataclass(frozen=True)
class TrackFilter:
    """Which tracks are meant; all that is given must hold."""

    genre: str | None = None  # a label
    min_score: float = 0.0  # only with a genre, of labels that a model gave
    library: str | None = None
    path: str | None = None
    q: str | None = None  # part of the path, ignoring case
    unreadable_tags: bool = False
    max_score: float = 1.0  # like `min_score`
    genres_too: tuple[str, ...] = ()  # further labels that they have
    not_genres: tuple[str, ...] = ()  # labels that they have not
    id_prefix: str | None = None
    missing: bool = False  # the files that are gone instead of those that are there
    corrected: bool = False  # only those of which people have said something


EVERYTHING = TrackFilter()


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
        tracks = tracks_with(model).where(*_besides_genre(session, model, wanted))
        return _labelled_page(session, model, wanted.genre, wanted, tracks, cursor, limit)
    query = tracks_with(model).where(*matching(session, model, wanted)).limit(limit + 1)
    if order is TrackOrder.PATH:
        return _page_by_path(session, query, cursor, limit)
    if order is TrackOrder.DATE:
        return _page_by_date(session, query, cursor, limit)
    if cursor is not None:
        query = query.where(Track.id > decode_cursor(cursor, UUID)[0])
    rows = [track_row(*row) for row in session.execute(query.order_by(Track.id))]
    return cut_page(rows, limit, lambda row: (row.track.id,))


def _page_by_path(
    session: Session, query: Select[*tuple[Any, ...]], cursor: str | None, limit: int
) -> Page[TrackRow]:
    """One library after the other."""
    key = (Track.library_id, Track.path)
    if cursor is not None:
        query = query.where(tuple_(*key) > tuple_(*decode_cursor(cursor, UUID, str)))
    rows = [track_row(*row) for row in session.execute(query.order_by(*key))]
    return cut_page(rows, limit, lambda row: (row.track.library_id, row.track.path))


def _page_by_date(
    session: Session, query: Select[*tuple[Any, ...]], cursor: str | None, limit: int
) -> Page[TrackRow]:
    """The file that was changed last first."""
    if cursor is not None:
        query = query.where(tuple_(Track.mtime_ns, Track.id) < tuple_(*decode_cursor(cursor, int, UUID)))
    rows = [
        track_row(*row) for row in session.execute(query.order_by(Track.mtime_ns.desc(), Track.id.desc()))
    ]
    return cut_page(rows, limit, lambda row: (row.track.mtime_ns, row.track.id))


def matching(session: Session, model: Model, wanted: TrackFilter) -> list[ColumnElement[bool]]:
    """What holds of the tracks that `list_tracks` lists on all its pages; raises the same errors."""
    where = _besides_genre(session, model, wanted)
    if wanted.genre is None:
        return where
    return [*where, _has_label(session, model, wanted.genre, wanted)]


def _labelled_page(
    session: Session,
    model: Model,
    genre: str,
    wanted: TrackFilter,
    tracks: Select[*tuple[Any, ...]],
    cursor: str | None,
    limit: int,
) -> Page[TrackRow]:
    """Both parts are read from an index where the page starts: the first by audio, the second by score."""
    label = find_label(session, model, genre)
    after, below = _positions(cursor)
    rows: list[tuple[TrackRow, tuple[Any, ...]]] = []
    if below is None:
        for *row, digest in session.execute(_confirmed(tracks, genre, after).limit(limit + 1)):
            found = track_row(*row)
            rows.append((found, (str(Verdict.YES), digest.hex(), found.track.id)))
    if len(rows) <= limit and label is not None:
        query = _predicted(tracks, model, label, wanted, below)
        for *row, score in session.execute(query.limit(limit + 1 - len(rows))):
            found = track_row(*row)
            rows.append((found, (score, found.track.id)))
    page = cut_page(rows, limit, lambda row: row[1])
    return Page([row for row, _ in page.items], page.next_cursor)


def _has_label(session: Session, model: Model, genre: str, wanted: TrackFilter) -> ColumnElement[bool]:
    """Whether a track has the label, for a person or, if nobody said more, for the model, so certain."""
    label = find_label(session, model, genre)
    confirmed = exists().where(*_of_track(genre), Correction.verdict == Verdict.YES).correlate(Track)
    if label is None:
        return confirmed
    given = PredictionLabel
    predicted = exists().where(
        given.content_hash == Track.content_hash,
        given.model_id == model.id,
        given.label == label,
        *_score_between(wanted),
    )
    return or_(confirmed, predicted.correlate(Track) & _is_undecided(model, label))


def _score_between(wanted: TrackFilter) -> tuple[ColumnElement[bool], ...]:
    score = PredictionLabel.score
    least = score >= cast(wanted.min_score, REAL)
    return (least,) if wanted.max_score >= 1 else (least, score <= cast(wanted.max_score, REAL))


def find_label(session: Session, model: Model, name: str) -> str | None:
    """The model's spelling of a label, ignoring case, white space and Unicode form.

    None for a label that only a label set or some track, by correction, has. Raises Invalid for any other.
    """
    for label in model.labels:
        if name_key(label) == name_key(name):
            return label
    confirmed = Correction.verdict == Verdict.YES
    corrected = select(Correction.label).where(Correction.label_key == name_key(name), confirmed).limit(1)
    listed = session.scalars(select(LabelSet.labels))
    in_a_set = any(name_key(each["label"]) == name_key(name) for labels in listed for each in labels)
    if in_a_set or session.scalar(corrected) is not None:
        return None
    raise Invalid(f"The model {model.reference} has no label {name!r}.")


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


def _of_track(genre: str) -> tuple[ColumnElement[bool], ...]:
    return Correction.content_hash == Track.content_hash, Correction.label_key == name_key(genre)


def _confirmed(
    tracks: Select[*tuple[Any, ...]], genre: str, after: tuple[bytes, UUID] | None
) -> Select[*tuple[Any, ...]]:
    """Tracks that people gave the label, by their audio."""
    digest, label_key = _of_track(genre)
    query = (
        tracks.join(Correction, digest)
        .where(label_key, Correction.verdict == Verdict.YES)
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
    wanted: TrackFilter,
    below: tuple[float, UUID] | None,
) -> Select[*tuple[Any, ...]]:
    """Tracks that the model gave the label and of which nobody said more, the most certain first."""
    given = PredictionLabel
    query = (
        tracks.join(given, (given.content_hash == Track.content_hash) & (given.model_id == model.id))
        .where(given.label == label, *_score_between(wanted), _is_undecided(model, label))
        .order_by(given.score.desc(), Track.id)
        .add_columns(given.score)
    )
    if below is None:
        return query
    last = cast(below[0], REAL)
    # A bound on the score alone lets the index scan start where the page does.
    return query.where(given.score <= last, or_(given.score < last, Track.id > below[1]))


def _is_undecided(model: Model, label: str) -> ColumnElement[bool]:
    """Whether the model's label of a track stands, as in `core.store.predictions.true_labels`."""
    contradicts = (Correction.label_key == name_key(label)) & Correction.verdict.in_(DECIDED)
    if model.single_label:
        keys = [name_key(each) for each in model.labels]
        contradicts |= Correction.label_key.in_(keys) & (Correction.verdict == Verdict.YES)
    found = (
        select(true())
        .where(Correction.content_hash == Track.content_hash, contradicts)
        .limit(1)
        .correlate(Track)
    )
    # A scalar: the planner would make an anti-join of NOT EXISTS, whose size it guesses far too small.
    return ~func.coalesce(found.scalar_subquery(), false())


def _besides_genre(session: Session, model: Model, wanted: TrackFilter) -> list[ColumnElement[bool]]:
    """What holds of the tracks that are meant, besides their first genre."""
    where = (
        [Track.library_id == get_library_by_name(session, wanted.library).id]
        if wanted.library is not None
        else []
    )
    if wanted.path is not None:
        where.append(_at_path(session, wanted.path, [*where, _is_there(wanted)]))
    if wanted.q is not None:
        where.append(Track.path.icontains(wanted.q, autoescape=True))
    if wanted.unreadable_tags:
        where.append(Track.tags_error.is_not(None))
    if wanted.id_prefix is not None:
        where.append(id_starts_with(Track.id, wanted.id_prefix))
    if wanted.corrected:
        said = (Correction.content_hash == Track.content_hash, Correction.verdict.is_not(None))
        where.append(exists().where(*said).correlate(Track))
    where += [_has_label(session, model, genre, wanted) for genre in wanted.genres_too]
    where += [~_has_label(session, model, genre, EVERYTHING) for genre in wanted.not_genres]
    return [*where, _is_there(wanted)]


def _is_there(wanted: TrackFilter) -> ColumnElement[bool]:
    return Track.missing_at.is_not(None) if wanted.missing else Track.missing_at.is_(None)


def _at_path(session: Session, path: str, where: Sequence[ColumnElement[bool]]) -> ColumnElement[bool]:
    """Tracks at a path: exact matches if there are any, else those that differ only in Unicode form.

    The normal forms of the whole path are looked up in the index; a path whose parts have different forms
    needs a scan of all tracks.
    """
    exact = Track.path == path
    if path.isascii():
        return exact
    composed, decomposed = (unicodedata.normalize(form, path) for form in ("NFC", "NFD"))
    for spelled in (exact, Track.path.in_((composed, decomposed))):
        found = select(Track.id).join(Library).where(*where, spelled).limit(1)
        if session.scalar(found) is not None:
            return spelled
    return func.normalize(Track.path, text("NFC")) == composed
