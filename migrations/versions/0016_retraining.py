"""which tracks a model was trained on, and trainings that start by themselves"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None

# By the job or, where that has been deleted, by the name in the configuration.
RUNS_OF_LIBRARIES = """
    UPDATE runs SET library_id = libraries.id FROM libraries
    WHERE libraries.id = (SELECT library_id FROM jobs WHERE jobs.id = runs.job_id)
       OR (runs.job_id IS NULL AND libraries.name = runs.config -> 'dataset' ->> 'library')
"""


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.create_table('training_tracks',
    sa.Column('model_id', sa.Integer(), nullable=False),
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('scores', sa.ARRAY(sa.REAL()), nullable=True),
    sa.ForeignKeyConstraint(['model_id'], ['models.id'], name=op.f('fk_training_tracks_model_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('model_id', 'content_hash', name=op.f('pk_training_tracks'))
    )
    op.create_table('retrainings',
    sa.Column('model_name', sa.Text(), nullable=False),
    sa.Column('after_tracks', sa.Integer(), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('library_id', sa.Uuid(), nullable=True),
    sa.Column('owner', sa.Text(), nullable=False),
    sa.Column('tried_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('job_id', sa.Uuid(), nullable=True),
    sa.Column('error_code', sa.Text(), nullable=True),
    sa.Column('error_detail', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_retrainings_job_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['library_id'], ['libraries.id'], name=op.f('fk_retrainings_library_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('model_name', name=op.f('pk_retrainings'))
    )
    op.add_column('models', sa.Column('offer', postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column('reviews', sa.Column('at_random', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.add_column('reviews', sa.Column('sampled_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('runs', sa.Column('library_id', sa.Uuid(), nullable=True))
    op.add_column('runs', sa.Column('weights_sha256', sa.Text(), nullable=True))
    op.create_foreign_key(op.f('fk_runs_library_id'), 'runs', 'libraries', ['library_id'], ['id'], ondelete='SET NULL')
    op.create_index('ix_runs_weights_sha256', 'runs', ['weights_sha256'], unique=False)
    op.execute("UPDATE runs SET weights_sha256 = models.sha256 FROM models WHERE models.id = runs.model_id")
    op.execute(RUNS_OF_LIBRARIES)


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_index('ix_runs_weights_sha256', table_name='runs')
    op.drop_constraint(op.f('fk_runs_library_id'), 'runs', type_='foreignkey')
    op.drop_column('runs', 'weights_sha256')
    op.drop_column('runs', 'library_id')
    op.drop_column('reviews', 'sampled_at')
    op.drop_column('reviews', 'at_random')
    op.drop_column('models', 'offer')
    op.drop_table('retrainings')
    op.drop_table('training_tracks')
