"""Nearest tracks by the cosine similarity of their embeddings."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from itertools import combinations
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Select,
    func,
    literal,
    not_,
    select,
    true,
)
from sqlalchemy.orm import Session, aliased

from core.store.embeddings import get_vector
from core.store.libraries import get_library_by_name
from core.store.near_audio import Limits, measured_limits, near_pairs, of_encoder, similarities, vector_of
from core.store.tables import Embedding, Library, Model, Track

_MAX_FETCHED = 600  # content hashes, to find enough distinct recordings

# Candidates that the index keeps: of 100,000 vectors it then finds all of the nearest ten, and with 40, its
# default, 99.5 %. Without the iterative scan it would stop there, and filters leave too few.
_EF_SEARCH = 100
_ITERATIVE_SCAN = select(
    func.set_config("hnsw.ef_search", str(_EF_SEARCH), True),
    func.set_config("hnsw.iterative_scan", "strict_order", True),
)


@dataclass(frozen=True)
class SimilarTrack:
    track_id: UUID
    library: str
    path: str
    similarity: float  # cosine, 1 = same direction


@dataclass(frozen=True)
class _NearAudio:
    """Near audio, with one of its tracks."""

    content_hash: bytes
    coverage: str
    duration_s: float
    track: SimilarTrack


def nearest_tracks(
    session: Session, track_id: UUID, model: Model, limit: int, library: str | None = None
) -> list[SimilarTrack]:
    """The tracks most similar to one, in descending order, without the track itself."""
    distance = vector_of(Embedding, model).cosine_distance(get_vector(session, track_id, model))
    query = (
        select(Track.id, Library.name, Track.path, 1 - distance)
        .join(Embedding, Embedding.content_hash == Track.content_hash)
        .join(Library, Library.id == Track.library_id)
        .where(of_encoder(model), Track.missing_at.is_(None), Track.id != track_id)
        .order_by(distance)
        .limit(limit)
    )
    if library is not None:
        query = query.where(Track.library_id == get_library_by_name(session, library).id)
    session.execute(_ITERATIVE_SCAN)
    return [SimilarTrack(*row) for row in session.execute(query)]


def nearest_of_each(
    session: Session, track_ids: Sequence[UUID], model: Model, library_id: UUID, limit: int
) -> dict[UUID, list[SimilarTrack]]:
    """The tracks of a library most similar to each of these, without duplicates of it and among them.

    Equal audio is excluded for every model, near audio if its limits are measured. Tracks without an
    embedding of the model's encoder, or without neighbours, are omitted. A list is shorter than `limit` if
    hundreds of the nearest tracks are duplicates.
    """
    limits = measured_limits(session, model)
    found: dict[UUID, list[SimilarTrack]] = {}
    wanted, fetched = list(track_ids), _first_fetched(limit, limits)
    while wanted:
        lists = _nearest_audio_of_each(session, wanted, model, library_id, fetched, limits)
        near = set() if limits is None else _near_within(session, lists.values(), model, limits)
        recordings = {
            track_id: _without_duplicates(near_audio, near) for track_id, near_audio in lists.items()
        }
        wanted = [
            track_id
            for track_id, kept in recordings.items()
            if len(kept) < limit and len(lists[track_id]) == fetched < _MAX_FETCHED
        ]
        found |= {track_id: kept[:limit] for track_id, kept in recordings.items()}
        fetched = min(4 * fetched, _MAX_FETCHED)
    return found


def _first_fetched(limit: int, limits: Limits | None) -> int:
    """How many pieces of audio are fetched at first, of which near ones are left out."""
    return limit if limits is None else 2 * limit + 10


def _nearest_audio_of_each(
    session: Session,
    track_ids: Sequence[UUID],
    model: Model,
    library_id: UUID,
    limit: int,
    limits: Limits | None,
) -> dict[UUID, list[_NearAudio]]:
    """The nearest audio of each track by a single statement, without what is near to the track itself."""
    own, mine = aliased(Track), aliased(Embedding)
    wanted = vector_of(mine, model)
    nearest = _nearest_audio(model, wanted, mine.content_hash, library_id, limit)
    if limits is not None:
        is_near = (
            (Embedding.coverage == mine.coverage)
            & (func.abs(Embedding.duration_s - mine.duration_s) <= limits.duration_s)
            & (vector_of(Embedding, model).cosine_distance(wanted) < limits.distance)
        )
        nearest = nearest.where(not_(is_near))
    near = nearest.lateral()
    query = (
        select(own.id, near)
        .join(mine, (mine.content_hash == own.content_hash) & (mine.encoder_id == model.encoder_id))
        .join(near, true())
        .where(own.id.in_(track_ids))
        .order_by(own.id, near.c.similarity.desc())
    )
    session.execute(_ITERATIVE_SCAN)
    found: dict[UUID, list[_NearAudio]] = {}
    for track_id, *row in session.execute(query):
        found.setdefault(track_id, []).append(_near_audio(*row))
    return found


def _near_within(
    session: Session, lists: Iterable[Sequence[_NearAudio]], model: Model, limits: Limits
) -> set[frozenset[bytes]]:
    """The pairs of near audio within each of the lists."""
    alike = {
        frozenset((one.content_hash, other.content_hash))
        for near_audio in lists
        for one, other in combinations(near_audio, 2)
        if one.coverage == other.coverage and abs(one.duration_s - other.duration_s) <= limits.duration_s
    }
    measured = similarities(session, [(min(pair), max(pair)) for pair in alike], model)
    return {frozenset(pair) for pair, cosine in measured.items() if 1 - cosine < limits.distance}


def nearest_recordings(
    session: Session, track_id: UUID, model: Model, limit: int, library: str | None = None
) -> list[SimilarTrack]:
    """Like `nearest_tracks`, without duplicates of the track and among the results.

    Equal audio is excluded for every model, near audio if its limits are measured. There are fewer than
    `limit` results if hundreds of the nearest tracks are duplicates.
    """
    wanted = get_vector(session, track_id, model)
    own = session.scalars(select(Track.content_hash).where(Track.id == track_id)).one() or b""
    library_id = None if library is None else get_library_by_name(session, library).id
    limits = measured_limits(session, model)
    fetched = _first_fetched(limit, limits)
    while True:
        session.execute(_ITERATIVE_SCAN)
        rows = session.execute(_nearest_audio(model, wanted, own, library_id, fetched))
        found = [_near_audio(*row) for row in rows]
        hashes = [own, *(each.content_hash for each in found)]
        near = set() if limits is None else near_pairs(session, hashes, model, limits)
        recordings = _without_duplicates(found, near, own)
        if len(recordings) >= limit or len(found) < fetched or fetched == _MAX_FETCHED:
            return recordings[:limit]
        fetched = min(4 * fetched, _MAX_FETCHED)


def _without_duplicates(
    found: Sequence[_NearAudio], pairs: Set[frozenset[bytes]], own: bytes = b""
) -> list[SimilarTrack]:
    """The results that are near neither to an earlier result nor to the audio `own`."""
    kept = [own]
    recordings: list[SimilarTrack] = []
    for each in found:
        if not any(frozenset((each.content_hash, before)) in pairs for before in kept):
            kept.append(each.content_hash)
            recordings.append(each.track)
    return recordings


def _nearest_audio(
    model: Model, wanted: Any, own: Any, library_id: UUID | None, limit: int
) -> Select[*tuple[Any, ...]]:
    """Query for the other content hashes nearest to the vector `wanted` (D,), each with one of its tracks.

    `wanted` and the content hash `own` may be values or, in a lateral join, columns.
    """
    of_library = [] if library_id is None else [Track.library_id == library_id]
    track = (
        select(Track.id, Track.library_id, Track.path)
        .where(Track.content_hash == Embedding.content_hash, Track.missing_at.is_(None), *of_library)
        .order_by(Track.path, Track.id)
        .limit(1)
        .lateral("track")
    )
    distance = vector_of(Embedding, model).cosine_distance(wanted)
    return (
        select(
            Embedding.content_hash,
            Embedding.coverage,
            Embedding.duration_s,
            track.c.id,
            Library.name,
            track.c.path,
            (1 - distance).label("similarity"),
        )
        .select_from(Embedding)
        .join(track, literal(True))
        .join(Library, Library.id == track.c.library_id)
        .where(of_encoder(model), Embedding.content_hash != own)
        .order_by(distance)
        .limit(limit)
    )


def _near_audio(content_hash: bytes, coverage: str, duration_s: float, *track: Any) -> _NearAudio:
    return _NearAudio(content_hash, coverage, duration_s, SimilarTrack(*track))
