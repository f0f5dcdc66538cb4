"""Duplicate tracks: equal audio, and different encodings of one recording.

They are only reported. A page compares a bounded number of tracks, so it may have few groups.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from core.errors import DuplicatesNotMeasured
from core.store.cursor import Page, decode_cursor, encode_cursor
from core.store.libraries import get_library_by_name
from core.store.near_audio import Limits, measured_limits, near_neighbours, similarities
from core.store.tables import Library, Model, Prediction, Track

TRACKS_PER_PAGE = 20_000  # compared tracks
AUDIO_PER_PAGE = 300  # content hashes whose neighbours are queried
LISTED_TRACKS = 100  # per group
_STEPS = 8  # maximum distance within a group, in neighbours

DuplicateKind = Literal["exact", "similar"]
Edges = Mapping[bytes, set[bytes]]  # content hash -> hashes of near audio


@dataclass(frozen=True)
class DuplicateTrack:
    track_id: UUID
    library: str
    path: str
    size: int  # bytes
    duration_s: float | None
    kind: DuplicateKind  # relative to the first track of its group, which is exact
    similarity: float | None  # cosine to the first track; None if its embedding was just deleted


@dataclass(frozen=True)
class DuplicateGroup:
    kind: DuplicateKind
    count: int  # of all its tracks, of which at most LISTED_TRACKS are listed
    tracks: Sequence[DuplicateTrack]  # the largest file first


@dataclass(frozen=True)
class Duplicates:
    page: Page[DuplicateGroup]
    compared: int  # number of compared tracks


@dataclass(frozen=True)
class _Member:
    track_id: UUID
    library: str
    path: str
    size: int
    content_hash: bytes
    duration_s: float | None
    copies: int  # number of tracks with this audio


def list_duplicates(
    session: Session,
    kind: DuplicateKind,
    model: Model,
    *,
    library: str | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Duplicates:
    """Groups of present tracks, in the order of their hashes.

    A group of kind `similar` has at least two different audio hashes with near embeddings of `model`. Raises
    DuplicatesNotMeasured.
    """
    there: list[ColumnElement[bool]] = [Track.missing_at.is_(None)]
    if library is not None:
        there.append(Track.library_id == get_library_by_name(session, library).id)
    after = decode_cursor(cursor, bytes.fromhex)[0] if cursor is not None else b""
    last = session.scalar(
        select(Track.content_hash)
        .where(Track.content_hash > after)
        .order_by(Track.content_hash)
        .offset(TRACKS_PER_PAGE - 1)
        .limit(1)
    )
    if kind == "exact":
        found, last = _exact(session, there, after, last, limit)
    else:
        limits = measured_limits(session, model)
        if limits is None:
            raise DuplicatesNotMeasured(
                f"The similarity limits of {model.reference} have not been measured; use a model "
                "with the embeddings of musicnn-msd, or kind=exact."
            )
        found, last = _similar(session, there, after, last, limit, model, limits)
    looked_at = select(func.count()).select_from(Track).where(*there, *_between(after, last))
    return Duplicates(
        Page(_described(session, kind, found, there, model), encode_cursor(last.hex()) if last else None),
        session.scalars(looked_at).one(),
    )


def _between(after: bytes, last: bytes | None) -> list[ColumnElement[bool]]:
    upper = [Track.content_hash <= last] if last is not None else []
    return [Track.content_hash > after, *upper]


def _exact(
    session: Session, there: list[ColumnElement[bool]], after: bytes, last: bytes | None, limit: int
) -> tuple[list[list[bytes]], bytes | None]:
    """Audio shared by several tracks, and the last compared hash; None at the end."""
    copied = (
        select(Track.content_hash)
        .where(*there, *_between(after, last))
        .group_by(Track.content_hash)
        .having(func.count() > 1)
        .order_by(Track.content_hash)
        .limit(limit + 1)
    )
    found = [[digest] for digest in session.scalars(copied) if digest is not None]
    if len(found) > limit:
        return found[:limit], found[limit - 1][0]
    return found, last


def _similar(
    session: Session,
    there: list[ColumnElement[bool]],
    after: bytes,
    last: bytes | None,
    limit: int,
    model: Model,
    limits: Limits,
) -> tuple[list[list[bytes]], bytes | None]:
    """Groups of near audio, each at its lowest hash, and the last compared hash; None at the end."""
    distinct = (
        select(Track.content_hash)
        .where(*there, *_between(after, last))
        .distinct()
        .order_by(Track.content_hash)
        .limit(AUDIO_PER_PAGE + 1)
    )
    seeds = [digest for digest in session.scalars(distinct) if digest is not None]
    if len(seeds) > AUDIO_PER_PAGE:
        seeds = seeds[:AUDIO_PER_PAGE]
        last = seeds[-1]
    edges = _edges(session, seeds, there, model, limits)
    found: list[list[bytes]] = []
    for seed in seeds:
        reached = _reached(seed, edges)
        earlier = (digest for digest in reached if digest < seed)
        if len(reached) > 1 and not any(seed in _reached(digest, edges) for digest in earlier):
            if len(found) == limit:
                return found, found[-1][0]
            found.append([seed, *sorted(reached - {seed})])
    return found, last


def _edges(
    session: Session,
    seeds: Sequence[bytes],
    there: list[ColumnElement[bool]],
    model: Model,
    limits: Limits,
) -> Edges:
    """The graph of near audio around the seeds, up to `_STEPS` neighbours away."""
    edges: dict[bytes, set[bytes]] = defaultdict(set)
    asked: set[bytes] = set()
    waiting = set(seeds)
    for _ in range(_STEPS):
        if not waiting:
            break
        asked |= waiting
        for one, other in near_neighbours(session, sorted(waiting), model, limits, there):
            edges[one].add(other)
        waiting = set().union(*edges.values()) - asked
    return edges


def _reached(digest: bytes, edges: Edges) -> set[bytes]:
    reached, waiting = {digest}, [digest]
    while waiting:
        new = edges.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    return reached


def _described(
    session: Session,
    kind: DuplicateKind,
    found: Sequence[Sequence[bytes]],
    there: list[ColumnElement[bool]],
    model: Model,
) -> list[DuplicateGroup]:
    members: dict[bytes, list[_Member]] = defaultdict(list)
    for member in _members(session, [digest for group in found for digest in group], there):
        members[member.content_hash].append(member)
    groups = [
        sorted(
            (member for digest in group for member in members[digest]),
            key=lambda member: (-member.size, member.library, member.path),
        )
        for group in found
    ]
    groups = [group for group in groups if len(group) > 1]  # tracks may have been deleted since
    pairs = {(group[0].content_hash, member.content_hash) for group in groups for member in group}
    cosines = similarities(session, sorted(pairs), model) if kind == "similar" else {}
    return [_group(kind, group, cosines) for group in groups]


def _group(
    kind: DuplicateKind, members: Sequence[_Member], cosines: Mapping[tuple[bytes, bytes], float]
) -> DuplicateGroup:
    first = members[0].content_hash
    tracks = [
        DuplicateTrack(
            member.track_id,
            member.library,
            member.path,
            member.size,
            member.duration_s,
            "exact" if member.content_hash == first else "similar",
            1.0 if member.content_hash == first else cosines.get((first, member.content_hash)),
        )
        for member in members[:LISTED_TRACKS]
    ]
    copies = {member.content_hash: member.copies for member in members}
    return DuplicateGroup(kind, sum(copies.values()), tracks)


def _members(session: Session, digests: Sequence[bytes], there: list[ColumnElement[bool]]) -> list[_Member]:
    """The tracks with these content hashes, the largest files of each."""
    if not digests:
        return []
    duration = (
        select(func.max(Prediction.duration_s))
        .where(Prediction.content_hash == Track.content_hash)
        .scalar_subquery()
    )
    ranked = (
        select(
            Track.id,
            Library.name,
            Track.path,
            Track.size,
            Track.content_hash,
            duration.label("duration_s"),
            func.count().over(partition_by=Track.content_hash).label("copies"),
            func.row_number()
            .over(partition_by=Track.content_hash, order_by=(Track.size.desc(), Library.name, Track.path))
            .label("place"),
        )
        .join(Library, Library.id == Track.library_id)
        .where(Track.content_hash.in_(digests), *there)
        .subquery()
    )
    rows = session.execute(select(ranked).where(ranked.c.place <= LISTED_TRACKS))
    return [_Member(*row[:-1]) for row in rows]
