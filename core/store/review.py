"""The review queue: which tracks to ask people about next, and leases so that nobody is asked twice.

Leases are on audio, so copies of a track are not asked about at the same time either. They end with the
reviewer's answer or by their time, so a reviewer that disappears holds nobody up for long.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Float,
    Select,
    Text,
    TextClause,
    case,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.config.dataset import reads_corrections
from core.errors import Invalid
from core.spelling import name_key
from core.states import Verdict
from core.store.clock import seconds
from core.store.experiments import find_training
from core.store.libraries import get_library_by_name
from core.store.tables import (
    Correction,
    CorrectionChange,
    CorrectionEntry,
    Library,
    Model,
    Prediction,
    PredictionLabel,
    Review,
    Track,
    TrainingTrack,
)
from core.store.tracks import TrackRow, track_row, tracks_with

REVIEW_LOCK = 7_264_004  # of an advisory lock
WINDOW = 20  # candidates per track that is asked for, to have several albums to choose from
# Of models with one label per track or several; of all labels or one of them.
MARGINS = {
    (False, False): "(SELECT min(abs(s - t)) FROM unnest(scores, CAST(:thresholds AS real[])) AS u(s, t))",
    (False, True): "abs(scores[:place] - :threshold)",
    (True, False): "(SELECT max(s) - (array_agg(s ORDER BY s DESC))[2] FROM unnest(scores) AS u(s))",
    (True, True): "abs(scores[:place] - (SELECT max(s) FROM unnest(scores) WITH ORDINALITY AS u(s, place) "
    "WHERE place <> :place))",
}


class Strategy(StrEnum):
    MARGIN = "margin"  #: where the model's decision is closest
    RANDOM = "random"
    SUSPECT = "suspect"  #: what people said and the model contradicts most
    DISAGREEMENT = "disagreement"  #: where two models give different labels


@dataclass(frozen=True)
class Question:
    row: TrackRow
    value: float  # margin, self-confidence, or number of labels; of `random` without meaning
    leased_until: datetime


@dataclass(frozen=True)
class Progress:
    """Pieces of audio that the model has labelled."""

    decided: int  # somebody said something of the label or, without one, of any label
    undecided: int
    leased: int  # somebody is being asked about them now


@dataclass(frozen=True)
class _Candidate:
    content_hash: bytes
    value: float
    track_id: UUID
    album: str | None  # with its folder; None if its tags name none


def take_questions(
    session: Session,
    model: Model,
    strategy: Strategy,
    n: int,
    *,
    reviewer: str,
    lease_s: float,
    label: str | None = None,
    library: str | None = None,
    other: Model | None = None,
) -> list[Question]:
    """Lease up to `n` tracks, those to ask about first come first; `label` is one of the model's.

    `margin` never gives two tracks of one album in a row, so it may give fewer than there are; the first may
    be of the album that the reviewer was asked about last if nothing else is near. `other` is needed for
    `disagreement`. Takers wait for each other until their transactions end. Raises Invalid.
    """
    session.execute(select(func.pg_advisory_xact_lock(REVIEW_LOCK)))
    ranked = _ranked(model, strategy, label, other)
    library_id = None if library is None else get_library_by_name(session, library).id
    window = n * WINDOW if strategy == Strategy.MARGIN else n
    found = [_Candidate(*row) for row in session.execute(_candidates(ranked, library_id, window))]
    found.sort(key=lambda each: -each.value if strategy == Strategy.DISAGREEMENT else each.value)
    chosen = spread(found, n, _last_albums(session, reviewer)) if strategy == Strategy.MARGIN else found
    at_random = strategy == Strategy.RANDOM and label is None
    until = _lease(session, [each.content_hash for each in chosen], reviewer, lease_s, at_random=at_random)
    tracks = session.execute(tracks_with(model).where(Track.id.in_([each.track_id for each in chosen])))
    rows = {track.id: track_row(track, *rest) for track, *rest in tracks}
    return [
        Question(rows[each.track_id], each.value, until[each.content_hash])
        for each in chosen
        if each.track_id in rows
    ]


def spread(candidates: Sequence[_Candidate], n: int, before: Set[str | None]) -> list[_Candidate]:
    """Up to `n` candidates in their order, put off where two of one album would follow each other.

    The first is of none of the albums `before`, unless all are.
    """
    chosen: list[_Candidate] = []
    waiting = list(candidates)
    while waiting and len(chosen) < n:
        last = {chosen[-1].album} if chosen else before
        fitting = (
            place for place, each in enumerate(waiting) if each.album is None or each.album not in last
        )
        place = next(fitting, None if chosen else 0)
        if place is None:
            break
        chosen.append(waiting.pop(place))
    return chosen


def _last_albums(session: Session, reviewer: str) -> set[str | None]:
    """The albums that this reviewer was asked about last.

    Of what was asked last, the lease is the newest of those that run or, if it was answered, the newest of
    those that have ended.
    """
    now = func.clock_timestamp()
    newest = [
        Track.content_hash.in_(
            select(Review.content_hash)
            .where(Review.reviewer == reviewer, kind)
            .order_by(Review.leased_until.desc())
            .limit(1)
        )
        for kind in (Review.leased_until > now, Review.leased_until <= now)
    ]
    return set(session.scalars(select(_album()).where(or_(*newest))))


def _album() -> ColumnElement[Any]:
    """The album of a track, with its folder; NULL if its tags name none."""
    folder = func.regexp_replace(Track.path, "[^/]*$", "", type_=Text)
    return folder.concat(func.nullif(Track.tags["album"].astext, ""))


def count_progress(session: Session, model: Model, label: str | None, library: str | None) -> Progress:
    library_id = None if library is None else get_library_by_name(session, library).id
    of_label = [] if label is None else [Correction.label_key == name_key(label)]
    decided = select(Correction.content_hash).where(Correction.verdict.is_not(None), *of_label).distinct()
    leased = select(Review.content_hash).where(Review.leased_until > func.clock_timestamp())
    # Joined: EXISTS in a FILTER would be looked up row by row.
    known, asked = decided.subquery(), leased.subquery()
    counts = (
        select(func.count(), func.count(known.c.content_hash), func.count(asked.c.content_hash))
        .select_from(Prediction)
        .outerjoin(known, known.c.content_hash == Prediction.content_hash)
        .outerjoin(asked, asked.c.content_hash == Prediction.content_hash)
        .where(Prediction.model_id == model.id, _is_present(Prediction.content_hash, library_id))
    )
    total, of_decided, of_leased = session.execute(counts).one()
    return Progress(of_decided, total - of_decided, of_leased)


def count_decided(session: Session) -> int:
    """Pieces of audio of which somebody has said something that stands, of any library."""
    decided = select(Correction.content_hash).where(Correction.verdict.is_not(None)).distinct()
    return session.scalar(select(func.count()).select_from(decided.subquery())) or 0


def find_leased(session: Session, track_ids: Sequence[UUID], reviewer: str, left_s: float) -> set[UUID]:
    """Those of these tracks that this reviewer holds a lease on for at least `left_s` more seconds."""
    mine = (Review.reviewer == reviewer, Review.leased_until > func.clock_timestamp() + seconds(left_s))
    query = select(Track.id).join(Review, Review.content_hash == Track.content_hash)
    return set(session.scalars(query.where(Track.id.in_(track_ids), Track.missing_at.is_(None), *mine)))


def release(session: Session, track_ids: Sequence[UUID], reviewer: str) -> None:
    """End the leases of this reviewer on the audio of these tracks.

    Locked in the order of the audio, as all writers of leases do, so that no two wait for each other.
    """
    audio = select(Track.content_hash).where(Track.id.in_(track_ids))
    now = func.clock_timestamp()
    mine = (Review.content_hash.in_(audio), Review.reviewer == reviewer, Review.leased_until > now)
    ordered = select(Review.content_hash).where(*mine).order_by(Review.content_hash)
    locked = ordered.with_for_update().cte("released")
    session.execute(
        update(Review).where(Review.content_hash.in_(select(locked.c.content_hash))).values(leased_until=now),
        execution_options={"synchronize_session": False},
    )


def lease_again(session: Session, track_id: UUID, reviewer: str, lease_s: float) -> bool:
    """Lease a track to a reviewer who goes back to it; False if somebody else is being asked about it.

    Takers wait until the transaction ends.
    """
    session.execute(select(func.pg_advisory_xact_lock(REVIEW_LOCK)))
    until = func.clock_timestamp() + seconds(lease_s)
    audio = select(Track.content_hash, literal(reviewer), until)
    audio = audio.where(Track.id == track_id, Track.content_hash.is_not(None))
    statement = insert(Review).from_select(["content_hash", "reviewer", "leased_until"], audio)
    leased = statement.on_conflict_do_update(
        index_elements=[Review.content_hash],
        set_={name: statement.excluded[name] for name in ("reviewer", "leased_until")},
        where=(Review.reviewer == reviewer) | (Review.leased_until <= func.clock_timestamp()),
    ).returning(Review.content_hash)
    return session.scalar(leased) is not None


def move_review(session: Session, old: bytes, new: bytes) -> None:
    """Move who is asked about some audio, and what came of it, to another key, before its corrections.

    Of two leases the later stays, of two confirmations the earlier, so that nothing counts as confirmed which
    was not. It remains a sample unless something had been said under the other key before.
    """
    both = select(Review.content_hash).where(Review.content_hash.in_((old, new)))
    session.execute(both.order_by(Review.content_hash).with_for_update())
    unsynchronized = {"synchronize_session": False}
    for key, other in ((old, new), (new, old)):
        said_before = exists().where(
            CorrectionEntry.content_hash == other,
            CorrectionChange.id == CorrectionEntry.change_id,
            CorrectionChange.created_at < Review.sampled_at,
        )
        session.execute(
            update(Review).where(Review.content_hash == key, said_before).values(sampled_at=None),
            execution_options=unsynchronized,
        )
    lease = ("reviewer", "leased_until", "at_random")
    rest = ("sampled_at", "confirmed_at")
    columns = [getattr(Review, name) for name in (*lease, *rest)]
    gone = delete(Review).where(Review.content_hash == old).returning(*columns).cte("gone")
    statement = insert(Review).from_select(["content_hash", *lease, *rest], select(literal(new), gone))
    moved = statement.excluded
    is_later = moved.leased_until > Review.leased_until
    are_confirmed = func.num_nulls(moved.confirmed_at, Review.confirmed_at) == 0
    values = {name: case((is_later, moved[name]), else_=getattr(Review, name)) for name in lease} | {
        "sampled_at": func.least(moved.sampled_at, Review.sampled_at),  # NULL is passed over
        "confirmed_at": case((are_confirmed, func.least(moved.confirmed_at, Review.confirmed_at))),
    }
    session.execute(statement.on_conflict_do_update(index_elements=[Review.content_hash], set_=values))


def may_hide_errors(session: Session, model: Model) -> bool:
    """Whether the model was trained on corrected audio of which it has only its own scores."""
    of_model = select(TrainingTrack.model_id).where(TrainingTrack.model_id == model.id)
    if session.scalar(of_model.limit(1)) is None:
        run = find_training(session, model)
        return run is not None and reads_corrections(run.config)
    corrected = exists().where(
        Correction.content_hash == TrainingTrack.content_hash, Correction.verdict.is_not(None)
    )
    return session.scalar(of_model.where(TrainingTrack.scores.is_(None), corrected).limit(1)) is not None


def _ranked(
    model: Model, strategy: Strategy, label: str | None, other: Model | None
) -> Select[*tuple[Any, ...]]:
    """A query for audio that may be asked about, and the value by which it is ordered."""
    if strategy == Strategy.SUSPECT:
        return _suspects(model, label)
    if strategy == Strategy.DISAGREEMENT:
        if other is None:
            raise Invalid("Name the `other` model to compare with.")
        return _disagreements(model, other, label)
    value = func.random() if strategy == Strategy.RANDOM else _margin(model, label)
    undecided = ~_is_decided(Prediction.content_hash, label)
    query = select(Prediction.content_hash, cast(value, Float).label("value"))
    return query.where(Prediction.model_id == model.id, undecided).order_by(text("value"))


def _margin(model: Model, label: str | None) -> TextClause:
    """How close a decision is: distances of scores, 0 to 1."""
    margin = text(MARGINS[model.single_label, label is not None])
    if label is None:
        return margin if model.single_label else margin.bindparams(thresholds=model.thresholds)
    place = model.labels.index(label)
    if model.single_label:
        return margin.bindparams(place=place + 1)
    return margin.bindparams(place=place + 1, threshold=model.thresholds[place])


def _suspects(model: Model, label: str | None) -> Select[*tuple[Any, ...]]:
    """Corrected audio by the model's least confidence in what people said, unless it has been confirmed.

    Where the model was trained on the audio, by out-of-fold scores, if stored; nothing is suspected of labels
    that the models of the folds had not learnt.
    """
    keys = [name_key(each) for each in model.labels]
    scores = func.coalesce(TrainingTrack.scores, Prediction.scores, type_=ARRAY(Float))
    score = scores[func.array_position(cast(keys, ARRAY(Text)), Correction.label_key)]
    confidence = case((Correction.verdict == Verdict.YES, score), else_=1 - score)
    confirmed = exists().where(
        Review.content_hash == Correction.content_hash, Review.confirmed_at > CorrectionChange.created_at
    )
    return (
        select(Prediction.content_hash, cast(func.min(confidence), Float).label("value"))
        .join(Correction, Correction.content_hash == Prediction.content_hash)
        .outerjoin(
            TrainingTrack,
            (TrainingTrack.content_hash == Prediction.content_hash) & (TrainingTrack.model_id == model.id),
        )
        .join(CorrectionChange, CorrectionChange.id == Correction.change_id)
        .where(
            Prediction.model_id == model.id,
            Correction.verdict.in_((Verdict.YES, Verdict.NO)),
            Correction.label_key.in_(keys if label is None else [name_key(label)]),
            ~confirmed,
        )
        .group_by(Prediction.content_hash)
        .having(func.min(confidence).is_not(None))
        .order_by(text("value"))
    )


def _disagreements(model: Model, other: Model, label: str | None) -> Select[*tuple[Any, ...]]:
    """Undecided audio by the number of labels, among those of both models, that only one model gives it."""
    shared = sorted({*model.labels} & {*other.labels} & ({*model.labels} if label is None else {label}))
    if not shared:
        raise Invalid(f"{model.reference} and {other.reference} share no such label.")

    given = PredictionLabel
    by_one = (
        select(given.content_hash)
        .where(given.model_id.in_((model.id, other.id)), given.label.in_(shared))
        .group_by(given.content_hash, given.label)
        .having(func.count() == 1)
        .subquery()
    )
    counted = (
        select(by_one.c.content_hash, cast(func.count(), Float).label("value"))
        .group_by(by_one.c.content_hash)
        .subquery()
    )
    by_both = [
        exists().where(Prediction.content_hash == counted.c.content_hash, Prediction.model_id == each.id)
        for each in (model, other)
    ]
    undecided = ~_is_decided(counted.c.content_hash, label)
    return select(counted).where(*by_both, undecided).order_by(counted.c.value.desc())


def _candidates(
    ranked: Select[*tuple[Any, ...]], library_id: UUID | None, limit: int
) -> Select[*tuple[Any, ...]]:
    """The first that are there and that nobody is being asked about, each with one of its tracks."""
    digest = ranked.selected_columns["content_hash"]
    first = ranked.where(_is_present(digest, library_id), ~_is_leased(digest)).limit(limit).subquery()
    track = (
        select(Track.id, _album().label("album"))
        .join(Library, Library.id == Track.library_id)
        .where(Track.content_hash == first.c.content_hash, *_there(library_id))
        .order_by(Track.path, Track.id)
        .limit(1)
        .lateral("track")
    )
    return select(first.c.content_hash, first.c.value, track.c.id, track.c.album).join(track, true())


def _is_present(content_hash: Any, library_id: UUID | None) -> ColumnElement[bool]:
    """Whether some track that is not missing holds the audio."""
    of_library = Library.id == Track.library_id
    return exists().where(of_library, Track.content_hash == content_hash, *_there(library_id))


def _there(library_id: UUID | None) -> list[ColumnElement[bool]]:
    of_library = [] if library_id is None else [Track.library_id == library_id]
    return [Track.missing_at.is_(None), *of_library]


def _is_decided(content_hash: Any, label: str | None) -> ColumnElement[bool]:
    """Whether somebody said something of the label, or of any."""
    of_label = [] if label is None else [Correction.label_key == name_key(label)]
    said = (Correction.content_hash == content_hash, Correction.verdict.is_not(None))
    return exists().where(*said, *of_label)


def _is_leased(content_hash: Any) -> ColumnElement[bool]:
    return exists().where(Review.content_hash == content_hash, Review.leased_until > func.clock_timestamp())


def _lease(
    session: Session, content_hashes: Sequence[bytes], reviewer: str, lease_s: float, *, at_random: bool
) -> dict[bytes, datetime]:
    """Until when each piece of audio is leased from now on."""
    if not content_hashes:
        return {}
    until = func.statement_timestamp() + seconds(lease_s)
    # A microsecond apart, which keeps the order in which they are asked about.
    ends = {digest: until + timedelta(microseconds=place) for place, digest in enumerate(content_hashes)}
    rows = [
        {"content_hash": digest, "reviewer": reviewer, "leased_until": ends[digest], "at_random": at_random}
        for digest in sorted(ends)
    ]
    statement = insert(Review).values(rows)
    leased = statement.on_conflict_do_update(
        index_elements=[Review.content_hash],
        set_={name: statement.excluded[name] for name in ("reviewer", "leased_until", "at_random")},
    ).returning(Review.content_hash, Review.leased_until)
    return {digest: end for digest, end in session.execute(leased)}
