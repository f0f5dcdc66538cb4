"""indexes for what is asked again and again however large the tables are: deletion of jobs that were retried,
the jobs of one owner, units whose worker vanished"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.create_index(op.f('ix_jobs_retry_of'), 'jobs', ['retry_of'], unique=False)
    op.create_index('ix_jobs_owner_created_at_id', 'jobs', ['owner', 'created_at', 'id'], unique=False)
    op.create_index(
        'ix_job_units_again', 'job_units', ['queue', 'id'], unique=False,
        postgresql_where=sa.text("state = 'ready' AND crash_count > 0"),
    )


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_index('ix_job_units_again', table_name='job_units')
    op.drop_index('ix_jobs_owner_created_at_id', table_name='jobs')
    op.drop_index(op.f('ix_jobs_retry_of'), table_name='jobs')
