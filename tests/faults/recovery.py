"""How long work waited that a fault took from its worker."""

import math
from collections.abc import Sequence
from uuid import UUID

from tests.faults.history import History
from tests.faults.injection import Injected
from tests.faults.schedule import Fault

TELLING_S = 4.0  # a parent waits for two seconds whether a child that is gone has left a result


def _is_silenced(fault: Injected, injected: Sequence[Injected]) -> bool:
    """Whether the parent that should have reported its child's death died itself before it could."""
    return fault.fault == Fault.KILL_CHILD and any(
        other.fault == Fault.KILL_PARENT
        and other.worker == fault.worker
        and 0 <= other.clock - fault.clock < TELLING_S
        for other in injected
    )


def recovery_times(history: History, injected: Sequence[Injected]) -> dict[str, list[float]]:
    """By fault: seconds from each loss of a claim until its unit was claimed again.

    A claim that had ended before the fault reached it was not lost and is left out.
    """
    claims = [move for move in history.moves if move.is_claim]
    taken = reaped(history)
    times: dict[str, list[float]] = {}
    for fault in injected:
        for claim_id in fault.claims:
            if claim_id in taken:
                unit_id = next(move.unit_id for move in claims if move.claim_id == claim_id)
                again = [move.at for move in claims if move.unit_id == unit_id and move.at > fault.clock]
                if again:
                    kind = Fault.KILL_PARENT if _is_silenced(fault, injected) else fault.fault
                    times.setdefault(kind, []).append(round(min(again) - fault.clock, 2))
    return {kind: sorted(values) for kind, values in times.items()}


def reaped(history: History) -> set[UUID]:
    """Claims whose units were taken from them after their leases had run out."""
    return {move.claim_id for move in history.moves if move.is_reaping and move.claim_id is not None}


def percentile(sorted_values: list[float], share: float) -> float:
    """The smallest value that so many of the values do not exceed (nearest rank)."""
    return sorted_values[max(0, math.ceil(share * len(sorted_values)) - 1)]
