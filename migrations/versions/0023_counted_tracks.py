"""how many tracks each library has, kept by triggers, so that a million are not counted for a list of libraries

Counting the tracks that are there reads the whole table once, with writes to it locked out: 1 s per million tracks.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0023'
down_revision = '0022'
branch_labels = None
depends_on = None

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
            INSERT INTO track_counts (library_id, present, missing) VALUES
                (OLD.library_id, num_nonnulls(OLD.missing_at) - 1, -num_nonnulls(OLD.missing_at)),
                (NEW.library_id, 1 - num_nonnulls(NEW.missing_at), num_nonnulls(NEW.missing_at));
        ELSE
            DELETE FROM track_counts;
        END IF;
        RETURN NULL;
    END $$
"""
# Of updates only those that change a count, row by row: most have other columns.
TRIGGERS = (
    """CREATE TRIGGER count_added_tracks AFTER INSERT ON tracks REFERENCING NEW TABLE AS added
       FOR EACH STATEMENT EXECUTE FUNCTION count_tracks()""",
    """CREATE TRIGGER count_removed_tracks AFTER DELETE ON tracks REFERENCING OLD TABLE AS removed
       FOR EACH STATEMENT EXECUTE FUNCTION count_tracks()""",
    """CREATE TRIGGER count_changed_tracks AFTER UPDATE OF missing_at, library_id ON tracks FOR EACH ROW
       WHEN ((OLD.missing_at IS NULL) <> (NEW.missing_at IS NULL) OR OLD.library_id <> NEW.library_id)
       EXECUTE FUNCTION count_tracks()""",
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
    op.execute(COUNT)
    for trigger in TRIGGERS:
        op.execute(trigger)
    op.execute(COUNTED)  # none is added meanwhile: the triggers hold a lock on the table


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    for name in ('count_no_tracks', 'count_changed_tracks', 'count_removed_tracks', 'count_added_tracks'):
        op.execute(f"DROP TRIGGER {name} ON tracks")
    op.execute("DROP FUNCTION count_tracks()")
    op.drop_table('kept_totals')
    op.drop_table('track_counts')
