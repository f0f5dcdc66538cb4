"""one embedding per piece of audio and encoder, instead of one per model; models of one label a track"""

import pgvector.sqlalchemy
import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.create_table('encoders',
    sa.Column('id', sa.Integer(), sa.Identity(always=False), nullable=False),
    sa.Column('sha256', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_encoders')),
    sa.UniqueConstraint('sha256', name=op.f('uq_encoders_sha256'))
    )
    op.execute("INSERT INTO encoders (sha256) SELECT DISTINCT encoder_sha256 FROM models")
    op.add_column('models', sa.Column('encoder_id', sa.Integer(), nullable=True))
    op.execute("UPDATE models SET encoder_id = encoders.id FROM encoders WHERE encoders.sha256 = encoder_sha256")
    op.alter_column('models', 'encoder_id', nullable=False)
    op.create_foreign_key(op.f('fk_models_encoder_id'), 'models', 'encoders', ['encoder_id'], ['id'])
    op.drop_column('models', 'encoder_sha256')
    op.add_column('models', sa.Column('single_label', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.create_table('embeddings',
    sa.Column('content_hash', sa.LargeBinary(), nullable=False),
    sa.Column('encoder_id', sa.Integer(), nullable=False),
    sa.Column('coverage', sa.Text(), nullable=False),
    sa.Column('duration_s', sa.REAL(), nullable=False),
    sa.Column('vector', pgvector.sqlalchemy.VECTOR(), nullable=False),
    sa.ForeignKeyConstraint(['encoder_id'], ['encoders.id'], name=op.f('fk_embeddings_encoder_id')),
    sa.PrimaryKeyConstraint('content_hash', 'encoder_id', name=op.f('pk_embeddings'))
    )
    # What was heard in full comes first: 'full' < 'windows:...'.
    op.execute("""
        INSERT INTO embeddings (content_hash, encoder_id, coverage, duration_s, vector)
        SELECT DISTINCT ON (content_hash, encoder_id) content_hash, encoder_id, coverage, duration_s, embedding
        FROM predictions JOIN models ON models.id = model_id
        ORDER BY content_hash, encoder_id, coverage
    """)
    op.execute("""
        DO $$
        DECLARE encoder record;
        BEGIN
            FOR encoder IN SELECT DISTINCT encoder_id AS id, embedding_size AS size FROM models LOOP
                EXECUTE format(
                    'CREATE INDEX ix_embeddings_vector_encoder_%s ON embeddings '
                    'USING hnsw ((vector::vector(%s)) vector_cosine_ops) WHERE encoder_id = %s',
                    encoder.id, encoder.size, encoder.id);
            END LOOP;
        END $$
    """)
    op.drop_column('predictions', 'embedding')


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.add_column('predictions', sa.Column('embedding', pgvector.sqlalchemy.VECTOR(), nullable=True))
    op.execute("""
        UPDATE predictions SET embedding = vector FROM embeddings, models
        WHERE models.id = model_id AND embeddings.encoder_id = models.encoder_id
          AND embeddings.content_hash = predictions.content_hash
    """)
    op.alter_column('predictions', 'embedding', nullable=False)
    op.drop_table('embeddings')
    op.add_column('models', sa.Column('encoder_sha256', sa.Text(), nullable=True))
    op.execute("UPDATE models SET encoder_sha256 = encoders.sha256 FROM encoders WHERE encoders.id = encoder_id")
    op.alter_column('models', 'encoder_sha256', nullable=False)
    op.drop_column('models', 'encoder_id')
    op.drop_column('models', 'single_label')
    op.drop_table('encoders')
