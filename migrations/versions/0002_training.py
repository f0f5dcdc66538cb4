"""experiments, runs and their epochs; which weights the embeddings of a model come from"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.add_column('models', sa.Column('encoder_sha256', sa.Text(), nullable=True))
    op.execute("UPDATE models SET encoder_sha256 = sha256")  # none of them is a head on another yet
    op.alter_column('models', 'encoder_sha256', nullable=False)
    op.create_table('experiments',
    sa.Column('id', sa.Integer(), sa.Identity(always=False), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_experiments')),
    sa.UniqueConstraint('name', name=op.f('uq_experiments_name'))
    )
    op.create_table('runs',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('experiment_id', sa.Integer(), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=True),
    sa.Column('version', sa.Integer(), nullable=True),
    sa.Column('config', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('seed', sa.Integer(), nullable=False),
    sa.Column('dataset_sha256', sa.Text(), nullable=True),
    sa.Column('code_version', sa.Text(), nullable=True),
    sa.Column('metrics', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('results', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('duration_s', sa.REAL(), nullable=True),
    sa.Column('model_id', sa.Integer(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['experiment_id'], ['experiments.id'], name=op.f('fk_runs_experiment_id')),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_runs_job_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['model_id'], ['models.id'], name=op.f('fk_runs_model_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runs')),
    sa.UniqueConstraint('experiment_id', 'version', name=op.f('uq_runs_experiment_id_version'))
    )
    op.create_index('ix_runs_created_at_id', 'runs', ['created_at', 'id'], unique=False)
    op.create_index(op.f('ix_runs_job_id'), 'runs', ['job_id'], unique=False)
    op.create_table('epochs',
    sa.Column('run_id', sa.Uuid(), nullable=False),
    sa.Column('fold', sa.SmallInteger(), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('metrics', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['runs.id'], name=op.f('fk_epochs_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('run_id', 'fold', 'epoch', name=op.f('pk_epochs'))
    )


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_table('epochs')
    op.drop_index(op.f('ix_runs_job_id'), table_name='runs')
    op.drop_index('ix_runs_created_at_id', table_name='runs')
    op.drop_table('runs')
    op.drop_table('experiments')
    op.drop_column('models', 'encoder_sha256')
