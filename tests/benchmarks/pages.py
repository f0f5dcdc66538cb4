"""How long the gateway takes to answer what pages ask for: `python -m tests.benchmarks.pages [--tracks N]`.

Of synthetic tracks, each with a prediction of a model with fifty labels, of which it has three on average.
"""

import argparse
import logging
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import psutil
from alembic import command
from sqlalchemy import create_engine, text

from api.main import create_app
from core.local import SERVERS_ONLY, Stack, local_stack
from core.services.kinds import register_kinds
from core.settings import Settings
from tests.browser.pages import PAGES as EVERY_PAGE
from tests.conftest import alembic_config, stack_settings
from tests.integration.api.gateway import running

MOST_MS = 100
REPEATS = 20
LABELS = [f"label {number}" for number in range(50)]
UNITS = 20_000  # of the job that is looked at, with all tracks as its items
LIBRARIES = (
    """INSERT INTO libraries (id, name, path) SELECT gen_random_uuid(), 'library ' || n, '/music/' || n
       FROM generate_series(0, 2) AS n""",
    "INSERT INTO encoders (sha256) VALUES ('e')",
    """INSERT INTO models (name, version, kind, labels, thresholds, embedding_size, artifact_url, sha256,
                           encoder_id, metrics)
       SELECT 'synthetic', 1, 'musicnn', CAST(:labels AS text[]), array_fill(0.1::real, '{50}'), 4,
              'file:///x', 'e', id, '{}' FROM encoders""",
    "INSERT INTO model_aliases (alias, model_id) SELECT 'default', id FROM models",
)
# One in fifty tracks has the audio of another one, one in a thousand is missing. Most have one to three
# labels, some of which are far more frequent than others.
TRACKS = (
    """INSERT INTO tracks (library_id, path, size, mtime_ns, content_hash, tags, missing_at)
       SELECT (SELECT array_agg(id ORDER BY name) FROM libraries)[1 + n % 3],
              'Artist ' || n / 100 || '/Album ' || n / 10 || '/' || n % 10 || ' Song of ' || md5(n::text)
                  || (ARRAY['.mp3', '.mp3', '.flac', '.m4a', '.ogg'])[1 + n % 5],
              5000000, 1700000000000000000 + n * 1000000000::bigint, sha256((n - n % 50 / 49)::text::bytea),
              jsonb_build_object('title', 'Song of ' || md5(n::text), 'artist', 'Artist ' || n / 100,
                                 'date', 1960 + n / 10 % 60 || '-01-01'),
              CASE WHEN n % 1000 = 7 THEN now() END
       FROM generate_series(1, :tracks) AS n""",
    """INSERT INTO track_counts (library_id, present, missing)
       SELECT library_id, count(*) - count(missing_at), count(missing_at) FROM tracks GROUP BY library_id""",
    """INSERT INTO predictions (content_hash, model_id, coverage, duration_s, scores)
       SELECT content_hash, (SELECT id FROM models), 'full', 60 + 400 * random(),
              array_fill(0.05::real, '{50}')
       FROM (SELECT DISTINCT content_hash FROM tracks) AS audio""",
    """INSERT INTO prediction_labels (content_hash, model_id, label, score)
       SELECT content_hash, model_id, 'label ' || place, 0.1 + 0.9 * random()
       FROM predictions, LATERAL (SELECT DISTINCT floor(49 * power(random(), 2))::int AS place
                                  FROM generate_series(1, 3) WHERE content_hash IS NOT NULL) AS drawn
       WHERE get_byte(content_hash, 0) % 10 > 0""",
    """INSERT INTO prediction_labels (content_hash, model_id, label, score)
       SELECT content_hash, model_id, 'label 49', 0.9 FROM predictions ORDER BY content_hash LIMIT 50""",
    """INSERT INTO correction_changes (id, author, origin) VALUES (gen_random_uuid(), 'local', 'track')""",
    """INSERT INTO corrections (content_hash, label, label_key, verdict, change_id)
       SELECT content_hash, 'label 1', 'label 1',
              (ARRAY['yes', 'no', 'unsure'])[1 + row_number() OVER () % 3],
              (SELECT id FROM correction_changes) FROM predictions LIMIT :tracks / 100""",
    """INSERT INTO jobs (id, kind, owner, params, library_id, model_id, state, total, started_at)
       SELECT gen_random_uuid(), 'analysis', 'local', '{"library": "library 1"}', libraries.id, models.id,
              'running', :tracks, now() FROM libraries, models WHERE libraries.name = 'library 1'""",
    "SET session_replication_role = origin",  # its triggers count what units have done
    """INSERT INTO job_units (job_id, seq, kind, queue, state, payload, attempt, crash_count, done, failed,
                              skipped, timings, started_at, finished_at)
       SELECT jobs.id, seq, 'analyse', 'batch', CASE WHEN seq % 2 = 0 THEN 'done' ELSE 'ready' END, '{}', 1,
              0,
              CASE WHEN seq % 2 = 0 THEN :tracks / :units - 1 ELSE 0 END,
              CASE WHEN seq % 2 = 0 THEN 1 ELSE 0 END, 0,
              CASE WHEN seq % 2 = 0 THEN '{"decode": 20.5, "model": 20.5}' ELSE '{}' END::jsonb,
              CASE WHEN seq % 2 = 0 THEN now() END, CASE WHEN seq % 2 = 0 THEN now() END
       FROM jobs, generate_series(1, :units) AS seq""",
    "SET session_replication_role = replica",
    """INSERT INTO job_items (unit_id, pos, job_id, track_id, state, error_code, error_detail, content_hash)
       SELECT units.id, numbered.n / :units, units.job_id, numbered.id,
              CASE WHEN units.state = 'ready' THEN 'pending' WHEN numbered.n < :units THEN 'failed'
                   ELSE 'done' END,
              CASE WHEN units.state = 'done' AND numbered.n < :units THEN 'decode_error' END,
              CASE WHEN units.state = 'done' AND numbered.n < :units THEN 'It cannot be decoded.' END,
              CASE WHEN units.state = 'done' AND numbered.n >= :units THEN numbered.content_hash END
       FROM (SELECT id, content_hash, row_number() OVER () - 1 AS n FROM tracks) AS numbered
       JOIN job_units AS units ON units.seq = 1 + numbered.n % :units""",
)
PLAIN_INDEXES = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    WHERE NOT indisunique AND indrelid IN ('tracks'::regclass, 'predictions'::regclass,
                                           'prediction_labels'::regclass, 'job_items'::regclass)"""
LISTS = {
    "first page": "/tracks?limit=100",
    "tracks by path": "/tracks?sort=path&limit=100",
    "tracks by date": "/tracks?sort=date&limit=100",
    "tracks by duration": "/tracks?sort=duration&limit=100",
    "tracks of a library by path": "/tracks?library=library+1&sort=path&limit=100",
    "missing tracks": "/tracks?missing=true&limit=100",
    "corrected tracks": "/tracks?corrected=true&limit=100",
    "corrected tracks by path": "/tracks?corrected=true&sort=path&limit=100",
    "unsure tracks by path": "/tracks?unsure=true&sort=path&limit=100",
    "tracks of a year by path": "/tracks?year=1984&sort=path&limit=100",
    "page of a label": "/tracks?genre=label+3&limit=100",
    "page of a label, score range": "/tracks?genre=label+3&min_score=0.5&max_score=0.6&limit=100",
    "page of a label, every score": "/tracks?genre=label+3&min_score=0&limit=100",
    "page of a label by path": "/tracks?genre=label+3&sort=path&limit=100",
    "page of two labels": "/tracks?genre=label+3&genre=label+20&limit=100",
    "page of two labels by path": "/tracks?genre=label+3&genre=label+20&sort=path&limit=100",
    "page of one label without another": "/tracks?genre=label+3&not_genre=label+20&limit=100",
    "page of a rare label": "/tracks?genre=label+49&limit=100",
    "page of a rare label by path": "/tracks?genre=label+49&sort=path&limit=100",
    "page of a label by duration": "/tracks?genre=label+3&sort=duration&limit=100",
    "page of a rare label by duration": "/tracks?genre=label+49&sort=duration&limit=100",
    "page of a rare label by date": "/tracks?genre=label+49&sort=date&limit=100",
    "page of a less common label by path": "/tracks?genre=label+48&sort=path&limit=100",
    "words, many": "/tracks?text=song+artist&limit=100",
    "words, many, by duration": "/tracks?text=song+artist&sort=duration&limit=100",
    "words, many, by path": "/tracks?text=song+artist&sort=path&limit=100",
    "words, some": "/tracks?text=artist+123&limit=100",
    "words, some, by path": "/tracks?text=artist+123&sort=path&limit=100",
    "words, few": "/tracks?text=d41d&limit=100",
    "words, none": "/tracks?text=song+nothing&limit=100",
    "facets of all": "/tracks/facets",
    "facets of a library": "/tracks/facets?library=library+1",
    "facets of a label": "/tracks/facets?genre=label+3",
    "facets of two labels": "/tracks/facets?genre=label+3&genre=label+20",
    "facets of a rare label": "/tracks/facets?genre=label+49&not_genre=label+1",
    "facets of a less common label": "/tracks/facets?genre=label+48",
    "facets of words, many": "/tracks/facets?text=song+artist",
    "facets of words, some": "/tracks/facets?text=artist+123",
    "facets of words, none": "/tracks/facets?text=song+nothing",
    "facets of a suffix": "/tracks/facets?suffix=.ogg",
    "facets of a year": "/tracks/facets?year=1984",
    "facets of corrected tracks": "/tracks/facets?corrected=true",
    "facets of unsure tracks": "/tracks/facets?unsure=true",
    "facets of missing tracks": "/tracks/facets?missing=true",
    "a track": "/tracks/{track}",
    "libraries": "/libraries",
    "jobs": "/jobs",
    "a job of 20,000 units": "/jobs/{job}",
    "its activity": "/jobs/{job}/activity",
    "its failures": "/jobs/{job}/failures",
    "its items": "/jobs/{job}/items?limit=100",
    "its failed items": "/jobs/{job}/items?state=failed&limit=100",
    "its items of a code": "/jobs/{job}/items?code=decode_error&limit=100",
    "review": "/review?n=10",
    "corrections": "/corrections",
    "models": "/models",
    "system": "/system",
}
PAGES = {
    "job page": "jobs/{job}",
    "track page": "tracks/{track}",
    "library page, of a label": "library?genre=label+3",
    "library page, of a rare label by path": "library?genre=label+49&sort=path",
    "library page, of corrected tracks": "library?corrected=true",
    **{
        f"page: {page.name}": page.address
        for page in EVERY_PAGE
        if isinstance(page.address, str) and page.name not in ("problem", "found")  # of labels like `rock`
    },
}


def fill(url: str, tracks: int) -> None:
    """Seed the database; without indexes and without checks of foreign keys until the rows are there."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SET synchronous_commit = off"))
        connection.execute(text("SET work_mem = '128MB'"))
        connection.execute(text("SET maintenance_work_mem = '512MB'"))
        connection.execute(text("SET session_replication_role = replica"))
        values = {"tracks": tracks, "units": UNITS, "labels": LABELS}
        indexes = connection.execute(text(PLAIN_INDEXES)).all()
        statements = [
            *LIBRARIES,
            *(f"DROP INDEX {name}" for name, _ in indexes),
            *TRACKS,
            *(definition for _, definition in indexes),
            "VACUUM ANALYZE",
        ]
        for statement in statements:
            start = time.perf_counter()
            connection.execute(text(statement), values)
            took_s = time.perf_counter() - start
            if took_s > 1:
                print(f"{took_s:7.1f} s  {' '.join(statement.split())[:80]}", flush=True)
    engine.dispose()


@dataclass(frozen=True)
class Gateway:
    """A gateway in a process of its own, and the servers that it asks."""

    url: str
    processes: tuple[psutil.Process, ...]

    def cpu_s(self) -> float:
        """Processor seconds of all of them so far, also of those connections that have ended."""
        known = [process.cpu_times() for top in self.processes for process in [top, *top.children(True)]]
        return float(sum(times.user + times.system for times in known))


@contextmanager
def serving(stack: Stack, data_dir: Path) -> Iterator[Gateway]:
    settings = stack_settings(data_dir).model_copy(
        update={"database_url": stack.database_url, "broker_url": stack.broker_url, "log_level": "WARNING"}
    )
    here, there = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=serve, args=(settings, there))
    process.start()
    yield Gateway(here.recv(), (psutil.Process(process.pid), psutil.Process(stack.supervisor.pid)))
    here.send("end")
    process.join()


def serve(settings: Settings, connection: Connection) -> None:
    register_kinds()
    with running(create_app(settings)) as url:
        connection.send(url)
        connection.recv()


@dataclass(frozen=True)
class Measured:
    median_ms: float  # until the whole answer is there
    p95_ms: float
    cpu_ms: float  # of gateway and servers together
    size: int  # bytes


def measure(gateway: Gateway, http: httpx.Client, path: str) -> Measured:
    http.get(path).raise_for_status()
    took_ms = []
    cpu_s = gateway.cpu_s()
    for _ in range(REPEATS):
        start = time.perf_counter()
        answer = http.get(path).raise_for_status()
        took_ms.append(1000 * (time.perf_counter() - start))
    cpu_ms = 1000 * (gateway.cpu_s() - cpu_s) / REPEATS
    p95_ms = sorted(took_ms)[math.ceil(0.95 * REPEATS) - 1]
    return Measured(statistics.median(took_ms), p95_ms, cpu_ms, len(answer.content))


def measure_all(gateway: Gateway, only: str = "") -> int:
    """How many answers are late (a p95 above `MOST_MS`) or none."""
    late = 0
    with httpx.Client(base_url=gateway.url, timeout=60, trust_env=False) as http:

        def first(noun: str) -> str:
            found = http.get(f"/api/v1/{noun}", params={"limit": 1}).raise_for_status().json()
            return str(found["items"][0]["id"])

        ids = {"job": first("jobs"), "track": first("tracks")}
        print(f"{'':<44}  median     p95  processor")
        for name, path in [*LISTS.items(), *PAGES.items()]:
            if only not in name:
                continue
            address = f"/api/v1{path}" if path.startswith("/") else f"/{path}"
            try:
                found = measure(gateway, http, address.format(**ids))
            except httpx.HTTPError as error:
                late += 1
                print(f"{name:<44} {error}", flush=True)
                continue
            is_late = found.p95_ms > MOST_MS
            late += is_late
            print(
                f"{name:<44} {found.median_ms:7.1f} {found.p95_ms:7.1f} {found.cpu_ms:7.1f} ms"
                f" {found.size / 1000:6.1f} kB{'  late' if is_late else ''}",
                flush=True,
            )
    return late


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--only", default="", help="part of the names of what is measured")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    register_kinds()
    with (
        tempfile.TemporaryDirectory(prefix="mfa-pages-") as folder,
        local_stack(stack_settings(Path(folder)), SERVERS_ONLY) as stack,
    ):
        command.upgrade(alembic_config(stack.database_url), "head")
        fill(stack.database_url, arguments.tracks)
        with serving(stack, Path(folder)) as gateway:
            late = measure_all(gateway, arguments.only)
        print(f"load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores")
        print(f"{late} of these answers are late: above {MOST_MS} ms in more than one of {REPEATS} requests")


if __name__ == "__main__":
    main()
