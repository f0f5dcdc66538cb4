"""an index for tracks by the date of their files, the newest first"""

from alembic import op

revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.create_index('ix_tracks_mtime_ns_id', 'tracks', ['mtime_ns', 'id'], unique=False)


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_index('ix_tracks_mtime_ns_id', table_name='tracks')
