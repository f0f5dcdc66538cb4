"""One person's way through the questions of a review.

Questions are leased some at a time, since ranking all tracks takes long in a large library. Those that come
next stand in the address: several tabs and several people get along, and to reload a page changes nothing.
"""

from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, Query

from api.pages.forms import Blank
from core.services.review import Asked, lease_questions
from core.states import Strategy
from core.store.review_leases import find_leased
from core.store.session import SessionFactory, transaction

BATCH = 10  # tracks that are leased at a time
LEASE_S = 1800  # for all of them
LEAST_LEFT_S = 60  # of a lease, to answer in
NO_TRACKS: list[UUID] = []


@dataclass(frozen=True)
class Sitting:
    strategy: Strategy = Strategy.MARGIN
    label: str | None = None  # the only one that is asked about
    library: str | None = None
    then: tuple[UUID, ...] = ()  # tracks that are leased already, the next one first
    answered: int = 0
    last: UUID | None = None  # the track that was answered last
    change: UUID | None = None  # what that answer has changed; None if it only confirmed
    over: bool = False  # nothing is left to ask about

    @property
    def query(self) -> str:
        """For the address of a page."""
        pairs = [(name, value) for name, value in vars(self).items() if value and name != "then"]
        return urlencode([*pairs, *(("then", each) for each in self.then)])


async def get_sitting(
    strategy: Annotated[Strategy, Query()] = Strategy.MARGIN,
    label: Annotated[str | None, Blank, Query(max_length=200)] = None,
    library: Annotated[str | None, Blank, Query(max_length=200)] = None,
    then: Annotated[list[UUID], Query(max_length=2 * BATCH)] = NO_TRACKS,
    answered: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    last: UUID | None = None,
    change: UUID | None = None,
    over: bool = False,
) -> Sitting:
    return Sitting(strategy, label, library, tuple(then), answered, last, change, over)


SittingDep = Annotated[Sitting, Depends(get_sitting)]


def lead_on(sessions: SessionFactory, reviewer: str, sitting: Sitting) -> str:
    """The address of the next question, below that of the server; of the first page if there is none.

    Raises Invalid, ModelNotFound or LibraryNotFound.
    """
    with transaction(sessions) as session:
        leased = find_leased(session, sitting.then, reviewer, LEAST_LEFT_S)
        waiting = [each for each in sitting.then if each in leased]
        if not waiting:
            asked = Asked(sitting.strategy, BATCH, LEASE_S, sitting.label, sitting.library)
            waiting = [each.row.track.id for each in lease_questions(session, asked, reviewer)[2]]
    if not waiting:
        return f"review?{replace(sitting, then=(), over=True).query}"
    return f"review/{waiting[0]}?{replace(sitting, then=tuple(waiting[1:])).query}"
