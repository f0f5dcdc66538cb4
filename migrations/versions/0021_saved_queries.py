"""queries of tracks that are saved under a name; covers of files; an index for tracks by duration"""

import sqlalchemy as sa
from alembic import op

revision = '0021'
down_revision = '0020'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.create_table('saved_queries',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('query', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_saved_queries'))
    )
    op.create_table('covers',
    sa.Column('file_hash', sa.LargeBinary(), nullable=False),
    sa.Column('jpeg', sa.LargeBinary(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('file_hash', name=op.f('pk_covers'))
    )
    op.create_index('ix_covers_created_at', 'covers', ['created_at'], unique=False)
    op.create_index(
        'ix_predictions_model_id_duration_s', 'predictions', ['model_id', 'duration_s'], unique=False
    )


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_index('ix_predictions_model_id_duration_s', table_name='predictions')
    op.drop_index('ix_covers_created_at', table_name='covers')
    op.drop_table('covers')
    op.drop_table('saved_queries')
