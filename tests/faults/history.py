"""What happened in a run: the answers to clients, what the database logged, and what it holds at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from core.states import UnitState


@dataclass(frozen=True)
class Acknowledged:
    """An accepted job, and what must come of it."""

    key: str  # Idempotency-Key
    job_ids: frozenset[str]  # of all answers to this key: one, or none where the answer was the result itself
    outcomes: Mapping[str, str]  # by path: `labelled` or the code of an error; of an upload: empty
    upload: str | None = None  # the hash of what was uploaded, in hex
    is_cancelled: bool = False  # its cancel was accepted


@dataclass(frozen=True)
class Answer:
    """An answer to a poll, in the order of the answers."""

    job_id: str
    state: str
    total: int
    done: int
    failed: int
    skipped: int


@dataclass(frozen=True)
class StoredJob:
    id: str
    kind: str
    key: str | None
    state: str
    total: int
    error: str | None = None
    result: str | None = None  # of an upload: its hash in hex, where there is a prediction of it
    is_retry: bool = False
    ended: int = 0  # outcomes of its ended units, as the job counts them


@dataclass(frozen=True)
class StoredUnit:
    id: int
    job_id: str
    kind: str
    state: str
    done: int
    failed: int
    skipped: int


@dataclass(frozen=True)
class StoredItem:
    unit_id: int
    pos: int
    job_id: str
    path: str
    state: str
    error_code: str | None
    has_result: bool


@dataclass(frozen=True)
class Move:
    """A row's state was written; see audit.sql."""

    what: str
    job_id: str
    unit_id: int | None
    pos: int | None
    old: str
    new: str
    claim_id: UUID | None
    lease_live: bool | None
    late: bool | None
    writer: str
    xid: int
    at: float  # seconds since 1970, of the database's clock

    @property
    def is_claim(self) -> bool:
        return self.what == "unit" and self.old != UnitState.RUNNING and self.new == UnitState.RUNNING

    @property
    def is_reaping(self) -> bool:
        """Whether it takes a unit from a holder whose lease has run out."""
        ends = self.new in (UnitState.READY, UnitState.FAILED)
        return self.what == "unit" and self.old == UnitState.RUNNING and ends and not self.lease_live


@dataclass(frozen=True)
class Effect:
    """A prediction was written."""

    content: str  # hash in hex
    model_id: int
    writer: str
    xid: int


@dataclass(frozen=True)
class History:
    acknowledged: list[Acknowledged] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    jobs: list[StoredJob] = field(default_factory=list)
    units: list[StoredUnit] = field(default_factory=list)
    items: list[StoredItem] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
