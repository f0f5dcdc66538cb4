"""what the ended units of a job have done, kept with the job, so that its progress is not summed from all units"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0022'
down_revision = '0021'
branch_labels = None
depends_on = None

# The row of the job is locked for the rest of the transaction, as it is by whoever ends a unit.
ADD_ENDED = """
    CREATE FUNCTION add_ended_unit() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        before integer[] := '{0,0,0}';
    BEGIN
        IF TG_OP = 'UPDATE' AND OLD.state IN ('done', 'failed', 'cancelled') THEN
            before := ARRAY[OLD.done, OLD.failed, OLD.skipped];
        END IF;
        UPDATE jobs SET ended = jsonb_set(ended, ARRAY[NEW.kind], jsonb_build_object(
            'done', coalesce((ended -> NEW.kind ->> 'done')::bigint, 0) + NEW.done - before[1],
            'failed', coalesce((ended -> NEW.kind ->> 'failed')::bigint, 0) + NEW.failed - before[2],
            'skipped', coalesce((ended -> NEW.kind ->> 'skipped')::bigint, 0) + NEW.skipped - before[3]))
        WHERE id = NEW.job_id;
        RETURN NULL;
    END $$
"""
TRIGGERS = (
    """CREATE TRIGGER add_ended_unit AFTER UPDATE OF state, done, failed, skipped ON job_units FOR EACH ROW
       WHEN (NEW.state IN ('done', 'failed', 'cancelled') AND (
           OLD.state NOT IN ('done', 'failed', 'cancelled')
               AND (NEW.done, NEW.failed, NEW.skipped) <> (0, 0, 0)
           OR OLD.state IN ('done', 'failed', 'cancelled')
               AND (OLD.done, OLD.failed, OLD.skipped) <> (NEW.done, NEW.failed, NEW.skipped)))
       EXECUTE FUNCTION add_ended_unit()""",
    """CREATE TRIGGER add_new_ended_unit AFTER INSERT ON job_units FOR EACH ROW
       WHEN (NEW.state IN ('done', 'failed', 'cancelled') AND (NEW.done, NEW.failed, NEW.skipped) <> (0, 0, 0))
       EXECUTE FUNCTION add_ended_unit()""",
)
SUM = """
    UPDATE jobs SET ended = sums.ended FROM (
        SELECT job_id, jsonb_object_agg(kind, jsonb_build_object(
            'done', done, 'failed', failed, 'skipped', skipped)) AS ended
        FROM (
            SELECT job_id, kind, sum(done) AS done, sum(failed) AS failed, sum(skipped) AS skipped
            FROM job_units WHERE state IN ('done', 'failed', 'cancelled') GROUP BY job_id, kind
        ) AS by_kind GROUP BY job_id
    ) AS sums WHERE sums.job_id = jobs.id
"""


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.add_column(
        'jobs',
        sa.Column('ended', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.create_index(
        'ix_job_units_counted', 'job_units', ['job_id'], unique=False,
        postgresql_where=sa.text(
            "(started_at IS NOT NULL OR failed + skipped > 0) AND state IN ('ready', 'dispatched', 'running')"
        ),
    )
    op.create_check_constraint(
        op.f('ck_job_units_begun_if_done'), 'job_units',
        "started_at IS NOT NULL OR done = 0 OR state IN ('done', 'failed', 'cancelled')",
    )
    op.execute(ADD_ENDED)
    for trigger in TRIGGERS:
        op.execute(trigger)
    op.execute(SUM)  # no unit ends meanwhile: the triggers hold a lock on the table


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.execute("DROP TRIGGER add_new_ended_unit ON job_units")
    op.execute("DROP TRIGGER add_ended_unit ON job_units")
    op.execute("DROP FUNCTION add_ended_unit()")
    op.drop_constraint(op.f('ck_job_units_begun_if_done'), 'job_units', type_='check')
    op.drop_index('ix_job_units_counted', table_name='job_units')
    op.drop_column('jobs', 'ended')
