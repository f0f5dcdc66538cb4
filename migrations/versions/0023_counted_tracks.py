"""how many tracks each library has, kept by triggers; totals of before; the audio of each label as an index

Of a million tracks (on two busy cores): counting them takes 6 s, the index of 2.5 million labels 47 s and 190 MB.
Nothing is written to `prediction_labels` from the beginning of the index, to `tracks` during the count. Words are
found as before, but in about a third less time, so that their index stays as it is.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0023'
down_revision = '0022'
branch_labels = None
depends_on = None

TRACK_WORDS = r"""
    CREATE OR REPLACE FUNCTION track_words(path text, tags jsonb) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE
        words text := concat_ws(' ', path, tags ->> 'title', tags ->> 'artist', tags ->> 'album',
            tags ->> 'albumartist', tags ->> 'composer', tags ->> 'genre', tags ->> 'date');
    BEGIN
        IF octet_length(words) <> length(words) THEN
            words := regexp_replace(normalize(words, NFKD), U&'[\0300-\036F]', '', 'g');
        END IF;
        RETURN to_tsvector('simple', translate(words, '/._-+<>@&', '         '));
    END $$
"""
TRACK_WORDS_OF_BEFORE = r"""
    CREATE OR REPLACE FUNCTION track_words(path text, tags jsonb) RETURNS tsvector
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
COUNT = """
    CREATE FUNCTION count_tracks() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            INSERT INTO track_counts (library_id, present, missing)
            SELECT library_id, count(*) - count(missing_at), count(missing_at) FROM added GROUP BY library_id;
        ELSIF TG_OP = 'DELETE' THEN
            INSERT INTO track_counts (library_id, present, missing)
            SELECT library_id, count(missing_at) - count(*), -count(missing_at) FROM removed GROUP BY library_id;
        ELSIF TG_OP = 'UPDATE' THEN
            INSERT INTO track_counts (library_id, present, missing)
            SELECT library_id, sum(present), sum(missing) FROM (
                SELECT library_id, num_nulls(missing_at), num_nonnulls(missing_at) FROM added
                UNION ALL SELECT library_id, -num_nulls(missing_at), -num_nonnulls(missing_at) FROM removed
            ) AS change (library_id, present, missing)
            GROUP BY library_id HAVING sum(present) <> 0 OR sum(missing) <> 0;
        ELSE
            LOCK TABLE track_counts IN SHARE ROW EXCLUSIVE MODE;  -- sums that are being written would remain
            DELETE FROM track_counts;  -- not truncated, as the statement may do that itself
        END IF;
        RETURN NULL;
    END $$
"""
TRIGGERS = (
    """CREATE TRIGGER count_added_tracks AFTER INSERT ON tracks REFERENCING NEW TABLE AS added
       FOR EACH STATEMENT EXECUTE FUNCTION count_tracks()""",
    """CREATE TRIGGER count_removed_tracks AFTER DELETE ON tracks REFERENCING OLD TABLE AS removed
       FOR EACH STATEMENT EXECUTE FUNCTION count_tracks()""",
    """CREATE TRIGGER count_changed_tracks AFTER UPDATE ON tracks REFERENCING OLD TABLE AS removed NEW TABLE AS added
       FOR EACH STATEMENT EXECUTE FUNCTION count_tracks()""",
    """CREATE TRIGGER count_no_tracks AFTER TRUNCATE ON tracks
       FOR EACH STATEMENT EXECUTE FUNCTION count_tracks()""",
)
COUNTED = """
    INSERT INTO track_counts (library_id, present, missing)
    SELECT library_id, count(*) - count(missing_at), count(missing_at) FROM tracks GROUP BY library_id
"""


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.create_table('track_counts',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('library_id', sa.Uuid(), nullable=False),
    sa.Column('present', sa.BigInteger(), nullable=False),
    sa.Column('missing', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_track_counts'))
    )
    op.create_table('kept_totals',
    sa.Column('id', sa.SmallInteger(), autoincrement=False, nullable=False),
    sa.Column('counted_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('took_s', sa.REAL(), nullable=False),
    sa.Column('facts', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.CheckConstraint('id = 1', name=op.f('ck_kept_totals_single')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_kept_totals'))
    )
    op.execute(TRACK_WORDS)
    op.create_index(
        'ix_prediction_labels_model_id_label_content_hash', 'prediction_labels', ['model_id', 'label', 'content_hash'],
        unique=False, postgresql_include=['score'],
    )
    op.execute(COUNT)
    for trigger in TRIGGERS:
        op.execute(trigger)
    op.execute(COUNTED)  # none is added meanwhile: the triggers hold a lock on the table


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_index('ix_prediction_labels_model_id_label_content_hash', table_name='prediction_labels')
    op.execute(TRACK_WORDS_OF_BEFORE)
    for name in ('count_no_tracks', 'count_changed_tracks', 'count_removed_tracks', 'count_added_tracks'):
        op.execute(f"DROP TRIGGER {name} ON tracks")
    op.execute("DROP FUNCTION count_tracks()")
    op.drop_table('kept_totals')
    op.drop_table('track_counts')
