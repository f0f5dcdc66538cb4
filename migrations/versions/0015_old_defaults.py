"""studies and trainings keep the defaults that they were made with"""

from alembic import op

revision = '0015'
down_revision = '0014'
branch_labels = None
depends_on = None

# A study stores only the fields that were set, and new defaults would train other models than those that its
# trials have measured. A kind of model that it searches for, other than that of its experiment, has the new ones.
STUDIES = """
    UPDATE studies SET config = jsonb_set(config, '{experiment}', config -> 'experiment' || jsonb_build_object(
        'model', CASE config #>> '{experiment,model,kind}'
            WHEN 'transfer' THEN '{"head": "linear", "single_label": false}'
            WHEN 'audio_cnn' THEN '{"single_label": true}'
            WHEN 'ensemble' THEN '{}'
            ELSE '{"single_label": false}'
        END::jsonb || (config #> '{experiment,model}'),
        'split', '{"folds": 1, "seed": 0}' || jsonb_strip_nulls(coalesce(config #> '{experiment,split}', '{}')),
        'training', '{"patches_per_track": 1}' || coalesce(config #> '{experiment,training}', '{}'),
        'evaluation', '{"calibration": "platt"}' || coalesce(config #> '{experiment,evaluation}', '{}')
    ))
    WHERE jsonb_typeof(config #> '{experiment,model}') = 'object'
"""
# A training stores all fields; without `folds` it had one split, and labels were exclusive only where it says so.
TRAININGS = """
    UPDATE jobs SET params = jsonb_set(params, '{experiment}', params -> 'experiment' || jsonb_build_object(
        'model', CASE params #>> '{experiment,model,kind}'
            WHEN 'ensemble' THEN '{}'
            ELSE '{"single_label": false}'
        END::jsonb || (params #> '{experiment,model}'),
        'split', '{"folds": 1}' || jsonb_strip_nulls(params #> '{experiment,split}')
    ))
    WHERE kind = 'training' AND jsonb_typeof(params #> '{experiment,model}') = 'object'
        AND jsonb_typeof(params #> '{experiment,split}') = 'object'
"""
# The older version knows neither of these values.
FOLDS_BACK = """
    UPDATE {table} SET {column} = {column} #- '{{experiment,split,folds}}'
    WHERE {column} #> '{{experiment,split,folds}}' = '1'
"""
EXCLUSIVE_BACK = """
    UPDATE {table} SET {column} = {column} #- '{{experiment,model,single_label}}'
    WHERE {column} #> '{{experiment,model,single_label}}' = 'false'
        AND {column} #>> '{{experiment,model,kind}}' <> 'audio_cnn'
"""


def upgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    op.execute(STUDIES)
    op.execute(TRAININGS)


def downgrade() -> None:
    op.execute("SET lock_timeout = '5s'")
    for table, column in (('studies', 'config'), ('jobs', 'params')):
        op.execute(FOLDS_BACK.format(table=table, column=column))
        op.execute(EXCLUSIVE_BACK.format(table=table, column=column))
