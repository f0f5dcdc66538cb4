"""Changes of corrections, their history and undo.

A change is what one request has written, on one track or on many; it is undone as a whole. The table
`corrections` holds the last word per label and piece of audio, `correction_entries` the history.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Select,
    Text,
    and_,
    any_,
    case,
    cast,
    column,
    delete,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on, insert
from sqlalchemy.orm import Session, aliased

from core.errors import ChangeNotFound
from core.spelling import name_key
from core.states import Verdict
from core.store.cursor import Page, cut_page, decode_cursor
from core.store.ids import id_starts_with
from core.store.tables import (
    Correction,
    CorrectionChange,
    CorrectionEntry,
    Library,
    Review,
    Track,
)

LISTED_ENTRIES = 200  # of the history of one piece of audio, the newest first
MOST_OF_ONE = 50  # verdicts of a change that may be about one piece of audio
PER_STATEMENT = 10_000  # verdicts; a second or so
COLUMNS = ("content_hash", "label_key", "label", "verdict")


class NewCorrection(NamedTuple):
    """A verdict to write; None withdraws what was said before."""

    content_hash: bytes
    label: str
    verdict: Verdict | None


@dataclass(frozen=True)
class Written:
    """What a request has done to corrections."""

    change_id: UUID | None  # None if everything was there already
    changed: int  # verdicts
    unchanged: int  # verdicts that were there already or, of an undo, that have been changed since


@dataclass(frozen=True)
class Entry:
    label: str
    verdict: Verdict | None  # None: withdrawn
    change: CorrectionChange


@dataclass(frozen=True)
class TrackHistory:
    current: Sequence[Entry]
    history: Sequence[Entry]  # the newest first, at most LISTED_ENTRIES
    entries: int  # length of the whole history


@dataclass(frozen=True)
class ChangeRow:
    change: CorrectionChange
    entries: int  # verdicts that it has written
    standing: int  # of which nobody has changed since
    track: Track | None = None  # the first that holds its audio, where it is listed and about one
    library: str | None = None  # name, of that track


def write_corrections(
    session: Session,
    corrections: Sequence[NewCorrection],
    *,
    author: str,
    origin: str,
    note: str | None = None,
    replace: bool = True,
) -> Written:
    """Write verdicts as one change, at most one per label and piece of audio.

    What is there already is not written again, unless with another note, so a repeated request does nothing.
    Without `replace`, labels that have a verdict keep it. Whoever corrects a label last has the last word;
    the history keeps all.
    """
    rows = sorted(
        (
            (each.content_hash, name_key(each.label), each.label, str(each.verdict) if each.verdict else None)
            for each in corrections
        ),
        key=itemgetter(0, 1),
    )

    def differs(new: Any) -> ColumnElement[bool]:
        other = Correction.verdict.is_distinct_from(new.verdict)
        if not replace:
            return Correction.verdict.is_(None) & other
        if note is None:
            return other
        # As text: SQLAlchemy correlates nothing in ON CONFLICT, so the column would be that of any row.
        of_change = CorrectionChange.id == literal_column("corrections.change_id")
        return or_(
            other, select(CorrectionChange.note).where(of_change).scalar_subquery().is_distinct_from(note)
        )

    change = CorrectionChange(author=author, origin=origin, note=note)
    slices = (_given(rows[start : start + PER_STATEMENT]) for start in range(0, len(rows), PER_STATEMENT))
    changed = _write(session, change, slices, differs)
    if origin == "track":
        _end_leases(session, corrections, author, change.id if changed else None)
    return Written(change.id if changed else None, changed, len(rows) - changed)


def _given(rows: Sequence[tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """These verdicts, in the order of `COLUMNS`, without those that withdraw what nobody has said."""
    arrays = map(list, zip(*rows, strict=True))
    types = (LargeBinary, Text, Text, Text)
    kinds: list[ColumnElement[Any]] = [column(name, kind) for name, kind in zip(COLUMNS, types, strict=True)]
    unnested = func.unnest(*(cast(values, ARRAY(kind)) for values, kind in zip(arrays, types, strict=True)))
    given = unnested.table_valued(*kinds, name="given").render_derived()
    wanted = select(given)
    if all(verdict is not None for *_, verdict in rows):
        return wanted
    known = aliased(Correction)
    is_known = (known.content_hash == given.c.content_hash) & (known.label_key == given.c.label_key)
    return wanted.where(or_(given.c.verdict.is_not(None), exists().where(is_known)))


def undo_change(session: Session, change_id: UUID, author: str) -> Written:
    """Give every label of a change the verdict that it had before, as a change of its own.

    Labels that somebody has changed since stay as they are, so a second undo does nothing. Raises
    ChangeNotFound.
    """
    if session.get(CorrectionChange, change_id) is None:
        raise ChangeNotFound(f"There is no change of corrections {change_id}.")
    entry, before = CorrectionEntry, aliased(CorrectionEntry)
    same = (before.content_hash == entry.content_hash) & (before.label_key == entry.label_key)
    earlier = (
        select(before.label, before.verdict)
        .where(same, before.id < entry.id)
        .order_by(before.id.desc())
        .limit(1)
        .lateral()
    )
    of_label = (entry.content_hash, entry.label_key)
    wanted = (
        select(*of_label, func.coalesce(earlier.c.label, entry.label).label("label"), earlier.c.verdict)
        .ext(distinct_on(*of_label))  # a change on two keys of one audio has two entries once they are one
        .join(earlier, true(), isouter=True)
        .where(entry.change_id == change_id)
        .order_by(*of_label, entry.id)
    )
    change = CorrectionChange(author=author, origin="undo", undoes=change_id)
    slices = (wanted.where(entry.content_hash.between(*ends)) for ends in _ranges(session, change_id))
    changed = _write(session, change, slices, lambda _: Correction.change_id == change_id)
    labels = select(*of_label).where(entry.change_id == change_id).distinct().subquery()
    total = session.scalar(select(func.count()).select_from(labels)) or 0
    return Written(change.id if changed else None, changed, total - changed)


def _ranges(session: Session, change_id: UUID) -> list[tuple[bytes, bytes]]:
    """The first and the last audio of each slice of a change, in ascending order."""
    of_change = select(CorrectionEntry.content_hash).where(CorrectionEntry.change_id == change_id)
    audio = session.scalars(of_change.order_by(CorrectionEntry.content_hash)).all()
    ends = [audio[start : start + PER_STATEMENT] for start in range(0, len(audio), PER_STATEMENT)]
    # What a slice shares with the one before is found there as well, and is no longer of the change then.
    return [(slice_[0], slice_[-1]) for slice_ in ends]


def _write(
    session: Session,
    change: CorrectionChange,
    slices: Iterable[Select[*tuple[Any, ...]]],
    condition: Callable[[Any], ColumnElement[bool]],
) -> int:
    """Upsert the verdicts of all slices and add them to the history; returns how many there were.

    `condition` says, of the row that is proposed, whether the row that is there is replaced. Slices ascend by
    audio, so that rows are locked in a fixed order: two requests for the same audio wait for each other. Each
    is a statement of its own, as a single one might take longer than a statement may.
    """
    session.add(change)
    session.flush()
    count = sum(_write_slice(session, change, wanted, condition) for wanted in slices)
    if not count:
        session.delete(change)
        session.flush()
    return count


def _write_slice(
    session: Session,
    change: CorrectionChange,
    wanted: Select[*tuple[Any, ...]],
    condition: Callable[[Any], ColumnElement[bool]],
) -> int:
    """Both tables are written by one statement."""
    source = wanted.subquery()
    ordered = select(*(source.c[name] for name in COLUMNS), literal(change.id)).order_by(
        source.c.content_hash, source.c.label_key
    )
    statement = insert(Correction).from_select([*COLUMNS, "change_id"], ordered)
    new = statement.excluded
    written = (
        statement.on_conflict_do_update(
            index_elements=[Correction.content_hash, Correction.label_key],
            set_={name: new[name] for name in ("label", "verdict", "change_id")},
            where=condition(new),
        )
        .returning(*(getattr(Correction, name) for name in (*COLUMNS, "change_id")))
        .cte("written")
    )
    entries = (
        insert(CorrectionEntry)
        .from_select([*COLUMNS, "change_id"], select(written))
        .returning(CorrectionEntry.id)
        .cte("entries")
    )
    return session.scalar(select(func.count()).select_from(entries)) or 0


def _end_leases(
    session: Session, corrections: Sequence[NewCorrection], author: str, change_id: UUID | None
) -> None:
    """The author has answered what he was being asked about this audio, if he was.

    An answer that leaves a verdict as it was confirms it. Once it is given, nobody is being asked, so to send
    it again confirms nothing. Audio is sampled if it was picked at random and nobody had said anything of it
    before this answer.
    """
    digests = cast(list({each.content_hash for each in corrections}), ARRAY(LargeBinary))
    keys = [name_key(each.label) for each in corrections]
    now = func.clock_timestamp()
    asked = select(Review.content_hash).where(
        Review.content_hash == any_(digests), Review.reviewer == author, Review.leased_until > now
    )
    locked = asked.order_by(Review.content_hash).with_for_update().cte("asked")
    is_kept = exists().where(
        Correction.content_hash == Review.content_hash,
        Correction.label_key.in_(keys),
        Correction.verdict.is_not(None),
        Correction.change_id.is_distinct_from(change_id),
    )
    own = CorrectionEntry.content_hash == Review.content_hash
    is_answer = exists().where(own, CorrectionEntry.change_id == change_id)
    is_first = ~exists().where(own, CorrectionEntry.change_id != change_id)
    values = {
        "leased_until": now,
        "confirmed_at": case((is_kept, now), else_=Review.confirmed_at),
        "sampled_at": case((and_(Review.at_random, is_answer, is_first), now), else_=Review.sampled_at),
    }
    session.execute(
        update(Review).where(Review.content_hash.in_(select(locked.c.content_hash))).values(values),
        execution_options={"synchronize_session": False},
    )


def get_history(session: Session, content_hash: bytes) -> TrackHistory:
    """The verdicts on a piece of audio, and how they came about."""
    current = (
        select(Correction.label, Correction.verdict, CorrectionChange)
        .join(CorrectionChange, CorrectionChange.id == Correction.change_id)
        .where(Correction.content_hash == content_hash, Correction.verdict.is_not(None))
        .order_by(Correction.label)
    )
    entries = (
        select(CorrectionEntry.label, CorrectionEntry.verdict, CorrectionChange)
        .join(CorrectionChange, CorrectionChange.id == CorrectionEntry.change_id)
        .where(CorrectionEntry.content_hash == content_hash)
        .order_by(CorrectionEntry.id.desc())
        .limit(LISTED_ENTRIES)
    )
    count = select(func.count()).where(CorrectionEntry.content_hash == content_hash)
    return TrackHistory(_entries(session, current), _entries(session, entries), session.scalar(count) or 0)


def _entries(session: Session, query: Select[*tuple[Any, ...]]) -> list[Entry]:
    return [
        Entry(label, Verdict(verdict) if verdict else None, change)
        for label, verdict, change in session.execute(query)
    ]


def list_changes(
    session: Session, cursor: str | None = None, limit: int = 100, id_prefix: str | None = None
) -> Page[ChangeRow]:
    """Changes of corrections, the newest first."""
    of_change = CorrectionEntry.change_id == CorrectionChange.id
    entries = select(func.count()).where(of_change).scalar_subquery()
    standing = select(func.count()).where(Correction.change_id == CorrectionChange.id).scalar_subquery()
    key = tuple_(CorrectionChange.created_at, CorrectionChange.id)
    query = select(CorrectionChange, entries, standing).order_by(
        CorrectionChange.created_at.desc(), CorrectionChange.id.desc()
    )
    if id_prefix is not None:
        query = query.where(id_starts_with(CorrectionChange.id, id_prefix))
    if cursor is not None:
        query = query.where(key < tuple_(*map(literal, decode_cursor(cursor, datetime.fromisoformat, UUID))))
    rows = [ChangeRow(*row) for row in session.execute(query.limit(limit + 1))]
    page = cut_page(rows, limit, lambda row: (row.change.created_at, row.change.id))
    tracks = _find_tracks(session, [row.change.id for row in page.items if row.entries <= MOST_OF_ONE])
    found = [(row, *tracks.get(row.change.id, (None, None))) for row in page.items]
    return replace(page, items=[replace(row, track=track, library=library) for row, track, library in found])


def _find_tracks(session: Session, change_ids: Sequence[UUID]) -> dict[UUID, tuple[Track, str]]:
    """Of the changes that are about one piece of audio: the first track that holds it, by its id, and the
    name of its library."""
    of_changes = CorrectionEntry.change_id.in_(change_ids)
    pairs = select(CorrectionEntry.change_id, CorrectionEntry.content_hash).where(of_changes).distinct()
    audio: dict[UUID, list[bytes]] = {}
    for change_id, digest in session.execute(pairs):
        audio.setdefault(change_id, []).append(digest)
    wanted = {change_id: digests[0] for change_id, digests in audio.items() if len(digests) == 1}
    holding = (
        select(Track, Library.name)
        .ext(distinct_on(Track.content_hash))
        .join(Library, Library.id == Track.library_id)
        .where(Track.content_hash.in_(set(wanted.values())))
        .order_by(Track.content_hash, Track.id)
    )
    found = {track.content_hash: (track, library) for track, library in session.execute(holding)}
    return {change_id: found[digest] for change_id, digest in wanted.items() if digest in found}


def find_change(session: Session, change_id: UUID) -> ChangeRow:
    """Raises ChangeNotFound."""
    change = session.get(CorrectionChange, change_id)
    if change is None:
        raise ChangeNotFound(f"There is no change of corrections {change_id}.")
    entries = session.scalar(select(func.count()).where(CorrectionEntry.change_id == change_id))
    standing = session.scalar(select(func.count()).where(Correction.change_id == change_id))
    return ChangeRow(change, entries or 0, standing or 0)


def move_corrections(session: Session, old: bytes, new: bytes) -> None:
    """Move corrections and their history from one key of some audio to another.

    Of two verdicts on a label the later one stays; the history keeps both.
    """
    mine, other = aliased(Correction), aliased(Correction)
    when = select(CorrectionChange.created_at)
    later = (
        when.where(CorrectionChange.id == other.change_id).scalar_subquery()
        >= when.where(CorrectionChange.id == mine.change_id).scalar_subquery()
    )
    for loser, winner in ((old, new), (new, old)):
        beaten = (
            select(mine.label_key)
            .join(other, other.label_key == mine.label_key)
            .where(mine.content_hash == loser, other.content_hash == winner, later)
        )
        session.execute(
            delete(Correction).where(Correction.content_hash == loser, Correction.label_key.in_(beaten)),
            execution_options={"synchronize_session": False},
        )
    for table in (Correction, CorrectionEntry):
        session.execute(
            update(table).where(table.content_hash == old).values(content_hash=new),
            execution_options={"synchronize_session": False},
        )
