"""How long the gateway takes to answer what pages ask for: `python -m tests.benchmarks.pages [--tracks N]`.

Of synthetic tracks, each with a prediction of a model with fifty labels, of which it has three on average.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import httpx
from alembic import command
from sqlalchemy import create_engine, text

from api.main import create_app
from core.local import SERVERS_ONLY, local_stack
from core.services.kinds import register_kinds
from core.settings import Settings
from tests.conftest import alembic_config, stack_settings
from tests.integration.api.gateway import running

REPEATS = 20
LABELS = [f"label {number}" for number in range(50)]
FILL = (
    "DROP INDEX ix_tracks_words",
    """INSERT INTO libraries (id, name, path) SELECT gen_random_uuid(), 'library ' || n, '/music/' || n
       FROM generate_series(0, 2) AS n""",
    "INSERT INTO encoders (sha256) VALUES ('e')",
    """INSERT INTO models (name, version, kind, labels, thresholds, embedding_size, artifact_url, sha256,
                           encoder_id, metrics)
       SELECT 'synthetic', 1, 'musicnn', CAST(:labels AS text[]), array_fill(0.1::real, '{50}'), 4,
              'file:///x', 'e', id, '{}' FROM encoders""",
    "INSERT INTO model_aliases (alias, model_id) SELECT 'default', id FROM models",
    """INSERT INTO tracks (library_id, path, size, mtime_ns, content_hash, tags, missing_at)
       SELECT (SELECT array_agg(id ORDER BY name) FROM libraries)[1 + n % 3],
              'Artist ' || n / 100 || '/Album ' || n / 10 || '/' || n % 10 || ' Song of ' || md5(n::text)
                  || (ARRAY['.mp3', '.mp3', '.flac', '.m4a', '.ogg'])[1 + n % 5],
              5000000, n, sha256((n - n % 50 / 49)::text::bytea),
              jsonb_build_object('title', 'Song of ' || md5(n::text), 'artist', 'Artist ' || n / 100,
                                 'date', 1960 + n % 60 || '-01-01'),
              CASE WHEN n % 1000 = 7 THEN now() END
       FROM generate_series(1, :tracks) AS n""",
    """INSERT INTO predictions (content_hash, model_id, coverage, duration_s, scores)
       SELECT content_hash, (SELECT id FROM models), 'full', 240, array_fill(0.05::real, '{50}')
       FROM (SELECT DISTINCT content_hash FROM tracks) AS audio""",
    """INSERT INTO prediction_labels (content_hash, model_id, label, score)
       SELECT content_hash, model_id, 'label ' || place, 0.1 + 0.9 * random()
       FROM predictions, LATERAL (SELECT DISTINCT floor(50 * power(random(), 2))::int AS place
                                  FROM generate_series(1, 3) WHERE content_hash IS NOT NULL) AS drawn""",
    """INSERT INTO correction_changes (id, author, origin) VALUES (gen_random_uuid(), 'local', 'track')""",
    """INSERT INTO corrections (content_hash, label, label_key, verdict, change_id)
       SELECT content_hash, 'label 1', 'label 1',
              (ARRAY['yes', 'no', 'unsure'])[1 + row_number() OVER () % 3],
              (SELECT id FROM correction_changes) FROM predictions LIMIT :tracks / 100""",
    "CREATE INDEX ix_tracks_words ON tracks USING gin (track_words(path, tags))",
    "VACUUM ANALYZE",
)
REQUESTS = {
    "first page": "/tracks?limit=100",
    "page of a label": "/tracks?genre=label+3&min_score=0.5&limit=100",
    "words, many": "/tracks?text=song+artist&limit=100",
    "words, few": "/tracks?text=artist+123&limit=100",
    "words, one": "/tracks?text=d41d8cd9&limit=100",
    "facets of all": "/tracks/facets",
    "facets of a library": "/tracks/facets?library=library+1",
    "facets of a label": "/tracks/facets?genre=label+3",
    "facets of two labels": "/tracks/facets?genre=label+3&genre=label+20",
    "facets of a rare label": "/tracks/facets?genre=label+49&not_genre=label+1",
    "facets of words, few": "/tracks/facets?text=artist+123",
    "facets of a year": "/tracks/facets?year=1984",
    "facets of corrected tracks": "/tracks/facets?corrected=true",
    "facets of missing tracks": "/tracks/facets?missing=true",
    "system": "/system",
}


def fill(url: str, tracks: int) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in FILL:
            start = time.perf_counter()
            connection.execute(text(statement), {"tracks": tracks, "labels": LABELS})
            print(f"{time.perf_counter() - start:7.1f} s  {' '.join(statement.split())[:60]}", flush=True)
    engine.dispose()


def measure(url: str, path: str, repeats: int) -> tuple[float, float]:
    """Median and 95th percentile of the milliseconds until the whole answer is there."""
    took_ms = []
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
        http.get(f"/api/v1{path}").raise_for_status()
        for _ in range(repeats):
            start = time.perf_counter()
            http.get(f"/api/v1{path}").raise_for_status()
            took_ms.append(1000 * (time.perf_counter() - start))
    return statistics.median(took_ms), sorted(took_ms)[int(0.95 * (repeats - 1))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    arguments = parser.parse_args()
    register_kinds()
    with (
        tempfile.TemporaryDirectory(prefix="mfa-pages-") as folder,
        local_stack(stack_settings(Path(folder)), SERVERS_ONLY) as stack,
    ):
        command.upgrade(alembic_config(stack.database_url), "head")
        fill(stack.database_url, arguments.tracks)
        settings = Settings(
            database_url=stack.database_url,
            broker_url=stack.broker_url,
            data_dir=Path(folder),
            host="127.0.0.1",
        )
        with running(create_app(settings)) as url:
            for name, path in REQUESTS.items():
                median_ms, most_ms = measure(url, path, REPEATS)
                print(f"{name:<28} {median_ms:7.1f} ms, p95 {most_ms:7.1f} ms", flush=True)


if __name__ == "__main__":
    main()
