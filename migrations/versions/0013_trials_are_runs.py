"""trials become runs of their study with the same table of epochs; Optuna's own schema is dropped"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None

ENDS = ["complete", "pruned", "failed", "cancelled"]
TRANSITIONS = ["waiting>running", *(f"{state}>{end}" for state in ("waiting", "running") for end in ENDS)]
TRIGGER = (
    "CREATE TRIGGER check_transition BEFORE UPDATE OF state ON {table} FOR EACH ROW "
    f"WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION check_transition({', '.join(map(repr, TRANSITIONS))})"
)
HAS_OPTUNA = "SELECT to_regclass('optuna.trials') IS NOT NULL"
# A worker that died between its two writes has left the end of its trial in Optuna's tables only.
TAKE_OVER = """
    UPDATE public.trials AS ours
    SET state = lower(theirs.state::text), finished_at = theirs.datetime_complete, "values" = CASE
        WHEN theirs.state = 'COMPLETE' THEN (
            SELECT array_agg(reported.value ORDER BY reported.objective)
            FROM optuna.trial_values AS reported WHERE reported.trial_id = theirs.trial_id)
        END
    FROM optuna.trials AS theirs JOIN optuna.studies AS study USING (study_id)
    WHERE study.study_name = ours.study_id::text AND theirs.number = ours.optuna_number
        AND theirs.state IN ('COMPLETE', 'PRUNED') AND ours.state = 'running'
"""
TRIALS_TO_RUNS = """
    INSERT INTO runs (id, study_id, number, job_id, unit_id, state, params, "values",
                      error_code, error_detail, created_at, started_at, finished_at)
    SELECT gen_random_uuid(), study_id, number, job_id, unit_id, state, params, "values",
           error_code, error_detail, created_at, started_at, finished_at
    FROM trials
"""
CURVES_TO_EPOCHS = """
    INSERT INTO epochs (run_id, fold, epoch, metrics)
    SELECT runs.id, coalesce((point ->> 'fold')::int, 0), (point ->> 'epoch')::int, point
    FROM trials JOIN runs USING (study_id, number), jsonb_array_elements(trials.curve) AS point
    ON CONFLICT DO NOTHING
"""
# What Optuna knew of a running trial is gone: such a trial is asked for again.
RUNS_TO_TRIALS = """
    INSERT INTO trials (study_id, number, job_id, unit_id, state, params, "values", curve,
                        error_code, error_detail, created_at, started_at, finished_at)
    SELECT study_id, number, job_id, unit_id,
           CASE state WHEN 'running' THEN 'waiting' ELSE state END,
           CASE state WHEN 'running' THEN NULL ELSE params END, "values",
           coalesce((SELECT jsonb_agg(metrics ORDER BY fold = 0, fold, epoch) FROM epochs WHERE run_id = runs.id),
                    '[]'),
           error_code, error_detail, created_at, started_at, finished_at
    FROM runs WHERE study_id IS NOT NULL ORDER BY created_at, number
"""


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    if op.get_bind().scalar(sa.text(HAS_OPTUNA)):
        op.execute(TAKE_OVER)
    for column, type_ in (('experiment_id', sa.Integer()), ('config', postgresql.JSONB()), ('seed', sa.Integer())):
        op.alter_column('runs', column, existing_type=type_, nullable=True)
    for column in (
        sa.Column('study_id', sa.Uuid(), nullable=True),
        sa.Column('number', sa.Integer(), nullable=True),
        sa.Column('unit_id', sa.BigInteger(), nullable=True),
        sa.Column('state', sa.Text(), nullable=True),
        sa.Column('params', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column('values', sa.ARRAY(sa.Float()), nullable=True),
        sa.Column('error_code', sa.Text(), nullable=True),
        sa.Column('error_detail', sa.Text(), nullable=True),
        sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    ):
        op.add_column('runs', column)
    op.execute(TRIALS_TO_RUNS)
    op.execute(CURVES_TO_EPOCHS)
    op.drop_table('trials')
    op.execute("DROP SCHEMA optuna CASCADE")
    op.create_foreign_key(op.f('fk_runs_study_id'), 'runs', 'studies', ['study_id'], ['id'], ondelete='CASCADE')
    op.create_foreign_key(op.f('fk_runs_unit_id'), 'runs', 'job_units', ['unit_id'], ['id'], ondelete='SET NULL')
    op.create_unique_constraint(op.f('uq_runs_study_id_number'), 'runs', ['study_id', 'number'])
    op.create_unique_constraint(op.f('uq_runs_unit_id'), 'runs', ['unit_id'])
    op.create_check_constraint(
        op.f('ck_runs_state'), 'runs', "state IN ('waiting', 'running', 'complete', 'pruned', 'failed', 'cancelled')"
    )
    op.create_check_constraint(
        op.f('ck_runs_experiment_or_study'), 'runs', "num_nonnulls(experiment_id, study_id) = 1"
    )
    op.create_check_constraint(op.f('ck_runs_trial'), 'runs', "num_nulls(study_id, number, state) IN (0, 3)")
    op.create_check_constraint(
        op.f('ck_runs_configured'), 'runs', "experiment_id IS NULL OR num_nulls(config, seed) = 0"
    )
    op.drop_index('ix_runs_created_at_id', table_name='runs')
    op.create_index(
        'ix_runs_created_at_id', 'runs', ['created_at', 'id'], postgresql_where=sa.text('experiment_id IS NOT NULL')
    )
    op.execute(TRIGGER.format(table='runs'))


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.create_table('trials',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('study_id', sa.Uuid(), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=True),
    sa.Column('unit_id', sa.BigInteger(), nullable=True),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('optuna_number', sa.Integer(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('params', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('values', sa.ARRAY(sa.Float()), nullable=True),
    sa.Column('curve', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
    sa.Column('error_code', sa.Text(), nullable=True),
    sa.Column('error_detail', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state IN ('waiting', 'running', 'complete', 'pruned', 'failed', 'cancelled')", name=op.f('ck_trials_state')),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_trials_job_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['study_id'], ['studies.id'], name=op.f('fk_trials_study_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['unit_id'], ['job_units.id'], name=op.f('fk_trials_unit_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_trials')),
    sa.UniqueConstraint('study_id', 'number', name=op.f('uq_trials_study_id_number')),
    sa.UniqueConstraint('study_id', 'optuna_number', name=op.f('uq_trials_study_id_optuna_number')),
    sa.UniqueConstraint('unit_id', name=op.f('uq_trials_unit_id'))
    )
    op.create_index(op.f('ix_trials_job_id'), 'trials', ['job_id'], unique=False)
    op.execute(TRIGGER.format(table='trials'))
    op.execute(RUNS_TO_TRIALS)
    op.execute("DELETE FROM runs WHERE study_id IS NOT NULL")
    op.execute("DROP TRIGGER check_transition ON runs")
    op.drop_index('ix_runs_created_at_id', table_name='runs')
    op.create_index('ix_runs_created_at_id', 'runs', ['created_at', 'id'])
    for constraint in ('configured', 'trial', 'experiment_or_study', 'state'):
        op.drop_constraint(op.f(f'ck_runs_{constraint}'), 'runs', type_='check')
    for column in (
        'started_at', 'error_detail', 'error_code', 'values', 'params', 'state', 'unit_id', 'number', 'study_id'
    ):
        op.drop_column('runs', column)
    for column, type_ in (('seed', sa.Integer()), ('config', postgresql.JSONB()), ('experiment_id', sa.Integer())):
        op.alter_column('runs', column, existing_type=type_, nullable=False)
    op.execute("CREATE SCHEMA optuna")
