"""Compares the answers that clients got with what happened and what is stored; finds every broken promise."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from uuid import UUID

from core.states import TERMINAL_JOB_STATES, TERMINAL_UNIT_STATES, ItemState, JobState, UnitState
from tests.faults.history import Acknowledged, Effect, History, Move, StoredItem, StoredJob

LABELLED = "labelled"
REAPED = (UnitState.RUNNING, UnitState.READY, UnitState.FAILED)  # what a reaper writes, FAILED of items, too


@dataclass(frozen=True)
class Violation:
    kind: str  # lost, doubled, zombie, counters, terminal, answers
    what: str


def check(history: History) -> list[Violation]:
    """None for a run that kept every promise."""
    checks: tuple[tuple[str, Callable[[History], Iterator[str]]], ...] = (
        ("lost", _lost),
        ("doubled", _doubled),
        ("zombie", _zombie_writes),
        ("counters", _wrong_counters),
        ("terminal", _changed_terminal_states),
        ("answers", _untrue_answers),
    )
    return [Violation(kind, what) for kind, find in checks for what in find(history)]


def _lost(history: History) -> Iterator[str]:
    """An acknowledged job that did not end as it must, an item without its outcome, a unit left open."""
    jobs = {job.id: job for job in history.jobs}
    items: defaultdict[str, list[StoredItem]] = defaultdict(list)
    for item in history.items:
        items[item.job_id].append(item)
    by_key = {job.key: job.id for job in history.jobs}
    for acknowledged in history.acknowledged:
        for job_id in acknowledged.job_ids or {by_key.get(acknowledged.key, "unknown")}:
            yield from _lost_of_job(acknowledged, jobs.get(job_id), items[job_id])
    for unit in history.units:
        job = jobs[unit.job_id]
        if job.state in TERMINAL_JOB_STATES and unit.state not in TERMINAL_UNIT_STATES:
            yield f"unit {unit.id} is {unit.state}, its job {job.id} is {job.state}"


def _lost_of_job(acknowledged: Acknowledged, job: StoredJob | None, items: list[StoredItem]) -> Iterator[str]:
    if job is None:
        yield f"{acknowledged.key}: the acknowledged job is not stored"
        return
    ending = JobState.CANCELLED if acknowledged.is_cancelled else JobState.SUCCEEDED
    if job.state != ending:
        yield f"{acknowledged.key}: job {job.id} is {job.state} instead of {ending} ({job.error})"
    if not acknowledged.is_cancelled and job.result != acknowledged.upload:
        yield f"{acknowledged.key}: job {job.id} has the result {job.result} for {acknowledged.upload}"
    found = {item.path: _outcome(item) for item in items}
    for path, wanted in acknowledged.outcomes.items():
        accepted = {wanted, "missing", ItemState.PENDING} if acknowledged.is_cancelled else {wanted}
        if found.get(path, "missing") not in accepted:
            yield f"{acknowledged.key}: {path} is {found.get(path, 'missing')} instead of {wanted}"
    for path in found.keys() - acknowledged.outcomes.keys():
        yield f"{acknowledged.key}: {path} was never asked for"


def _outcome(item: StoredItem) -> str:
    if item.state in (ItemState.DONE, ItemState.SKIPPED):
        return LABELLED if item.has_result else "without a result"
    return item.error_code or item.state


def _doubled(history: History) -> Iterator[str]:
    """Two jobs of one key, two items of one track, two claims that wrote the same outcome or prediction.

    One claim may write the same again: after a commit whose answer got lost it cannot know better.
    """
    for acknowledged in history.acknowledged:
        if len(acknowledged.job_ids) > 1:
            yield f"{acknowledged.key}: answered with {len(acknowledged.job_ids)} jobs"
    for key, count in Counter(job.key for job in history.jobs if job.key).items():
        if count > 1:
            yield f"{key}: stored as {count} jobs"
    for (job_id, path), count in Counter((item.job_id, item.path) for item in history.items).items():
        if count > 1:
            yield f"job {job_id}: {path} has {count} items"
    yield from _doubled_outcomes(history)
    yield from _doubled_effects(history)


def _doubled_outcomes(history: History) -> Iterator[str]:
    writes: defaultdict[tuple[int | None, int | None], set[UUID | None]] = defaultdict(set)
    for move in _item_moves(history):
        if move.new != ItemState.PENDING:
            writes[move.unit_id, move.pos].add(move.claim_id)
    for (unit_id, pos), claims in writes.items():
        if len(claims) > 1:
            yield f"item {pos} of unit {unit_id} got an outcome from {len(claims)} claims"


def _doubled_effects(history: History) -> Iterator[str]:
    claims = {move.xid: move.claim_id for move in _item_moves(history)}
    by_result: defaultdict[tuple[str, int], set[UUID | str]] = defaultdict(set)
    for effect in history.effects:
        by_result[effect.content, effect.model_id].add(_author(effect, claims))
    for (content, model_id), authors in by_result.items():
        if len(authors) > 1:
            yield f"the prediction of {content[:12]} by model {model_id} was written by {len(authors)} claims"


def _author(effect: Effect, claims: dict[int, UUID | None]) -> UUID | str:
    """The claim in whose transaction a prediction was written; the process where there are no items."""
    return claims.get(effect.xid) or effect.writer


def _zombie_writes(history: History) -> Iterator[str]:
    """A row of a unit that was written by another process than that of the claim which held it, or too late.

    Only a reaper may, in the transaction that takes the unit from a holder whose lease has run out. Whoever
    began to write under a live lease may end it after that: until then it keeps the reaper out.
    """
    holders = {move.claim_id: move.writer for move in history.moves if move.is_claim}
    reaping = {(move.xid, move.unit_id) for move in history.moves if move.is_reaping}
    for move in history.moves:
        if move.what == "job" or move.is_claim or move.claim_id is None:
            continue
        holder = holders.get(move.claim_id)
        by_reaper = (move.xid, move.unit_id) in reaping and move.new in REAPED
        what = f"{move.what} {move.pos} of unit {move.unit_id} went from {move.old} to {move.new}"
        if holder == move.writer and move.late:
            yield f"{what} by {move.writer} after its lease had run out"
        if holder != move.writer and not by_reaper:
            yield f"{what} by {move.writer}, while {holder} held it"
    for move in _item_moves(history):
        if move.claim_id is None:
            yield f"item {move.pos} of unit {move.unit_id} was written by {move.writer} without a claim"


def _item_moves(history: History) -> Iterator[Move]:
    return (move for move in history.moves if move.what == "item")


def _wrong_counters(history: History) -> Iterator[str]:
    by_unit: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for item in history.items:
        by_unit[item.unit_id][item.state] += 1
    outcomes: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for unit in history.units:
        counted = (unit.done, unit.failed, unit.skipped)
        outcomes[unit.job_id] += sum(counted)
        ended[unit.job_id] += sum(counted) if unit.state in TERMINAL_UNIT_STATES else 0
        rows = by_unit[unit.id]
        expected = (rows[ItemState.DONE], rows[ItemState.FAILED], rows[ItemState.SKIPPED])
        if unit.kind == "analyse" and counted != expected:
            yield f"unit {unit.id} counts {counted}, its rows are {expected}"
    for job in history.jobs:
        if job.state == JobState.SUCCEEDED and outcomes[job.id] != job.total:
            yield f"job {job.id} has {outcomes[job.id]} outcomes of {job.total}"
        if job.ended != ended[job.id]:
            yield f"job {job.id} counts {job.ended} outcomes of its ended units, which have {ended[job.id]}"


def _changed_terminal_states(history: History) -> Iterator[str]:
    terminal = {
        "job": TERMINAL_JOB_STATES,
        "unit": TERMINAL_UNIT_STATES,
        "item": {ItemState.DONE, ItemState.FAILED, ItemState.SKIPPED},
    }
    ended = set()
    for move in history.moves:
        where = f"{move.what} {move.unit_id or ''} {'' if move.pos is None else move.pos}".strip()
        if move.old in terminal[move.what] and move.new != move.old:
            yield f"{where} of job {move.job_id} went from {move.old} to {move.new}"
        if move.what == "job" and move.new in TERMINAL_JOB_STATES:
            ended.add(move.job_id)
        elif move.job_id in ended:
            yield f"{where} was written after its job {move.job_id} had ended"


def _untrue_answers(history: History) -> Iterator[str]:
    """An answer reported an end, or progress, that a later one took back."""
    stored = {job.id: job for job in history.jobs}
    answers = defaultdict(list)
    for answer in history.answers:
        answers[answer.job_id].append(answer)
    for job_id, known in answers.items():
        for before, after in pairwise(known):
            if before.state in TERMINAL_JOB_STATES and after.state != before.state:
                yield f"job {job_id} was said to be {before.state}, later {after.state}"
            if before.state == JobState.CANCELLING and after.state not in (before.state, JobState.CANCELLED):
                yield f"job {job_id} was said to be cancelled soon, later {after.state}"
            counts = [(each.done, each.failed, each.skipped) for each in (before, after)]
            if any(later < earlier for earlier, later in zip(*counts, strict=True)):
                yield f"the progress of job {job_id} went back from {counts[0]} to {counts[1]}"
        for each in known:
            if each.done + each.failed + each.skipped > each.total:
                yield f"job {job_id} was said to have more outcomes than tracks: {each}"
        last = known[-1]
        if last.state in TERMINAL_JOB_STATES and job_id in stored and stored[job_id].state != last.state:
            yield f"job {job_id} was said to be {last.state} and is {stored[job_id].state}"
