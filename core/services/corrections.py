"""Correcting labels: of one track, of all that a query means, from a CSV file and from tags.

Everything is validated before anything is written, and what a request leaves out is counted and named.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import Invalid, TooManyTracks
from core.library.correction_files import Row
from core.library.genres import split_genres
from core.spelling import clean, name_key
from core.states import Verdict
from core.store.correction_changes import NewCorrection, Written, write_corrections
from core.store.corrections import get_content_hash, hold_audio, stands_for_file
from core.store.label_sets import read_vocabulary
from core.store.libraries import get_library_by_name
from core.store.tables import Library, Model, Track
from core.store.track_filters import TrackFilter, matching

MOST_TRACKS = 100_000  # of one request
AUDIO = (Track.id, Track.content_hash, stands_for_file())  # of a track
MOST_VERDICTS = 200_000  # of one request: tracks times labels
LISTED_PROBLEMS = 1000
MEANINGS = {
    "track_not_found": "The library has no such track",
    "track_not_analysed": "The audio of the track has not been read yet",
    "no_genre_tag": "The track has no genre tag",
}
Verdicts = Mapping[str, Verdict | None]  # by label; None withdraws what was said before


NOTHING = Written(None, 0, 0)


@dataclass(frozen=True)
class Bulk:
    """What a query has matched, and what became of it."""

    tracks: int
    not_analysed: int  # tracks whose audio has not been read yet, so that nothing can be said of it
    written: Written


@dataclass(frozen=True)
class Problem:
    """A row of an import that has had no effect."""

    line: int | None  # of a CSV file, from 1
    path: str
    code: str
    detail: str


@dataclass
class Import:
    """What an import has found; `problems` holds the first LISTED_PROBLEMS."""

    rows: int = 0
    counts: dict[str, int] = field(default_factory=dict)  # rows without effect, by code
    problems: list[Problem] = field(default_factory=list)
    written: Written = NOTHING

    def leave_out(self, line: int | None, path: str, code: str, detail: str) -> None:
        self.counts[code] = self.counts.get(code, 0) + 1
        if len(self.problems) < LISTED_PROBLEMS:
            self.problems.append(Problem(line, path, code, detail))


def correct_track(
    session: Session, track_id: UUID, verdicts: Verdicts, *, author: str, note: str | None, allow_new: bool
) -> Written:
    """Correct labels of the audio of a track; other labels stay as they are."""
    digest = get_content_hash(session, track_id, hold=True)
    spelt = spelt_verdicts(session, verdicts, allow_new=allow_new)
    corrections = [NewCorrection(digest, label, verdict) for label, verdict in spelt.items()]
    return write_corrections(session, corrections, author=author, origin="track", note=note)


def correct_matching(
    session: Session,
    model: Model,
    wanted: TrackFilter,
    verdicts: Verdicts,
    *,
    author: str,
    note: str | None,
    allow_new: bool,
    dry_run: bool,
) -> Bulk:
    """Correct labels of all tracks that are meant. Raises TooManyTracks."""
    spelt = spelt_verdicts(session, verdicts, allow_new=allow_new)
    tracks = select(*AUDIO).join(Library, Library.id == Track.library_id)  # not of deleted ones
    query = tracks.where(*matching(session, model, wanted)).limit(MOST_TRACKS + 1)
    found = session.execute(query).all()
    if len(found) > MOST_TRACKS:
        raise TooManyTracks(
            f"The query matches more than {MOST_TRACKS:,} tracks: narrow it down, for example by library."
        )
    digests = _hold(session, found)
    audio = {digest for digest in digests if digest is not None}
    _check_verdicts(len(audio) * len(spelt))
    corrections = [
        NewCorrection(digest, label, verdict) for digest in audio for label, verdict in spelt.items()
    ]
    written = _write(session, corrections, author, "query", note, dry_run=dry_run)
    return Bulk(len(digests), digests.count(None), written)


def import_rows(
    session: Session,
    library: str,
    rows: Sequence[Row],
    *,
    author: str,
    note: str | None,
    allow_new: bool,
    dry_run: bool,
) -> Import:
    """Correct labels of tracks of a library by their paths; of two contradicting rows the first counts."""
    audio = _audio_by_path(session, library)
    vocabulary = read_vocabulary(session)
    found = Import(rows=len(rows))
    wanted: dict[tuple[bytes, str], NewCorrection] = {}
    for row in rows:
        digest = audio.get(_composed(row.path))
        if digest is None:
            code = "track_not_analysed" if _composed(row.path) in audio else "track_not_found"
            found.leave_out(row.line, row.path, code, f"{MEANINGS[code]}: {row.path!r}.")
            continue
        spelling = vocabulary.spell(row.label)
        if spelling is None and not allow_new:
            found.leave_out(row.line, row.path, "unknown_label", vocabulary.refusal(row.label))
            continue
        label = spelling or clean(row.label)
        first = wanted.setdefault((digest, name_key(label)), NewCorrection(digest, label, row.verdict))
        if first.verdict != row.verdict:
            detail = f"An earlier row says {first.verdict} to {label!r} of the same audio."
            found.leave_out(row.line, row.path, "contradiction", detail)
    found.written = _write(session, list(wanted.values()), author, "csv", note, dry_run=dry_run)
    return found


def import_tags(
    session: Session,
    library: str,
    folder: str,
    *,
    separators: str,
    aliases: Mapping[str, str],
    author: str,
    note: str | None,
    allow_new: bool,
    dry_run: bool,
) -> Import:
    """Say yes to the labels that the genre tags of a library name, where nobody has said anything yet.

    Raises TooManyTracks.
    """
    where = [Track.library_id == get_library_by_name(session, library).id, Track.missing_at.is_(None)]
    if folder:
        where.append(Track.path.startswith(f"{folder}/", autoescape=True))
    columns = select(*AUDIO, Track.path, Track.tags["genre"])
    tags = session.execute(columns.where(*where).order_by(Track.path).limit(MOST_TRACKS + 1)).all()
    if len(tags) > MOST_TRACKS:
        raise TooManyTracks(
            f"There are more than {MOST_TRACKS:,} tracks: import folder by folder, by `path`."
        )
    vocabulary = read_vocabulary(session)
    found = Import(rows=len(tags))
    wanted: dict[tuple[bytes, str], NewCorrection] = {}
    for digest, (*_, path, genres) in zip(_hold(session, tags), tags, strict=True):
        if digest is None:
            found.leave_out(None, path, "track_not_analysed", f"{MEANINGS['track_not_analysed']}: {path!r}.")
            continue
        labels = [label for label in split_genres(genres or (), separators, aliases) if name_key(label)]
        if not labels:
            found.leave_out(None, path, "no_genre_tag", f"{MEANINGS['no_genre_tag']}: {path!r}.")
        for label in labels:
            spelling = vocabulary.spell(label)
            if spelling is None and not allow_new:
                found.leave_out(None, path, "unknown_label", vocabulary.refusal(label))
                continue
            label = spelling or clean(label)
            wanted.setdefault((digest, name_key(label)), NewCorrection(digest, label, Verdict.YES))
    _check_verdicts(len(wanted))
    found.written = _write(
        session, list(wanted.values()), author, "tags", note, dry_run=dry_run, replace=False
    )
    return found


def spelt_verdicts(session: Session, verdicts: Verdicts, *, allow_new: bool) -> dict[str, Verdict | None]:
    """The verdicts by the known spelling of their labels. Raises Invalid or UnknownLabel.

    What is withdrawn may have any name: its label set or model may be gone.
    """
    vocabulary = read_vocabulary(session)
    if not allow_new:
        vocabulary.refuse_unknown(label for label, verdict in verdicts.items() if verdict is not None)
    spelt: dict[str, Verdict | None] = {}
    seen: set[str] = set()
    for label, verdict in verdicts.items():
        key = name_key(label)
        if key in seen:
            raise Invalid(f"The label {label!r} is named twice.")
        seen.add(key)
        spelt[vocabulary.spell(label) or clean(label)] = verdict
    return spelt


def _check_verdicts(count: int) -> None:
    if count > MOST_VERDICTS:
        raise TooManyTracks(
            f"These are {count:,} verdicts, more than {MOST_VERDICTS:,}: name fewer labels or fewer tracks."
        )


def _write(
    session: Session,
    corrections: Sequence[NewCorrection],
    author: str,
    origin: str,
    note: str | None,
    *,
    dry_run: bool,
    replace: bool = True,
) -> Written:
    """With `dry_run`, what would be written, of which nothing stays."""
    with session.begin_nested() as attempt:
        written = write_corrections(
            session, corrections, author=author, origin=origin, note=note, replace=replace
        )
        if dry_run:
            attempt.rollback()
    return Written(None, written.changed, written.unchanged) if dry_run else written


def _audio_by_path(session: Session, library: str) -> dict[str, bytes | None]:
    """Audio of the present tracks of a library by their paths, in one Unicode form."""
    query = select(*AUDIO, Track.path).where(
        Track.library_id == get_library_by_name(session, library).id, Track.missing_at.is_(None)
    )
    tracks = session.execute(query).all()
    return {
        _composed(path): digest for digest, (*_, path) in zip(_hold(session, tracks), tracks, strict=True)
    }


def _hold(session: Session, tracks: Sequence[Sequence[Any]]) -> list[bytes | None]:
    """The audio of tracks, given as `AUDIO`, which keeps its key until the transaction ends.

    Only a key that stands for a file may change, so only tracks with such a key are locked.
    """
    held = hold_audio(session, [track_id for track_id, _, is_of_file, *_ in tracks if is_of_file])
    return [held.get(track_id, digest) for track_id, digest, *_ in tracks]


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)
