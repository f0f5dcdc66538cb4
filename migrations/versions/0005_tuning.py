"""studies and their trials; a schema of its own for what Optuna keeps"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

ENDS = ["complete", "pruned", "failed", "cancelled"]
TRANSITIONS = ["waiting>running", *(f"{state}>{end}" for state in ("waiting", "running") for end in ENDS)]


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.create_table('studies',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('config', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=True),
    sa.Column('importances', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_studies_job_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_studies'))
    )
    op.create_index('ix_studies_created_at_id', 'studies', ['created_at', 'id'], unique=False)
    op.create_table('trials',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('study_id', sa.Uuid(), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=True),
    sa.Column('unit_id', sa.BigInteger(), nullable=True),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('optuna_number', sa.Integer(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('params', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('values', sa.ARRAY(sa.Float()), nullable=True),
    sa.Column('curve', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
    sa.Column('error_code', sa.Text(), nullable=True),
    sa.Column('error_detail', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state IN ('waiting', 'running', 'complete', 'pruned', 'failed', 'cancelled')", name=op.f('ck_trials_state')),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_trials_job_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['study_id'], ['studies.id'], name=op.f('fk_trials_study_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['unit_id'], ['job_units.id'], name=op.f('fk_trials_unit_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_trials')),
    sa.UniqueConstraint('study_id', 'number', name=op.f('uq_trials_study_id_number')),
    sa.UniqueConstraint('unit_id', name=op.f('uq_trials_unit_id'))
    )
    op.create_index(op.f('ix_trials_job_id'), 'trials', ['job_id'], unique=False)
    op.execute(
        "CREATE TRIGGER check_transition BEFORE UPDATE OF state ON trials FOR EACH ROW "
        f"WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION check_transition({', '.join(map(repr, TRANSITIONS))})"
    )
    # Its tables are made by the first worker that needs them; Optuna has an alembic_version of its own there.
    op.execute("CREATE SCHEMA IF NOT EXISTS optuna")


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.execute("DROP SCHEMA optuna CASCADE")
    op.drop_index(op.f('ix_trials_job_id'), table_name='trials')
    op.drop_table('trials')
    op.drop_index('ix_studies_created_at_id', table_name='studies')
    op.drop_table('studies')
