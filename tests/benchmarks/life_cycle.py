"""What jobs cost when the analysis costs nothing: `python -m tests.benchmarks.life_cycle`.

Real Postgres, real files, the workers' own bodies in one process per core; only what listens to a file or
reads its tags answers at once. First the planning of a large folder by a planner that is killed again and
again; then labelling, without the index of similar tracks and with it, which costs more than all the rest.
Then what a client waits for: the submission of a job over that folder, and the progress of one with 20,000
units.
"""

import argparse
import logging
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import httpx
import numpy as np
from alembic import command
from sqlalchemy import func, insert, select, text, update

from api.main import create_app
from core.config.models import Coverage
from core.config.params import AnalysisParams
from core.errors import ItemError
from core.jobs.claims import claim_unit, expire_lease
from core.jobs.kinds import SubmissionContext
from core.jobs.reaping import reap_expired
from core.jobs.submission import submit_job
from core.library.content import TagReading
from core.local import SERVERS_ONLY, local_stack
from core.ml.inference.tagger import Analysis
from core.ml.inference.timings import StageTimings
from core.services.kinds import register_kinds
from core.settings import Settings, get_settings
from core.store.registry import EMBEDDING_INDEX_PREFIX, register_artifact, resolve_model
from core.store.session import SessionFactory, create_database_engine, create_session_factory, transaction
from core.store.tables import Job, JobItem, JobUnit, Library
from tests.conftest import alembic_config, stack_settings
from tests.integration.api.gateway import running
from workers import analysis, examining
from workers.planning import plan_library
from workers.runner import Body, run_claim

TRACKS = 20_000
LABELLED_UNITS = 40  # with the index, and as many without
PLANNER_KILLS = 5
PROGRESS_UNITS = 20_000
POLLS = 500
SUBMISSIONS = 50
DEFAULT_MODEL = "musicnn-msd-1"
LABELS, EMBEDDING = 50, 200  # of this model
DIRECTIONS = 20  # that embeddings vary in: those of music fill their space no more evenly
PER_FOLDER = 1000


class InstantTagger:
    """Gives every track the same scores and an embedding of its own, at once."""

    def __init__(self) -> None:
        self.timings = StageTimings()
        self._scores = np.linspace(0.01, 0.12, LABELS, dtype=np.float32)
        self._random = np.random.default_rng(os.getpid())
        self._directions = np.random.default_rng(0).standard_normal((DIRECTIONS, EMBEDDING), np.float32)

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
                on_progress()
            embedding = self._random.standard_normal(DIRECTIONS, np.float32) @ self._directions
            yield key, Analysis(60.0, self._scores, embedding)


def make_library(sessions: SessionFactory, root: Path, tracks: int) -> None:
    for number in range(tracks):
        folder = root / f"{number // PER_FOLDER:04d}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number % PER_FOLDER:04d}.mp3").write_bytes(b"%d" % number)
    with transaction(sessions) as session:
        session.add(Library(name="bench", path=str(root)))


def register_default_model(sessions: SessionFactory) -> None:
    """With the index of similar tracks, if it is not there."""
    with transaction(sessions) as session:
        register_artifact(session, get_settings().models_dir / DEFAULT_MODEL)


def submit(sessions: SessionFactory) -> UUID:
    with transaction(sessions) as session:
        return submit_job(session, AnalysisParams(library="bench"), SubmissionContext("bench")).job.id


def work_off(url: str, data_dir: str, unit_ids: list[int]) -> None:
    """Do units one after the other, as a worker process does whose messages ring without a pause."""
    logging.disable(logging.INFO)
    register_kinds()
    tagger = InstantTagger()
    settings = Settings(database_url=url, broker_url="", data_dir=Path(data_dir))
    vars(analysis).update(get_tagger=lambda *_, **__: tagger, get_settings=lambda: settings)
    vars(examining).update(hash_audio=lambda *_: None, read_tags=lambda _: TagReading())
    sessions = create_session_factory(create_database_engine(url, pool_size=3))
    for unit_id in unit_ids:
        do(sessions, unit_id, analysis.analyse_tracks)


def do(sessions: SessionFactory, unit_id: int, body: Body) -> None:
    with transaction(sessions) as session:
        claim = claim_unit(session, unit_id, f"bench {unit_id}", 90)
    assert claim is not None
    run_claim(claim, "bench", sessions, body)


def plan(url: str, unit_id: int) -> None:
    do(create_session_factory(create_database_engine(url, pool_size=3)), unit_id, plan_library)


def measure_planning(sessions: SessionFactory, url: str, tracks: int) -> None:
    """List the folder although the planner is killed, by SIGKILL, after each of so many pages."""
    start = time.perf_counter()
    job_id = submit(sessions)
    print(f"submission of a job over {tracks} files took {1000 * (time.perf_counter() - start):.0f} ms")
    with sessions() as session:
        unit_id = session.scalars(select(JobUnit.id).where(JobUnit.job_id == job_id)).one()
    spawn = multiprocessing.get_context("spawn")
    for kill in range(1, PLANNER_KILLS + 1):
        planner = spawn.Process(target=plan, args=(url, unit_id))
        planner.start()
        while planned(sessions, job_id) < kill * tracks // (PLANNER_KILLS + 1) and planner.is_alive():
            time.sleep(0.001)
        planner.kill()
        planner.join()
        with transaction(sessions) as session:
            expire_lease(session, f"bench {unit_id}")
        with transaction(sessions) as session:
            if not reap_expired(session):
                raise SystemExit("the planner had ended before it was killed")
            session.execute(update(JobUnit).values(run_after=func.now()))
    before, start = planned(sessions, job_id), time.perf_counter()
    do(sessions, unit_id, plan_library)
    speed = (tracks - before) / (time.perf_counter() - start)
    print(f"planning   {speed:8.0f} tracks/s, one process, after {PLANNER_KILLS} kills")
    with sessions() as session:
        distinct = session.scalar(select(func.count(func.distinct(JobItem.track_id))))
    if not tracks == count(sessions) == distinct == planned(sessions, job_id):
        raise SystemExit(f"{count(sessions)} items of {distinct} tracks are planned, not {tracks}")


def planned(sessions: SessionFactory, job_id: UUID) -> int:
    """Tracks of the pages that are written."""
    with sessions() as session:
        return session.get_one(Job, job_id).total


def measure_overhead(sessions: SessionFactory, url: str, data_dir: Path) -> None:
    processes = os.cpu_count() or 1
    query = select(JobUnit.id).where(JobUnit.kind == "analyse", JobUnit.state == "ready").order_by(JobUnit.id)
    with sessions() as session:
        unit_ids = session.scalars(query.limit(2 * LABELLED_UNITS)).all()
    with transaction(sessions) as session:
        model = resolve_model(session, "default")
        session.execute(text(f"DROP INDEX {EMBEDDING_INDEX_PREFIX}{model.encoder_id}"))
    speed = work_off_together(sessions, url, data_dir, unit_ids[:LABELLED_UNITS], processes)
    print(f"life cycle {speed:8.0f} tracks/s, {processes} processes")
    register_default_model(sessions)
    speed = work_off_together(sessions, url, data_dir, unit_ids[LABELLED_UNITS:], processes)
    print(f"life cycle {speed:8.0f} tracks/s, {processes} processes, with the index of similar tracks")


def work_off_together(
    sessions: SessionFactory, url: str, data_dir: Path, unit_ids: Sequence[int], processes: int
) -> float:
    """Tracks per second, once the processes have started."""
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=work_off, args=(url, str(data_dir), unit_ids[part::processes]))
        for part in range(processes)
    ]
    done_before = count(sessions, "done")
    for worker in workers:
        worker.start()
    while count(sessions, "done") == done_before and workers[0].is_alive():  # imports are no part of it
        time.sleep(0.01)
    start, before = time.perf_counter(), count(sessions, "done")
    for worker in workers:
        worker.join()
    took_s = time.perf_counter() - start
    ours = select(func.count()).where(JobItem.unit_id.in_(unit_ids))
    with sessions() as session:
        open_items = session.scalar(ours.where(JobItem.state != "done"))
    if open_items:
        raise SystemExit(f"{open_items} tracks are not done")
    return (count(sessions, "done") - before) / took_s


def count(sessions: SessionFactory, state: str | None = None) -> int:
    """Items, all or those in a state."""
    query = select(func.count()).select_from(JobItem)
    with sessions() as session:
        return session.scalar(query if state is None else query.where(JobItem.state == state)) or 0


def measure_submission(http: httpx.Client) -> None:
    body = {"kind": "analysis", "params": {"library": "bench", "force": True}}
    show("submission", [timed(lambda: http.post("/api/v1/jobs", json=body)) for _ in range(SUBMISSIONS)])


def measure_progress(sessions: SessionFactory, http: httpx.Client) -> None:
    """Of a job in the middle of its work: every other unit has ended."""
    with transaction(sessions) as session:
        library = session.scalars(select(Library)).one()
        job = Job(kind="analysis", owner="local", params={}, library_id=library.id, state="running")
        job.total = PROGRESS_UNITS * 50
        session.add(job)
        session.flush()
        values = {"job_id": job.id, "kind": "analyse", "queue": "batch"}
        ended = {"state": "done", "done": 50, "started_at": func.now(), "finished_at": func.now()}
        for states in ({"state": "ready"}, ended):
            units = [values | {"seq": seq} for seq in range(states is ended, PROGRESS_UNITS, 2)]
            session.execute(insert(JobUnit).values(states), units)
        job_id = job.id
    show("progress  ", [timed(lambda: http.get(f"/api/v1/jobs/{job_id}")) for _ in range(POLLS)])


def timed(request: Callable[[], Any]) -> float:
    start = time.perf_counter()
    request().raise_for_status()
    return 1000 * (time.perf_counter() - start)


def show(what: str, took_ms: list[float]) -> None:
    took_ms.sort()
    median, p99 = statistics.median(took_ms), took_ms[int(0.99 * len(took_ms))]
    print(f"{what} median {median:.1f} ms, p99 {p99:.1f} ms of {len(took_ms)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=TRACKS, help="that are planned; 20,000 or more")
    tracks = parser.parse_args().tracks
    logging.disable(logging.INFO)
    register_kinds()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as music:
        data_dir = Path(folder)
        with local_stack(stack_settings(data_dir), SERVERS_ONLY) as stack:
            command.upgrade(alembic_config(stack.database_url), "head")
            engine = create_database_engine(stack.database_url, pool_size=5)
            sessions = create_session_factory(engine)
            make_library(sessions, Path(music), tracks)
            register_default_model(sessions)
            measure_planning(sessions, stack.database_url, tracks)
            measure_overhead(sessions, stack.database_url, data_dir)
            urls = {"database_url": stack.database_url, "broker_url": stack.broker_url}
            app = create_app(stack_settings(data_dir).model_copy(update=urls | {"log_level": "WARNING"}))
            with running(app) as gateway, httpx.Client(base_url=gateway, timeout=60) as http:
                measure_submission(http)
                measure_progress(sessions, http)
            engine.dispose()


if __name__ == "__main__":
    main()
