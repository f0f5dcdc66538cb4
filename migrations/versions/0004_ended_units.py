"""units by the time of their end, so that a scrape finds the latest without looking at all"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.create_index(
        'ix_job_units_finished_at', 'job_units', ['finished_at'], unique=False,
        postgresql_where=sa.text('finished_at IS NOT NULL'),
    )


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_index('ix_job_units_finished_at', table_name='job_units')
