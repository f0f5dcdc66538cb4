"""What people have said of the labels of audio, which outranks what any model says: read access."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Uuid,
    any_,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session, aliased

from core.errors import TrackNotAnalysed, TrackNotFound
from core.library.content import WITHOUT_PACKETS
from core.states import Verdict
from core.store.tables import (
    Correction,
    CorrectionChange,
    Library,
    Review,
    Track,
    TrainingTrack,
)

NOT_IDENTIFIED = "The audio of this track has not been read yet: analyse its library first."
Corrections = Mapping[str, Verdict]  # by label


def corrections_of(content_hash: Any) -> ColumnElement[Any]:
    """The verdicts by label on the audio in a column, as a JSON object; NULL if there are none."""
    said = aliased(Correction)
    found = select(func.jsonb_object_agg(said.label, said.verdict))
    return found.where(said.content_hash == content_hash, said.verdict.is_not(None)).scalar_subquery()


def as_corrections(found: Mapping[str, str] | None) -> Corrections:
    """What `corrections_of` has read, in alphabetical order."""
    return {label: Verdict(verdict) for label, verdict in sorted((found or {}).items())}


def find_corrections(session: Session, content_hashes: Iterable[bytes]) -> dict[bytes, Corrections]:
    """The verdicts on each piece of audio that has any."""
    digests = cast(list(content_hashes), ARRAY(LargeBinary))
    audio = select(func.unnest(digests).label("content_hash")).subquery()
    query = select(audio.c.content_hash, corrections_of(audio.c.content_hash))
    return {digest: as_corrections(found) for digest, found in session.execute(query) if found}


def find_sampled(session: Session, content_hashes: Collection[bytes]) -> set[bytes]:
    """Those of which somebody said something first because a review had picked them at random."""
    sampled = select(Review.content_hash).where(Review.sampled_at.is_not(None))
    return set(session.scalars(sampled.where(Review.content_hash.in_(content_hashes))))


def list_library_corrections(
    session: Session, library: Library, folder: str
) -> list[tuple[str, dict[str, Any], Corrections]]:
    """Path, tags and verdicts of every present track in a folder of which somebody said something."""
    query = select(Track.path, Track.tags, corrections_of(Track.content_hash)).order_by(Track.path)
    rows = session.execute(query.where(*_corrected_in(library, folder)))
    return [(path, tags or {}, as_corrections(found)) for path, tags, found in rows]


def has_anything_been_said(session: Session) -> bool:
    """Whether a verdict on any audio stands."""
    return (
        session.scalar(select(Correction.label).where(Correction.verdict.is_not(None)).limit(1)) is not None
    )


def has_corrections(session: Session, library: Library, folder: str) -> bool:
    """Whether somebody said something of a present track in a folder."""
    return session.scalar(select(Track.id).where(*_corrected_in(library, folder)).limit(1)) is not None


def _corrected_in(library: Library, folder: str) -> tuple[ColumnElement[bool], ...]:
    said = (Correction.content_hash == Track.content_hash, Correction.verdict.is_not(None))
    return (
        Track.library_id == library.id,
        Track.path.startswith(f"{folder}/" if folder else "", autoescape=True),
        Track.missing_at.is_(None),
        exists().where(*said),
    )


def count_corrected_since(
    session: Session,
    library: Library | None,
    since: datetime,
    *,
    folder: str = "",
    new_to: int | None = None,
    at_most: int | None = None,
) -> int:
    """Pieces of audio of a library, or of any, of which a yes or no that stands has been said since then.

    Only those in the folder, relative to the library, count. `new_to`: the id of a model; only what it has
    not been trained on counts, as far as that is stored. `at_most`: where to stop counting.
    """
    is_there = exists().where(
        Track.content_hash == Correction.content_hash,
        Track.missing_at.is_(None),
        Library.id == Track.library_id,
        *([] if library is None else [Track.library_id == library.id]),
        *([Track.path.startswith(f"{folder}/", autoescape=True)] if folder else []),
    )
    is_training_track = exists().where(
        TrainingTrack.model_id == new_to, TrainingTrack.content_hash == Correction.content_hash
    )
    audio = (
        select(Correction.content_hash)
        .distinct()
        .join(CorrectionChange, CorrectionChange.id == Correction.change_id)
        .where(
            CorrectionChange.created_at > since,
            Correction.verdict.in_((Verdict.YES, Verdict.NO)),
            is_there,
            *([] if new_to is None else [~is_training_track]),
        )
        .limit(at_most)
    )
    return session.scalar(select(func.count()).select_from(audio.subquery())) or 0


def get_content_hash(session: Session, track_id: UUID, *, hold: bool = False) -> bytes:
    """Which audio a track holds; with `hold`, it stays that until the transaction ends.

    Raises TrackNotFound or TrackNotAnalysed.
    """
    query = select(Track.id, Track.content_hash).join(Library, Library.id == Track.library_id)
    if hold:
        query = query.with_for_update(read=True, of=Track)
    row = session.execute(query.where(Track.id == track_id)).one_or_none()
    if row is None:
        raise TrackNotFound
    if row.content_hash is None:
        raise TrackNotAnalysed(NOT_IDENTIFIED)
    return bytes(row.content_hash)


def stands_for_file() -> ColumnElement[bool]:
    """Whether a track is known by a hash of its file, until its audio can be hashed.

    An earlier version knew no other, and audio is not hashed while a decoder fails.
    """
    prefixed = literal(WITHOUT_PACKETS, LargeBinary).op("||", return_type=LargeBinary())(Track.file_hash)
    return or_(Track.content_hash == Track.file_hash, Track.content_hash == func.sha256(prefixed))


def hold_audio(session: Session, track_ids: Collection[UUID]) -> dict[UUID, bytes | None]:
    """Which audio these tracks hold, and go on holding until the transaction ends."""
    if not track_ids:
        return {}
    held = select(Track.id, Track.content_hash).where(Track.id == any_(cast(list(track_ids), ARRAY(Uuid))))
    rows = session.execute(held.order_by(Track.id).with_for_update(read=True))
    return {track_id: digest for track_id, digest in rows}
