"""initial"""

import pgvector.sqlalchemy
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


# Terminal states absorb and no state is skipped, whoever writes.
CHECK_TRANSITION = """
CREATE FUNCTION check_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (OLD.state || '>' || NEW.state = ANY (TG_ARGV)) THEN
        RAISE EXCEPTION 'no transition from % to % in %', OLD.state, NEW.state, TG_TABLE_NAME
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""
TRANSITIONS = {
    "jobs": [
        "queued>running", "queued>cancelling", "queued>cancelled", "queued>failed",
        "running>succeeded", "running>failed", "running>cancelling", "running>cancelled",
        "cancelling>cancelled",
    ],
    "job_units": [
        "ready>dispatched", "ready>running", "ready>cancelled",
        "dispatched>ready", "dispatched>running", "dispatched>cancelled",
        "running>ready", "running>done", "running>failed", "running>cancelled",
    ],
}


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.create_table('api_keys',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('prefix', sa.Text(), nullable=False),
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('scopes', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_api_keys')),
    sa.UniqueConstraint('prefix', name=op.f('uq_api_keys_prefix'))
    )
    op.create_table('libraries',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('path', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_libraries')),
    sa.UniqueConstraint('name', name=op.f('uq_libraries_name'))
    )
    op.create_table('models',
    sa.Column('id', sa.Integer(), sa.Identity(always=False), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('labels', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('thresholds', sa.ARRAY(sa.REAL()), nullable=False),
    sa.Column('embedding_size', sa.Integer(), nullable=False),
    sa.Column('artifact_url', sa.Text(), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.Column('metrics', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_models')),
    sa.UniqueConstraint('name', 'version', name=op.f('uq_models_name_version'))
    )
    op.create_table('workers',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('queues', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('slots', sa.Integer(), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('beat_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('draining', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_workers'))
    )
    op.create_table('jobs',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('owner', sa.Text(), nullable=False),
    sa.Column('idempotency_key', sa.Text(), nullable=True),
    sa.Column('request_hash', sa.LargeBinary(), nullable=True),
    sa.Column('params', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('library_id', sa.Uuid(), nullable=True),
    sa.Column('model_id', sa.Integer(), nullable=True),
    sa.Column('retry_of', sa.Uuid(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('total', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('result', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('error_code', sa.Text(), nullable=True),
    sa.Column('error_detail', sa.Text(), nullable=True),
    sa.CheckConstraint("state IN ('queued', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled')", name=op.f('ck_jobs_state')),
    sa.ForeignKeyConstraint(['library_id'], ['libraries.id'], name=op.f('fk_jobs_library_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['model_id'], ['models.id'], name=op.f('fk_jobs_model_id')),
    sa.ForeignKeyConstraint(['retry_of'], ['jobs.id'], name=op.f('fk_jobs_retry_of'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_jobs')),
    sa.UniqueConstraint('owner', 'idempotency_key', name=op.f('uq_jobs_owner_idempotency_key'))
    )
    op.create_index('ix_jobs_created_at_id', 'jobs', ['created_at', 'id'], unique=False)
    op.create_index('ix_jobs_open', 'jobs', ['id'], unique=False, postgresql_where=sa.text("state IN ('queued', 'running', 'cancelling')"))
    op.create_table('model_aliases',
    sa.Column('alias', sa.Text(), nullable=False),
    sa.Column('model_id', sa.Integer(), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['model_id'], ['models.id'], name=op.f('fk_model_aliases_model_id')),
    sa.PrimaryKeyConstraint('alias', name=op.f('pk_model_aliases'))
    )
    op.create_table('prediction_labels',
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('model_id', sa.Integer(), nullable=False),
    sa.Column('label', sa.Text(), nullable=False),
    sa.Column('score', sa.REAL(), nullable=False),
    sa.ForeignKeyConstraint(['model_id'], ['models.id'], name=op.f('fk_prediction_labels_model_id')),
    sa.PrimaryKeyConstraint('content_hash', 'model_id', 'label', name=op.f('pk_prediction_labels'))
    )
    op.create_index('ix_prediction_labels_model_id_label_score', 'prediction_labels', ['model_id', 'label', 'score'], unique=False)
    op.create_table('predictions',
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('model_id', sa.Integer(), nullable=False),
    sa.Column('coverage', sa.Text(), nullable=False),
    sa.Column('duration_s', sa.REAL(), nullable=False),
    sa.Column('scores', sa.ARRAY(sa.REAL()), nullable=False),
    sa.Column('embedding', pgvector.sqlalchemy.VECTOR(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['model_id'], ['models.id'], name=op.f('fk_predictions_model_id')),
    sa.PrimaryKeyConstraint('content_hash', 'model_id', name=op.f('pk_predictions'))
    )
    op.create_table('tracks',
    sa.Column('id', sa.Uuid(), server_default=sa.text('gen_random_uuid()'), nullable=False),
    sa.Column('library_id', sa.Uuid(), nullable=False),
    sa.Column('path', sa.Text(), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('mtime_ns', sa.BigInteger(), nullable=False),
    sa.Column('content_hash', sa.LargeBinary(), nullable=True),
    sa.Column('tags', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('seen_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('missing_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['library_id'], ['libraries.id'], name=op.f('fk_tracks_library_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tracks')),
    sa.UniqueConstraint('library_id', 'path', name=op.f('uq_tracks_library_id_path'))
    )
    op.create_index('ix_tracks_content_hash', 'tracks', ['content_hash'], unique=False, postgresql_where=sa.text('content_hash IS NOT NULL'))
    op.create_table('job_units',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=False),
    sa.Column('seq', sa.Integer(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('queue', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('payload', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('attempt', sa.SmallInteger(), nullable=False),
    sa.Column('crash_count', sa.SmallInteger(), nullable=False),
    sa.Column('run_after', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('claim_id', sa.Uuid(), nullable=True),
    sa.Column('claimed_by', sa.Text(), nullable=True),
    sa.Column('lease_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('current_pos', sa.Integer(), nullable=True),
    sa.Column('done', sa.Integer(), nullable=False),
    sa.Column('failed', sa.Integer(), nullable=False),
    sa.Column('skipped', sa.Integer(), nullable=False),
    sa.Column('timings', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('dispatched_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.CheckConstraint("state IN ('ready', 'dispatched', 'running', 'done', 'failed', 'cancelled')", name=op.f('ck_job_units_state')),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_job_units_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_job_units')),
    sa.UniqueConstraint('job_id', 'seq', name=op.f('uq_job_units_job_id_seq')),
    postgresql_with={'fillfactor': '50'}
    )
    op.create_index('ix_job_units_open', 'job_units', ['job_id', 'queue', 'id'], unique=False, postgresql_where=sa.text("state IN ('ready', 'dispatched', 'running')"))
    op.create_index('ix_job_units_dispatched', 'job_units', ['queue'], unique=False, postgresql_where=sa.text("state = 'dispatched'"))
    op.create_index('ix_job_units_running', 'job_units', ['job_id', 'id'], unique=False, postgresql_where=sa.text("state = 'running'"))
    op.create_table('job_items',
    sa.Column('unit_id', sa.BigInteger(), nullable=False),
    sa.Column('pos', sa.Integer(), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=False),
    sa.Column('track_id', sa.Uuid(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('content_hash', sa.LargeBinary(), nullable=True),
    sa.Column('error_code', sa.Text(), nullable=True),
    sa.Column('error_detail', sa.Text(), nullable=True),
    sa.Column('crash_count', sa.SmallInteger(), server_default='0', nullable=False),
    sa.CheckConstraint("state IN ('pending', 'done', 'skipped', 'failed')", name=op.f('ck_job_items_state')),
    sa.ForeignKeyConstraint(['track_id'], ['tracks.id'], name=op.f('fk_job_items_track_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['unit_id'], ['job_units.id'], name=op.f('fk_job_items_unit_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('unit_id', 'pos', name=op.f('pk_job_items')),
    postgresql_with={'fillfactor': '80'}
    )
    op.create_index('ix_job_items_failed', 'job_items', ['job_id', 'unit_id', 'pos'], unique=False, postgresql_where=sa.text("state = 'failed'"))
    op.create_index('ix_job_items_job_id_unit_id_pos', 'job_items', ['job_id', 'unit_id', 'pos'], unique=False)
    op.create_index(op.f('ix_job_items_track_id'), 'job_items', ['track_id'], unique=False)
    op.execute(CHECK_TRANSITION)
    for table, transitions in TRANSITIONS.items():
        op.execute(
            f"CREATE TRIGGER check_transition BEFORE UPDATE OF state ON {table} FOR EACH ROW "
            f"WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION check_transition({', '.join(map(repr, transitions))})"
        )


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_index(op.f('ix_job_items_track_id'), table_name='job_items')
    op.drop_index('ix_job_items_job_id_unit_id_pos', table_name='job_items')
    op.drop_index('ix_job_items_failed', table_name='job_items', postgresql_where=sa.text("state = 'failed'"))
    op.drop_table('job_items')
    op.drop_index('ix_job_units_running', table_name='job_units', postgresql_where=sa.text("state = 'running'"))
    op.drop_index('ix_job_units_dispatched', table_name='job_units', postgresql_where=sa.text("state = 'dispatched'"))
    op.drop_index('ix_job_units_open', table_name='job_units', postgresql_where=sa.text("state IN ('ready', 'dispatched', 'running')"))
    op.drop_table('job_units')
    op.drop_index('ix_tracks_content_hash', table_name='tracks', postgresql_where=sa.text('content_hash IS NOT NULL'))
    op.drop_table('tracks')
    op.drop_table('predictions')
    op.drop_index('ix_prediction_labels_model_id_label_score', table_name='prediction_labels')
    op.drop_table('prediction_labels')
    op.drop_table('model_aliases')
    op.drop_index('ix_jobs_open', table_name='jobs', postgresql_where=sa.text("state IN ('queued', 'running', 'cancelling')"))
    op.drop_index('ix_jobs_created_at_id', table_name='jobs')
    op.drop_table('jobs')
    op.drop_table('workers')
    op.drop_table('models')
    op.drop_table('libraries')
    op.drop_table('api_keys')
    op.execute("DROP FUNCTION check_transition")
