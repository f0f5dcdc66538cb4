"""identity by audio: the hash of the whole file beside that of its audio; which tags could not be read, and by
which version of the code they were read"""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.add_column('tracks', sa.Column('file_hash', sa.LargeBinary(), nullable=True))
    op.add_column('tracks', sa.Column('tags_error', sa.Text(), nullable=True))
    op.add_column(
        'tracks', sa.Column('tags_version', sa.SmallInteger(), server_default=sa.text('0'), nullable=False)
    )
    # Until now a content hash was that of the file. The next analysis finds that of its audio.
    op.execute("UPDATE tracks SET file_hash = content_hash WHERE content_hash IS NOT NULL")
    op.create_index(
        'ix_tracks_file_hash', 'tracks', ['file_hash'], unique=False,
        postgresql_where=sa.text('file_hash IS NOT NULL'),
    )
    op.create_index(
        'ix_tracks_tags_error', 'tracks', ['library_id', 'id'], unique=False,
        postgresql_where=sa.text('tags_error IS NOT NULL'),
    )
    op.create_index(
        'ix_job_items_content_hash', 'job_items', ['content_hash'], unique=False,
        postgresql_where=sa.text('content_hash IS NOT NULL'),
    )
    op.create_index(
        'ix_jobs_content_hash', 'jobs', [sa.text("(result ->> 'content_hash')")], unique=False,
        postgresql_where=sa.text("kind = 'predict'"),
    )


def downgrade() -> None:
    """Results of tracks that were analysed meanwhile stay, under hashes that the older version does not find."""
    op.execute("SET lock_timeout = '5s'")
    op.drop_index('ix_jobs_content_hash', table_name='jobs')
    op.drop_index('ix_job_items_content_hash', table_name='job_items')
    op.drop_index('ix_tracks_tags_error', table_name='tracks')
    op.drop_index('ix_tracks_file_hash', table_name='tracks')
    op.drop_column('tracks', 'tags_version')
    op.drop_column('tracks', 'tags_error')
    op.drop_column('tracks', 'file_hash')
