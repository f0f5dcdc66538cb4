"""versions of models that are never given twice, what a unit is doing, each Optuna trial in one of ours only"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None

LAST_VERSIONS = """
    UPDATE experiments SET last_version = greatest(
        (SELECT coalesce(max(version), 0) FROM runs WHERE experiment_id = experiments.id),
        (SELECT coalesce(max(version), 0) FROM models WHERE models.name = experiments.name)
    )
"""


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.execute(LAST_VERSIONS)
    op.add_column(
        'job_units', sa.Column('activity', postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
    op.create_unique_constraint(op.f('uq_trials_study_id_optuna_number'), 'trials', ['study_id', 'optuna_number'])


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_constraint(op.f('uq_trials_study_id_optuna_number'), 'trials', type_='unique')
    op.drop_column('job_units', 'activity')
