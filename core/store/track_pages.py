"""Which tracks are meant by a query, and pages of them.

Those of a genre come in parts: those that people gave the label, then the most certain of the model, in the
end those whose score is below the label's threshold, if they are asked for.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    REAL,
    ColumnElement,
    Select,
    SQLColumnExpression,
    cast,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.errors import Invalid, InvalidCursor
from core.spelling import name_key
from core.states import TrackOrder, Verdict
from core.store.cursor import Page, cut_page, decode_cursor
from core.store.ids import id_starts_with
from core.store.libraries import get_library_by_name
from core.store.tables import Correction, LabelSet, Library, Model, Prediction, PredictionLabel, Track
from core.store.tracks import TrackRow, track_row, tracks_with

DECIDED = (Verdict.YES, Verdict.NO)


@dataclass(frozen=True)
class TrackFilter:
    """Which tracks are meant: all that is given must hold."""

    genre: str | None = None  # a label
    min_score: float | None = None  # of each genre, unless a person gave it; None: what its threshold is
    library: str | None = None
    path: str | None = None
    q: str | None = None  # part of the path, ignoring case
    unreadable_tags: bool = False
    max_score: float = 1.0  # of each genre, unless a person gave it
    genres_too: tuple[str, ...] = ()  # further labels that they have
    not_genres: tuple[str, ...] = ()  # labels that they have not
    id_prefix: str | None = None
    words: tuple[str, ...] = ()  # beginnings of words of the path and the tags, all of which they have
    suffix: str | None = None  # in lower case, with its dot
    year: str | None = None  # four digits
    corrected: bool | None = None  # whether somebody said something of their labels
    unsure: bool = False  # of which people could not tell some label
    missing: bool = False  # those whose file is gone, instead of those that are there

    @property
    def genres(self) -> list[str]:
        return [] if self.genre is None else [self.genre, *self.genres_too]


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
    """Each part goes on where the page starts: the first by audio, the others by score.

    Only scores below the threshold are in no index: those of all audio are looked through.
    """
    label = find_label(session, model, genre)
    after, below = _positions(cursor)
    rows: list[tuple[TrackRow, tuple[Any, ...]]] = []
    if below is None:
        for *row, digest in session.execute(_confirmed(tracks, genre, after).limit(limit + 1)):
            found = track_row(*row)
            rows.append((found, (str(Verdict.YES), digest.hex(), found.track.id)))
    for query in [] if label is None else _predicted(tracks, model, label, wanted, below):
        if len(rows) > limit:
            break
        for *row, score in session.execute(query.limit(limit + 1 - len(rows))):
            found = track_row(*row)
            rows.append((found, (score, found.track.id)))
    page = cut_page(rows, limit, lambda row: row[1])
    return Page([row for row, _ in page.items], page.next_cursor)


def _has_label(session: Session, model: Model, genre: str, wanted: TrackFilter) -> ColumnElement[bool]:
    """Whether a track has the label for a person or, if nobody said more, such a score by the model."""
    label = find_label(session, model, genre)
    confirmed = exists().where(*_of_track(genre), Correction.verdict == Verdict.YES).correlate(Track)
    if label is None:
        return confirmed
    if _reaches_below(model, label, wanted):
        of_track = (Prediction.content_hash == Track.content_hash, Prediction.model_id == model.id)
        predicted = exists().where(*of_track, *_between(_stored_score(model, label), wanted))
    else:
        given = PredictionLabel
        predicted = exists().where(
            given.content_hash == Track.content_hash,
            given.model_id == model.id,
            given.label == label,
            *_between(given.score, wanted),
        )
    return or_(confirmed, predicted.correlate(Track) & _is_undecided(model, label))


def _between(score: SQLColumnExpression[Any], wanted: TrackFilter) -> list[ColumnElement[bool]]:
    least = score >= cast(wanted.min_score or 0.0, REAL)
    return [least] if wanted.max_score >= 1 else [least, score <= cast(wanted.max_score, REAL)]


def _reaches_below(model: Model, label: str, wanted: TrackFilter) -> bool:
    """Whether scores are asked for with which the model does not give the label: rows of labels lack them.

    Exclusive labels have no thresholds: a track has only the one with the highest score.
    """
    if wanted.min_score is None or model.single_label:
        return False
    return wanted.min_score < _threshold(model, label)


def _threshold(model: Model, label: str) -> float:
    return model.thresholds[model.labels.index(label)]


def _stored_score(model: Model, label: str) -> ColumnElement[float]:
    return Prediction.scores[model.labels.index(label) + 1]


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
) -> list[Select[*tuple[Any, ...]]]:
    """Tracks by the model's scores of which nobody said more, the highest first, query after query."""
    given = _given(tracks, model, label, wanted, below)
    if not _reaches_below(model, label, wanted):
        return [given]
    return [given, _scored_below(tracks, model, label, wanted, below)]


def _given(
    tracks: Select[*tuple[Any, ...]],
    model: Model,
    label: str,
    wanted: TrackFilter,
    below: tuple[float, UUID] | None,
) -> Select[*tuple[Any, ...]]:
    """Tracks that the model gave the label, out of the index."""
    given = PredictionLabel
    query = (
        tracks.join(given, (given.content_hash == Track.content_hash) & (given.model_id == model.id))
        .where(given.label == label, *_between(given.score, wanted), _is_undecided(model, label))
        .order_by(given.score.desc(), Track.id)
        .add_columns(given.score)
    )
    return query.where(*_after(given.score, below))


def _scored_below(
    tracks: Select[*tuple[Any, ...]],
    model: Model,
    label: str,
    wanted: TrackFilter,
    below: tuple[float, UUID] | None,
) -> Select[*tuple[Any, ...]]:
    """Tracks whose score is below the threshold.

    The scores are sorted before the tracks are looked up, so that a page looks up few.
    """
    score = _stored_score(model, label)
    rows = select(Prediction.content_hash, score.label("score")).where(
        Prediction.model_id == model.id,
        *_between(score, wanted),
        score < cast(_threshold(model, label), REAL),
    )
    if below is not None:
        rows = rows.where(score <= cast(below[0], REAL))
    scored = rows.order_by(score.desc()).subquery()
    query = (
        tracks.join(scored, scored.c.content_hash == Track.content_hash)
        .where(_is_undecided(model, label))
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
    where += [_has_label(session, model, genre, wanted) for genre in wanted.genres_too]
    where += [~_has_label(session, model, genre, EVERYTHING) for genre in wanted.not_genres]
    where += _of_file(wanted) + _by_verdicts(wanted)
    return [*where, _is_there(wanted)]


def _is_there(wanted: TrackFilter) -> ColumnElement[bool]:
    return Track.missing_at.is_not(None) if wanted.missing else Track.missing_at.is_(None)


def _of_file(wanted: TrackFilter) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if wanted.words:
        beginnings = " & ".join(f"'{word}':*" for word in wanted.words)
        query = func.to_tsquery(literal_column("'simple'"), beginnings)
        where.append(func.track_words(Track.path, Track.tags).bool_op("@@")(query))
    if wanted.suffix is not None:
        where.append(suffix_of_path(Track.path) == wanted.suffix)
    if wanted.year is not None:
        where.append(year_of_tags(Track.tags) == wanted.year)
    return where


def _by_verdicts(wanted: TrackFilter) -> list[ColumnElement[bool]]:
    of_audio = Correction.content_hash == Track.content_hash
    where: list[ColumnElement[bool]] = []
    if wanted.corrected is not None:
        said = exists().where(of_audio, Correction.verdict.is_not(None)).correlate(Track)
        where.append(said if wanted.corrected else ~said)
    if wanted.unsure:
        where.append(exists().where(of_audio, Correction.verdict == Verdict.UNSURE).correlate(Track))
    return where


def suffix_of_path(path: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[str]:
    """In lower case, with its dot; NULL if it has none. As in the index `ix_tracks_suffix`."""
    return func.substring(func.lower(path), literal_column(r"'\.[a-z0-9_~+-]{1,10}$'"))


def year_of_tags(tags: InstrumentedAttribute[dict[str, Any] | None]) -> ColumnElement[str]:
    """The four digits that the date begins with, else NULL. As in the index `ix_tracks_year`."""
    return func.substring(tags.op("->>")(literal_column("'date'")), literal_column("'^[0-9]{4}'"))


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
