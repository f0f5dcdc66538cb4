"""What people say of labels."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field

from api.schemas.base import Request, Response
from core.config.track_query import TrackQuery
from core.library.genres import SEPARATORS
from core.spelling import name_key
from core.states import Verdict


def _visible(label: str) -> str:
    if not name_key(label):
        raise ValueError("a label needs a visible character")
    return label


LabelName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_visible)]
Verdicts = Annotated[
    dict[LabelName, Verdict | None],
    Field(
        min_length=1,
        max_length=200,
        description="verdict by label; null withdraws what was said before. Labels that are not named stay",
    ),
]
Note = Annotated[str, Field(min_length=1, max_length=1000, description="kept in the history")]
AllowNew = Annotated[
    bool,
    Field(description="also accept labels that no label set and no model has; else an error"),
]
DryRun = Annotated[bool, Field(description="only count what would be changed")]
LibraryName = Annotated[str, Field(min_length=1, max_length=200, description="name of a library")]


class CorrectionRequest(Request):
    labels: Verdicts
    note: Note | None = None
    allow_new: AllowNew = False


class BulkCorrectionRequest(CorrectionRequest):
    query: TrackQuery
    dry_run: DryRun = False


class CSVImportRequest(Request):
    library: LibraryName
    csv: str = Field(
        max_length=20_000_000,
        description="`path,label,verdict`, or `path,labels` with labels like `+jazz; -rock; ?pop`",
    )
    note: Note | None = None
    allow_new: AllowNew = False
    dry_run: DryRun = False


class TagsImportRequest(Request):
    """Labels that have a verdict keep it."""

    library: LibraryName
    path: str = Field(default="", max_length=4096, description="folder inside the library; empty: all of it")
    separators: str = Field(default=SEPARATORS, max_length=20, description="between two genres in one tag")
    aliases: dict[LabelName, LabelName] = Field(
        default={}, max_length=5000, description="genre as in the tag -> label"
    )
    note: Note | None = None
    allow_new: AllowNew = False
    dry_run: DryRun = False


class CorrectionOutcome(Response):
    change: UUID | None = Field(description="undo it with this id; null if nothing has changed")
    changed: int = Field(description="verdicts that are new")
    unchanged: int = Field(
        description="verdicts that were there already or, of an undo, that somebody has changed since"
    )


class BulkOutcome(CorrectionOutcome):
    tracks: int = Field(description="tracks that the query matches")
    not_analysed: int = Field(description="tracks among them whose audio has not been read yet: left out")


class ImportProblem(Response):
    line: int | None = Field(description="of the CSV file, from 1")
    path: str
    code: Literal["track_not_found", "track_not_analysed", "unknown_label", "contradiction", "no_genre_tag"]
    detail: str


class ImportOutcome(CorrectionOutcome):
    rows: int = Field(description="labels in the CSV file, or tracks whose tags were looked at")
    left_out: dict[str, int] = Field(description="what had no effect, counted by code")
    problems: list[ImportProblem] = Field(description="the first 1000 that had no effect")


class CorrectionChange(Response):
    """What one request has written."""

    id: UUID
    author: str = Field(description="id of the API key, or `local`")
    origin: Literal["track", "query", "csv", "tags", "undo"]
    note: str | None
    undoes: UUID | None = Field(description="the change that this one has undone")
    created_at: datetime


class ListedChange(CorrectionChange):
    entries: int = Field(description="verdicts that it has written")
    standing: int = Field(description="of which nobody has changed since")
    track_id: UUID | None = Field(
        default=None,
        description="the track, if it is at most 50 verdicts on one: the first of those with its audio",
    )
    library: str | None = Field(default=None, description="name of the library of that track")
    path: str | None = Field(default=None, description="of that track, relative to its library")


class CorrectionEntry(Response):
    label: str
    verdict: Verdict | None = Field(description="null: withdrawn")
    change: CorrectionChange


class TrackLabels(Response):
    """What people said of the labels of a track; it belongs to the audio, also under other paths."""

    track_id: UUID
    corrections: list[CorrectionEntry] = Field(description="the last word on each label")
    history: list[CorrectionEntry] = Field(description="the newest 200, newest first")
    entries: int = Field(description="length of the whole history")


class CorrectedTrack(TrackLabels, CorrectionOutcome):
    """The labels of a track after a correction."""
