"""The migrations build what the tables say, and can be taken back."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text

from core.store.registry import EMBEDDING_INDEX_PREFIX
from core.store.session import create_database_engine, create_session_factory, transaction
from tests.conftest import alembic_config, create_database


@pytest.fixture(scope="module")
def url(postgres_url: str) -> str:
    """Address of a database of its own, empty."""
    return create_database(postgres_url, "migrations")


@pytest.fixture
def config(url: str) -> Config:
    return alembic_config(url)


def tables_of(url: str) -> set[str]:
    engine = create_engine(url)
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return names


def functions_of(url: str) -> list[str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        query = "SELECT proname FROM pg_proc WHERE proname = 'check_transition'"
        names = list(connection.scalars(text(query)))
    engine.dispose()
    return names


def test_the_migrations_go_up_down_and_up_again(url, config):
    command.upgrade(config, "head")
    command.check(config)  # raises when the tables in the code say something else
    assert "job_units" in tables_of(url)
    command.downgrade(config, "base")
    assert tables_of(url) == {"alembic_version"}
    assert functions_of(url) == []
    command.upgrade(config, "head")
    command.check(config)


MODELS_OF_BEFORE = """
    INSERT INTO models (name, version, kind, labels, thresholds, embedding_size, artifact_url, sha256,
                        encoder_sha256, metrics)
    SELECT name, 1, 'musicnn', '{rock}', '{0.5}', 2, 'file:///', name, encoder, '{}'
    FROM (VALUES ('backbone', 'b'), ('head', 'b'), ('other', 'o')) AS new (name, encoder)
"""
PREDICTIONS_OF_BEFORE = """
    INSERT INTO predictions (content_hash, model_id, coverage, duration_s, scores, embedding)
    SELECT 'song', id, CASE name WHEN 'head' THEN 'full' ELSE 'windows:2' END, 9, '{0.5}',
           CASE name WHEN 'head' THEN '[1,2]' ELSE '[3,4]' END::vector
    FROM models
"""
EMBEDDINGS = """
    SELECT sha256, coverage, vector::text
    FROM embeddings JOIN encoders ON encoders.id = encoder_id ORDER BY 1
"""
PREDICTIONS = """
    SELECT name, embedding::text, encoder_sha256
    FROM predictions JOIN models ON models.id = model_id ORDER BY 1
"""


def test_embeddings_of_models_with_one_encoder_become_one_embedding_and_back(url, config):
    command.downgrade(config, "base")
    command.upgrade(config, "0002")
    engine = create_database_engine(url)
    with engine.begin() as connection:
        connection.execute(text(MODELS_OF_BEFORE))
        connection.execute(text(PREDICTIONS_OF_BEFORE))
    command.upgrade(config, "head")
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(EMBEDDINGS))]
    assert found == [("b", "full", "[1,2]"), ("o", "windows:2", "[3,4]")]
    command.downgrade(config, "0002")
    with engine.connect() as connection:
        kept = [tuple(row) for row in connection.execute(text(PREDICTIONS))]
    engine.dispose()
    assert kept == [("backbone", "[1,2]", "b"), ("head", "[1,2]", "b"), ("other", "[3,4]", "o")]
    command.downgrade(config, "base")


ITEMS_OF_BEFORE = """
    WITH library AS (
        INSERT INTO libraries (id, name, path) VALUES (gen_random_uuid(), 'l', '/l') RETURNING id
    ), job AS (
        INSERT INTO jobs (id, kind, owner, params, library_id, state, total)
        SELECT gen_random_uuid(), 'analysis', 'x', '{}', id, 'succeeded', 4 FROM library RETURNING id
    ), unit AS (
        INSERT INTO job_units
            (job_id, seq, kind, queue, state, payload, attempt, crash_count, done, failed, skipped)
        SELECT id, 1, 'analyse', 'batch', 'done', '{}', 1, 0, 1, 3, 0 FROM job RETURNING id, job_id
    ), track AS (
        INSERT INTO tracks (library_id, path, size, mtime_ns, content_hash)
        SELECT id, path, size, size, hash FROM library, (VALUES
            ('link.mp3', 0, NULL::bytea), ('folder', 0, NULL), ('a.mp3', 9, 'song'), ('bad.mp3', 9, NULL),
            ('of a deleted job', 0, NULL)
        ) AS new (path, size, hash) RETURNING id, path
    )
    INSERT INTO job_items (unit_id, pos, job_id, track_id, state, error_code)
    SELECT unit.id, pos, job_id, track.id, state, code FROM unit, track JOIN (VALUES
        ('link.mp3', 0, 'failed', 'outside_library'), ('folder', 1, 'failed', 'unreadable'),
        ('a.mp3', 2, 'done', NULL), ('bad.mp3', 3, 'failed', 'unreadable')
    ) AS item (path, pos, state, code) USING (path)
"""
ITEMS = """
    SELECT job_items.path, tracks.path, state
    FROM job_items LEFT JOIN tracks ON tracks.id = track_id ORDER BY pos
"""


def test_what_was_no_track_is_an_item_with_a_path_and_back(url, config):
    command.downgrade(config, "base")
    command.upgrade(config, "0006")
    engine = create_database_engine(url)
    with engine.begin() as connection:
        connection.execute(text(ITEMS_OF_BEFORE))
    command.upgrade(config, "0009")
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(ITEMS))]
        tracks = list(connection.scalars(text("SELECT path FROM tracks ORDER BY path")))
    assert found == [
        ("link.mp3", None, "failed"),
        ("folder", None, "failed"),
        (None, "a.mp3", "done"),
        (None, "bad.mp3", "failed"),
    ]
    assert tracks == ["a.mp3", "bad.mp3"]
    command.downgrade(config, "0006")
    with engine.connect() as connection:
        query = "SELECT path FROM job_items JOIN tracks ON tracks.id = track_id ORDER BY pos"
        assert list(connection.scalars(text(query))) == ["link.mp3", "folder", "a.mp3", "bad.mp3"]
    engine.dispose()
    command.downgrade(config, "base")


def test_the_index_that_comes_with_a_model_is_no_difference(url, config):
    command.upgrade(config, "head")
    engine = create_database_engine(url)
    with transaction(create_session_factory(engine)) as session:
        session.execute(
            text(
                f"CREATE INDEX {EMBEDDING_INDEX_PREFIX}1 ON embeddings "
                "USING hnsw ((vector::vector(3)) vector_cosine_ops) WHERE encoder_id = 1"
            )
        )
    engine.dispose()
    command.check(config)


LOOKS_AT_ITS_LIMITS = """
from alembic import op

revision, down_revision = "0001", None


def upgrade():
    op.execute("CREATE TABLE limits AS SELECT current_setting('statement_timeout') AS statement, "
               "current_setting('lock_timeout') AS lock")
"""


def test_a_migration_may_take_long_but_not_wait_long_for_a_lock(postgres_url, tmp_path: Path):
    (tmp_path / "0001_limits.py").write_text(LOOKS_AT_ITS_LIMITS)
    address = create_database(postgres_url, "limits")
    config = alembic_config(address)
    config.set_main_option("version_locations", str(tmp_path))
    command.upgrade(config, "head")
    engine = create_database_engine(address)
    with engine.connect() as connection:
        migrations = connection.execute(text("SELECT statement, lock FROM limits")).one()
        others = connection.execute(
            text("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
        ).one()
    engine.dispose()
    assert tuple(migrations) == ("0", others[1])
    assert "0" not in tuple(others)


JOBS_OF_BEFORE = """
    INSERT INTO jobs (id, kind, owner, params, state, total, idempotency_key, request_hash)
    SELECT gen_random_uuid(), kind, 'x', params::jsonb, 'succeeded', 1, key, key::bytea FROM (VALUES
        ('tuning', 'a', '{"thresholds": {"model": "mine", "beta": 2, "min_precision": null}}'),
        ('tuning', 'b', '{"study": {"study_name": "thresholds"}}'),
        ('tuning', 'c', '{"resume": "s", "n_trials": 3}'),
        ('training', 'd', '{"experiment": {}}')
    ) AS new (kind, key, params)
"""
JOBS = "SELECT kind, params, request_hash FROM jobs ORDER BY idempotency_key"


def test_jobs_that_tune_thresholds_become_a_kind_of_their_own_and_back(url, config):
    command.downgrade(config, "base")
    command.upgrade(config, "0011")
    engine = create_database_engine(url)
    with engine.begin() as connection:
        connection.execute(text(JOBS_OF_BEFORE))
        before = [tuple(row) for row in connection.execute(text(JOBS))]
    command.upgrade(config, "0012")
    with engine.connect() as connection:
        after = [tuple(row) for row in connection.execute(text(JOBS))]
    assert after == [("thresholds", {"model": "mine", "beta": 2, "min_precision": None}, b"a"), *before[1:]]
    command.downgrade(config, "0011")
    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(text(JOBS))] == before
    engine.dispose()
    command.downgrade(config, "base")


STUDY_OF_BEFORE = """
    WITH job AS (
        INSERT INTO jobs (id, kind, owner, params, state, total)
        VALUES (gen_random_uuid(), 'tuning', 'x', '{}', 'running', 4) RETURNING id
    ), study AS (
        INSERT INTO studies (id, name, config, job_id)
        SELECT '11111111-1111-1111-1111-111111111111', 's', '{}', id FROM job RETURNING id, job_id
    )
    INSERT INTO trials (study_id, job_id, number, optuna_number, state, params, "values", curve)
    SELECT id, job_id, number, optuna, state, params::jsonb, value, curve::jsonb FROM study, (VALUES
        (0, 1, 'complete', '{"lr": 0.1}', ARRAY[0.5::float],
         '[{"fold": null, "epoch": 1, "validation_loss": 0.4}]'),
        (1, 0, 'running', '{"lr": 0.2}', NULL, '[{"fold": 2, "epoch": 1}, {"fold": null, "epoch": 1}]'),
        (2, 2, 'running', '{"lr": 0.3}', NULL, '[]'),
        (3, NULL, 'waiting', NULL, NULL, '[]')
    ) AS new (number, optuna, state, params, value, curve)
"""
# As Optuna has made them, as far as the migration reads them: it knew the end of the trial that we call 1.
OPTUNA_OF_BEFORE = """
    CREATE TYPE optuna.trialstate AS ENUM ('RUNNING', 'COMPLETE', 'PRUNED', 'FAIL', 'WAITING');
    CREATE TABLE optuna.studies (study_id int, study_name text);
    CREATE TABLE optuna.trials (
        trial_id int, study_id int, number int, state optuna.trialstate, datetime_complete timestamp
    );
    CREATE TABLE optuna.trial_values (trial_id int, objective int, value float);
    INSERT INTO optuna.studies VALUES (7, '11111111-1111-1111-1111-111111111111');
    INSERT INTO optuna.trials VALUES (70, 7, 0, 'COMPLETE', now()), (71, 7, 1, 'COMPLETE', now()),
        (72, 7, 2, 'RUNNING', NULL);
    INSERT INTO optuna.trial_values VALUES (70, 1, 0.7), (70, 0, 0.6);
"""
TRIALS = """
    SELECT number, state, params ->> 'lr', "values" FROM {table} WHERE study_id IS NOT NULL ORDER BY number
"""
CURVES = """
    SELECT number, fold, epoch, epochs.metrics ->> 'validation_loss'
    FROM epochs JOIN runs ON runs.id = run_id ORDER BY number, fold
"""


def test_trials_become_runs_with_their_curves_and_what_only_optuna_knew_and_back(url, config):
    command.downgrade(config, "base")
    command.upgrade(config, "0011")
    engine = create_database_engine(url)
    with engine.begin() as connection:
        connection.execute(text(STUDY_OF_BEFORE))
        for statement in OPTUNA_OF_BEFORE.split(";")[:-1]:
            connection.execute(text(statement))
    command.upgrade(config, "head")
    with engine.connect() as connection:
        trials = [tuple(row) for row in connection.execute(text(TRIALS.format(table="runs")))]
        curves = [tuple(row) for row in connection.execute(text(CURVES))]
        assert connection.scalar(text("SELECT to_regnamespace('optuna')")) is None
    ended = [(0, "complete", "0.1", [0.5]), (1, "complete", "0.2", [0.6, 0.7])]
    assert trials == [*ended, (2, "running", "0.3", None), (3, "waiting", None, None)]
    assert curves == [(0, 0, 1, "0.4"), (1, 0, 1, None), (1, 2, 1, None)]
    command.downgrade(config, "0011")
    with engine.connect() as connection:
        back = [tuple(row) for row in connection.execute(text(TRIALS.format(table="trials")))]
        sizes = connection.scalars(text("SELECT jsonb_array_length(curve) FROM trials ORDER BY number")).all()
    engine.dispose()
    assert back == [*ended, (2, "waiting", None, None), (3, "waiting", None, None)]
    assert sizes == [1, 2, 0, 0]
    command.downgrade(config, "base")


STUDIES_AND_TRAININGS_OF_BEFORE = """
    INSERT INTO studies (id, name, config) SELECT gen_random_uuid(), name, config::jsonb FROM (VALUES
        ('cnn', '{"experiment": {"model": {"kind": "audio_cnn"}, "split": {"folds": 3}}}'),
        ('crnn', '{"experiment": {"model": {"kind": "crnn"}, "evaluation": {"calibration": null}}}'),
        ('head', '{"experiment": {"model": {"kind": "transfer"}, "split": {"folds": null, "test": 0.2}}}')
    ) AS new (name, config);
    INSERT INTO jobs (id, kind, owner, params, state, total)
    SELECT gen_random_uuid(), 'training', 'x', params::jsonb, 'succeeded', 1 FROM (VALUES
        ('{"experiment": {"model": {"kind": "audio_cnn", "single_label": true}, "split": {"folds": 4}}}'),
        ('{"experiment": {"model": {"kind": "crnn"}, "split": {"folds": null, "seed": 0}}}')
    ) AS new (params)
"""
STUDIES = "SELECT config -> 'experiment' FROM studies ORDER BY name"
TRAININGS = "SELECT params -> 'experiment' FROM jobs ORDER BY params #>> '{experiment,model,kind}'"


def test_studies_and_trainings_keep_the_defaults_they_were_made_with_and_back(url, config):
    command.downgrade(config, "base")
    command.upgrade(config, "0014")
    engine = create_database_engine(url)
    with engine.begin() as connection:
        for statement in STUDIES_AND_TRAININGS_OF_BEFORE.split(";"):
            connection.execute(text(statement))
    command.upgrade(config, "0015")
    with engine.connect() as connection:
        cnn, crnn, head = connection.scalars(text(STUDIES))
        trainings = list(connection.scalars(text(TRAININGS)))
    assert cnn == {
        "model": {"kind": "audio_cnn", "single_label": True},
        "split": {"folds": 3, "seed": 0},
        "training": {"patches_per_track": 1},
        "evaluation": {"calibration": "platt"},
    }
    assert crnn["model"] == {"kind": "crnn", "single_label": False}
    assert crnn["evaluation"] == {"calibration": None}
    assert head["model"] == {"kind": "transfer", "head": "linear", "single_label": False}
    assert head["split"] == {"folds": 1, "seed": 0, "test": 0.2}
    assert trainings == [
        {"model": {"kind": "audio_cnn", "single_label": True}, "split": {"folds": 4}},
        {"model": {"kind": "crnn", "single_label": False}, "split": {"folds": 1, "seed": 0}},
    ]
    command.downgrade(config, "0014")
    with engine.connect() as connection:
        head = connection.scalars(text(STUDIES)).all()[2]
        trainings = list(connection.scalars(text(TRAININGS)))
    engine.dispose()
    assert head["model"] == {"kind": "transfer", "head": "linear"}
    assert head["split"] == {"seed": 0, "test": 0.2}
    assert trainings[1] == {"model": {"kind": "crnn"}, "split": {"seed": 0}}
    command.downgrade(config, "base")
