"""how loud each piece of audio is from beginning to end; tracks by the words of their paths and tags"""

import sqlalchemy as sa
from alembic import op

revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None

# Characters that the parser of Postgres takes for parts of addresses and file names separate words here.
TRACK_WORDS = r"""
    CREATE FUNCTION track_words(path text, tags jsonb) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT to_tsvector('simple', translate(
            CASE WHEN octet_length(words) = length(words) THEN words
            ELSE regexp_replace(normalize(words, NFKD), U&'[\0300-\036F]', '', 'g') END,
            '/._-+<>@&', '         '))
        FROM (SELECT path || ' ' || coalesce(tags ->> 'title', '') || ' ' || coalesce(tags ->> 'artist', '')
            || ' ' || coalesce(tags ->> 'album', '') || ' ' || coalesce(tags ->> 'albumartist', '')
            || ' ' || coalesce(tags ->> 'composer', '') || ' ' || coalesce(tags ->> 'genre', '')
            || ' ' || coalesce(tags ->> 'date', '') AS words) AS of_track
    $$
"""


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.create_table('waveforms',
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('duration_s', sa.REAL(), nullable=False),
    sa.Column('bin_s', sa.REAL(), nullable=False),
    sa.Column('peaks', sa.LargeBinary(), nullable=False),
    sa.Column('rms', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('content_hash', name=op.f('pk_waveforms'))
    )
    op.execute(TRACK_WORDS)
    op.execute("CREATE INDEX ix_tracks_words ON tracks USING gin (track_words(path, tags))")
    op.execute(r"CREATE INDEX ix_tracks_suffix ON tracks (substring(lower(path), '\.[a-z0-9_~+-]{1,10}$'), id)")
    op.execute("CREATE INDEX ix_tracks_year ON tracks (substring(tags ->> 'date', '^[0-9]{4}'), id)")
    op.create_index(
        'ix_tracks_missing', 'tracks', ['library_id', 'id'], unique=False,
        postgresql_where=sa.text('missing_at IS NOT NULL'),
    )


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_index('ix_tracks_missing', table_name='tracks')
    op.drop_index('ix_tracks_year', table_name='tracks')
    op.drop_index('ix_tracks_suffix', table_name='tracks')
    op.drop_index('ix_tracks_words', table_name='tracks')
    op.execute("DROP FUNCTION track_words(text, jsonb)")
    op.drop_table('waveforms')
