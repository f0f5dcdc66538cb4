"""Reads the history of a run from its clients and its database."""

from typing import Any

from tests.faults.client import Clients
from tests.faults.history import Effect, History, Move, StoredItem, StoredJob, StoredUnit
from tests.faults.system import System

JOBS = """
SELECT job.id::text, job.kind, job.idempotency_key, job.state, job.total, job.error_detail,
       encode(prediction.content_hash, 'hex'), job.retry_of IS NOT NULL,
       (SELECT coalesce(sum(outcomes::int), 0)::int
        FROM jsonb_each(job.ended) AS sums, jsonb_each_text(sums.value) AS counter (name, outcomes))
FROM jobs AS job
LEFT JOIN predictions AS prediction
    ON prediction.content_hash = decode(job.result->>'content_hash', 'hex')
    AND prediction.model_id = job.model_id
"""
UNITS = "SELECT id, job_id::text, kind, state, done, failed, skipped FROM job_units"
ITEMS = """
SELECT item.unit_id, item.pos, item.job_id::text, coalesce(item.path, track.path), item.state,
       item.error_code, prediction.content_hash IS NOT NULL
FROM job_items AS item
LEFT JOIN tracks AS track ON track.id = item.track_id
JOIN jobs AS job ON job.id = item.job_id
LEFT JOIN predictions AS prediction
    ON prediction.content_hash = item.content_hash AND prediction.model_id = job.model_id
"""
MOVES = """
SELECT what, job_id::text, unit_id, pos, old, new, claim_id, lease_live, late, writer, xid,
       extract(epoch FROM at)::double precision
FROM faults.moves ORDER BY id
"""
EFFECTS = "SELECT encode(content_hash, 'hex'), model_id, writer, xid FROM faults.effects ORDER BY id"


def read_history(system: System, clients: Clients) -> History:
    def rows(kind: Any, sql: str) -> list[Any]:
        return [kind(*row) for row in system.rows(sql)]

    return History(
        acknowledged=[submission.acknowledged() for submission in clients.submissions],
        answers=list(clients.answered),
        jobs=rows(StoredJob, JOBS),
        units=rows(StoredUnit, UNITS),
        items=rows(StoredItem, ITEMS),
        moves=rows(Move, MOVES),
        effects=rows(Effect, EFFECTS),
    )


def summary(history: History) -> dict[str, int]:
    """How much happened."""
    moves = history.moves
    return {
        "acknowledged": len(history.acknowledged),
        "answers": len(history.answers),
        "tracks": len(history.items),
        "effects": len(history.effects),
        "claims": sum(move.is_claim for move in moves),
        "reaped": sum(move.is_reaping for move in moves),
        "messages": sum(move.what == "unit" and move.new == "dispatched" for move in moves),
    }
