"""items of what is no track: links, pipes, folders that cannot be listed have a path and no row of `tracks`"""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

# Rows that an earlier version made for what it could not look at. A file that was opened since has a size or a
# hash; what has an item still to be done stays until that is done.
NO_TRACKS = """
    SELECT id FROM tracks
    WHERE size = 0 AND mtime_ns = 0 AND content_hash IS NULL AND EXISTS (
        SELECT FROM job_items WHERE track_id = tracks.id
        AND error_code IN ('unreadable', 'not_a_file', 'outside_library')
    ) AND NOT EXISTS (SELECT FROM job_items WHERE track_id = tracks.id AND state = 'pending')
"""


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.add_column('job_items', sa.Column('path', sa.Text(), nullable=True))
    op.alter_column('job_items', 'track_id', nullable=True)
    op.execute(
        f"""
        UPDATE job_items SET path = tracks.path, track_id = NULL
        FROM tracks WHERE tracks.id = job_items.track_id AND tracks.id IN ({NO_TRACKS})
        """
    )
    # Their items have left them, so they are known by what an earlier version wrote into the rows alone.
    op.execute(
        """
        DELETE FROM tracks WHERE size = 0 AND mtime_ns = 0 AND content_hash IS NULL
        AND NOT EXISTS (SELECT FROM job_items WHERE track_id = tracks.id)
        """
    )
    op.create_check_constraint(
        op.f('ck_job_items_track_or_path'), 'job_items', 'num_nonnulls(track_id, path) = 1'
    )


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_constraint(op.f('ck_job_items_track_or_path'), 'job_items', type_='check')
    op.execute(
        """
        INSERT INTO tracks (library_id, path, size, mtime_ns)
        SELECT DISTINCT jobs.library_id, job_items.path, 0, 0
        FROM job_items JOIN jobs ON jobs.id = job_items.job_id
        WHERE job_items.track_id IS NULL AND jobs.library_id IS NOT NULL
            AND octet_length(job_items.path) <= 2000
        ON CONFLICT (library_id, path) DO NOTHING
        """
    )
    op.execute(
        """
        UPDATE job_items SET track_id = tracks.id
        FROM jobs, tracks
        WHERE job_items.track_id IS NULL AND jobs.id = job_items.job_id
            AND tracks.library_id = jobs.library_id AND tracks.path = job_items.path
        """
    )
    op.execute("DELETE FROM job_items WHERE track_id IS NULL")
    op.alter_column('job_items', 'track_id', nullable=False)
    op.drop_column('job_items', 'path')
