"""maps: where tracks lie in the plane"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0020'
down_revision = '0019'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.create_table('maps',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=True),
    sa.Column('encoder_id', sa.Integer(), nullable=False),
    sa.Column('library_id', sa.Uuid(), nullable=True),
    sa.Column('model', sa.Text(), nullable=False),
    sa.Column('seed', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('completed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('points', sa.Integer(), nullable=False),
    sa.Column('facts', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('labels', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('positions', sa.LargeBinary(), nullable=True),
    sa.Column('colours', sa.LargeBinary(), nullable=True),
    sa.Column('picture', sa.LargeBinary(), nullable=True),
    sa.ForeignKeyConstraint(['encoder_id'], ['encoders.id'], name=op.f('fk_maps_encoder_id')),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_maps_job_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['library_id'], ['libraries.id'], name=op.f('fk_maps_library_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_maps')),
    sa.UniqueConstraint('job_id', name=op.f('uq_maps_job_id'))
    )
    op.create_index('ix_maps_encoder_id_library_id', 'maps', ['encoder_id', 'library_id'], unique=False)
    op.create_table('map_points',
    sa.Column('map_id', sa.Uuid(), nullable=False),
    sa.Column('place', sa.Integer(), nullable=False),
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('x', sa.Integer(), nullable=False),
    sa.Column('y', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['map_id'], ['maps.id'], name=op.f('fk_map_points_map_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('map_id', 'place', name=op.f('pk_map_points'))
    )
    op.create_index('ix_map_points_content_hash', 'map_points', ['content_hash'], unique=False)
    op.create_index('ix_map_points_map_id_x_y', 'map_points', ['map_id', 'x', 'y'], unique=False)


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.drop_table('map_points')
    op.drop_table('maps')
