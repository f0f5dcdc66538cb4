"""jobs that tune thresholds are a kind of their own, with parameters of their own"""

from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.execute(
        "UPDATE jobs SET kind = 'thresholds', params = params -> 'thresholds'"
        " WHERE kind = 'tuning' AND params ? 'thresholds'"
    )


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.execute(
        "UPDATE jobs SET kind = 'tuning', params = jsonb_build_object('thresholds', params)"
        " WHERE kind = 'thresholds'"
    )
