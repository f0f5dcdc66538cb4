"""corrections of labels with their history, label sets, and who is being asked in a review"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.create_table('correction_changes',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('author', sa.Text(), nullable=False),
    sa.Column('origin', sa.Text(), nullable=False),
    sa.Column('note', sa.Text(), nullable=True),
    sa.Column('undoes', sa.Uuid(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['undoes'], ['correction_changes.id'], name=op.f('fk_correction_changes_undoes')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_correction_changes'))
    )
    op.create_index('ix_correction_changes_created_at_id', 'correction_changes', ['created_at', 'id'], unique=False)
    op.create_table('label_sets',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('labels', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('exclusive', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_label_sets')),
    sa.UniqueConstraint('name', name=op.f('uq_label_sets_name'))
    )
    op.create_table('reviews',
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('reviewer', sa.Text(), nullable=False),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=False),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('content_hash', name=op.f('pk_reviews'))
    )
    op.create_table('correction_entries',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('label_key', sa.Text(), nullable=False),
    sa.Column('label', sa.Text(), nullable=False),
    sa.Column('verdict', sa.Text(), nullable=True),
    sa.Column('change_id', sa.Uuid(), nullable=False),
    sa.CheckConstraint("verdict IN ('yes', 'no', 'unsure')", name=op.f('ck_correction_entries_verdict')),
    sa.ForeignKeyConstraint(['change_id'], ['correction_changes.id'], name=op.f('fk_correction_entries_change_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_correction_entries'))
    )
    op.create_index('ix_correction_entries_change_id', 'correction_entries', ['change_id'], unique=False)
    op.create_index('ix_correction_entries_of_label', 'correction_entries', ['content_hash', 'label_key', 'id'], unique=False)
    op.create_table('corrections',
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('label_key', sa.Text(), nullable=False),
    sa.Column('label', sa.Text(), nullable=False),
    sa.Column('verdict', sa.Text(), nullable=True),
    sa.Column('change_id', sa.Uuid(), nullable=False),
    sa.CheckConstraint("verdict IN ('yes', 'no', 'unsure')", name=op.f('ck_corrections_verdict')),
    sa.ForeignKeyConstraint(['change_id'], ['correction_changes.id'], name=op.f('fk_corrections_change_id')),
    sa.PrimaryKeyConstraint('content_hash', 'label_key', name=op.f('pk_corrections'))
    )
    op.create_index('ix_corrections_change_id', 'corrections', ['change_id'], unique=False)
    op.create_index('ix_corrections_confirmed', 'corrections', ['label_key', 'content_hash'], unique=False, postgresql_where=sa.text("verdict = 'yes'"))


def downgrade() -> None:
    """What people have said of labels is lost: the older version has no place for it."""
    op.execute("SET lock_timeout = '5s'")
    op.drop_index('ix_corrections_confirmed', table_name='corrections', postgresql_where=sa.text("verdict = 'yes'"))
    op.drop_index('ix_corrections_change_id', table_name='corrections')
    op.drop_table('corrections')
    op.drop_index('ix_correction_entries_of_label', table_name='correction_entries')
    op.drop_index('ix_correction_entries_change_id', table_name='correction_entries')
    op.drop_table('correction_entries')
    op.drop_table('reviews')
    op.drop_table('label_sets')
    op.drop_index('ix_correction_changes_created_at_id', table_name='correction_changes')
    op.drop_table('correction_changes')
