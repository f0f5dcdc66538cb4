"""marks of deleted rows, and indexes for removing what belonged to them"""

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None

DELETABLE = ("libraries", "models", "jobs", "runs", "studies")


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    for table in DELETABLE:
        op.add_column(table, sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('experiments', sa.Column('last_version', sa.Integer(), server_default=sa.text('0'), nullable=False))
    op.drop_constraint('uq_libraries_name', 'libraries', type_='unique')
    op.create_index(
        'uq_libraries_name', 'libraries', ['name'], unique=True,
        postgresql_where=sa.text('deleted_at IS NULL'),
    )
    op.create_index(
        'ix_jobs_library_id', 'jobs', ['library_id'], unique=False,
        postgresql_where=sa.text('library_id IS NOT NULL'),
    )
    op.create_index(
        'ix_jobs_model_id', 'jobs', ['model_id'], unique=False,
        postgresql_where=sa.text('model_id IS NOT NULL'),
    )
    op.create_index(
        'ix_jobs_deleted_at', 'jobs', ['deleted_at'], unique=False,
        postgresql_where=sa.text('deleted_at IS NOT NULL'),
    )
    op.create_index('ix_predictions_model_id', 'predictions', ['model_id'], unique=False)
    op.create_index('ix_embeddings_encoder_id', 'embeddings', ['encoder_id'], unique=False)


def downgrade() -> None:
    """What is marked as deleted is removed at once: the version before would show it again."""
    op.execute("SET lock_timeout = '5s'")
    op.execute("DELETE FROM jobs WHERE deleted_at IS NOT NULL")
    op.execute("DELETE FROM runs WHERE deleted_at IS NOT NULL")
    op.execute("DELETE FROM studies WHERE deleted_at IS NOT NULL")
    op.execute("DELETE FROM libraries WHERE deleted_at IS NOT NULL")
    gone = "(SELECT id FROM models WHERE deleted_at IS NOT NULL)"
    for table in ("prediction_labels", "predictions", "model_aliases"):
        op.execute(f"DELETE FROM {table} WHERE model_id IN {gone}")
    for table in ("jobs", "runs"):
        op.execute(f"UPDATE {table} SET model_id = NULL WHERE model_id IN {gone}")
    op.execute("DELETE FROM models WHERE deleted_at IS NOT NULL")
    op.drop_index('ix_embeddings_encoder_id', table_name='embeddings')
    op.drop_index('ix_predictions_model_id', table_name='predictions')
    op.drop_index('ix_jobs_deleted_at', table_name='jobs')
    op.drop_index('ix_jobs_model_id', table_name='jobs')
    op.drop_index('ix_jobs_library_id', table_name='jobs')
    op.drop_index('uq_libraries_name', table_name='libraries')
    op.create_unique_constraint('uq_libraries_name', 'libraries', ['name'])
    op.drop_column('experiments', 'last_version')
    for table in DELETABLE:
        op.drop_column(table, 'deleted_at')
