"""how loud each piece of audio is from beginning to end"""

import sqlalchemy as sa
from alembic import op

revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None


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


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_table('waveforms')
