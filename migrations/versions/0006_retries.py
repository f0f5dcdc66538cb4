"""retries by the job they retry, so that deleting a job does not look at all others"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        'ix_jobs_retry_of', 'jobs', ['retry_of'], unique=False,
        postgresql_where=sa.text('retry_of IS NOT NULL'),
    )


def downgrade() -> None:
    op.drop_index('ix_jobs_retry_of', table_name='jobs')
