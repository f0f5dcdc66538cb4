"""which tracks a model has learnt from, and trainings that start by themselves"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.create_table('learnt_tracks',
    sa.Column('model_id', sa.Integer(), nullable=False),
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('scores', sa.ARRAY(sa.REAL()), nullable=True),
    sa.ForeignKeyConstraint(['model_id'], ['models.id'], name=op.f('fk_learnt_tracks_model_id')),
    sa.PrimaryKeyConstraint('model_id', 'content_hash', name=op.f('pk_learnt_tracks'))
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


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_column('models', 'offer')
    op.drop_table('retrainings')
    op.drop_table('learnt_tracks')
