"""A worker in the test's own process: units are worked off one after the other, without broker or Celery."""

import hashlib
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pkgutil import resolve_name
from typing import Any, BinaryIO
from uuid import UUID

import numpy as np
from sqlalchemy import select

from core.config.models import Coverage
from core.errors import Corrupt, ItemError
from core.jobs.jobs import OPEN_UNIT_STATES
from core.jobs.kinds import unit_spec
from core.ml.audio.waveform import Waveform
from core.ml.inference.tagger import Analysis
from core.ml.inference.timings import StageTimings
from core.store.session import SessionFactory
from core.store.tables import JobUnit
from tests.support.builders import EMBEDDING_SIZE, LABELS
from tests.support.planned import LEASE_S, claim, make_due
from workers.runner import Body, run_claim

WORKER = "worker@test"


def run(sessions: SessionFactory, unit_id: int, body: Body | None = None, lease_s: float = LEASE_S) -> None:
    """Claim a unit and do what it asks for, or another body."""
    claimed = claim(sessions, unit_id, lease_s)
    run_claim(claimed, WORKER, sessions, body or resolve_name(unit_spec(claimed.kind).body))


def open_units(sessions: SessionFactory, job_id: UUID) -> list[JobUnit]:
    query = select(JobUnit).where(JobUnit.job_id == job_id, JobUnit.state.in_(OPEN_UNIT_STATES))
    with sessions() as session:
        return list(session.scalars(query.order_by(JobUnit.id)))


def work_off(sessions: SessionFactory, job_id: UUID) -> None:
    """Run the units of a job until none is left, each after those that it waits for."""
    while units := open_units(sessions, job_id):
        kinds = {unit.kind for unit in units}
        unit = next(unit for unit in units if kinds.isdisjoint(unit_spec(unit.kind).after))
        make_due(sessions, unit.id)
        run(sessions, unit.id)


def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class StubTagger:
    """Derives scores from the bytes of a file, so that only what is tested takes time."""

    def __init__(self) -> None:
        self.timings = StageTimings()
        self.analysed: list[Coverage] = []
        self.before: Callable[[int], Any] = lambda _: None  # called with the number of tracks analysed so far

    def analyse(
        self,
        sources: Iterable[tuple[Any, BinaryIO]],
        coverage: Coverage = "full",
        *,
        max_duration_s: float,
        on_progress: Callable[[], None] = lambda: None,
        sequential: bool = False,
    ) -> Generator[tuple[Any, Analysis | ItemError], None, None]:
        for key, file in sources:
            with closing(file):
                content = file.read()
            on_progress()
            self.before(len(self.analysed))
            self.analysed.append(coverage)
            yield key, Corrupt() if content.startswith(b"bad") else analysis_of(content)


def analysis_of(content: bytes) -> Analysis:
    digest = np.frombuffer(hashlib.sha256(content).digest(), np.uint8).astype(np.float32)
    warnings = ("Some of it is missing.",) if content.startswith(b"damaged") else ()
    levels = digest[:8].astype(np.uint8).tobytes()
    return Analysis(
        60.0,
        digest[: len(LABELS)] / 255,
        digest[-EMBEDDING_SIZE:] / 255,
        warnings,
        Waveform(60.0, 7.5, levels, levels),
    )
