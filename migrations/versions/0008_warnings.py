"""what of its audio could not be decoded, kept with every result and embedding of a track"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None

NONE = sa.text("'{}'")


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    for table in ('predictions', 'embeddings'):
        warnings = sa.Column('warnings', postgresql.ARRAY(sa.String()), server_default=NONE, nullable=False)
        op.add_column(table, warnings)
    op.create_index(
        'ix_predictions_warned', 'predictions', ['model_id', 'content_hash'], unique=False,
        postgresql_where=sa.text("warnings <> '{}'"),
    )


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_index('ix_predictions_warned', table_name='predictions')
    op.drop_column('embeddings', 'warnings')
    op.drop_column('predictions', 'warnings')
