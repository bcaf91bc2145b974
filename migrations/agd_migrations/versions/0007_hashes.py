"""Hashes of a search and of a dataset, kept as rows, so that what is changed by hand is found.

Revision ID: 0007
Revises: 0006
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_DEFENCE = import_module("agd_migrations.versions.0006_defence")

SEARCH_PROGRESS = """
CREATE FUNCTION agd_search_progress(of_campaign bigint) RETURNS integer LANGUAGE sql STABLE AS $$
SELECT coalesce(max(CASE a.kind WHEN 'encode' THEN 1 WHEN 'suggest' THEN 4 * i.number - 2
                    WHEN 'decode' THEN 4 * i.number - 1 WHEN 'label' THEN 4 * i.number
                    WHEN 'record' THEN 4 * i.number + 1 END), 0)
FROM activity a LEFT JOIN iteration i ON i.id = a.iteration_id
WHERE a.campaign_id = of_campaign AND a.outcome = 'done'
$$
"""


def _hex(column: str) -> str:
    return f"encode(float8send({column}), 'hex')"


_LABEL = f"""l.property, {_hex("l.value")}, {_hex("l.uncertainty")},
                     coalesce(d.recipe_sha256, m.tensors_sha256), e.operator,
                     to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate"""
_LABEL_SOURCES = """LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id"""

# Each line is a JSON array, so that no text within can be taken for another field or another line. The number of steps
# cuts off what was written later: what a step wrote is written once, so a hash can be checked later, too.
CONTENT_HASH = f"""
CREATE FUNCTION agd_content_hash_v3(campaign_name text, n_steps integer DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE AS $$
WITH k AS (SELECT c.*, coalesce($2, agd_search_progress(c.id)) AS n FROM campaign c WHERE c.name = $1),
line AS (
    SELECT json_build_array('campaign', k.spec - 'name', k.seed, k.mode, k.property, {_hex("k.target_low")},
                            {_hex("k.target_high")}, k.budget_calls)::text AS line FROM k
    UNION ALL
    SELECT json_build_array('end', k.end_reason)::text
    FROM k WHERE k.end_reason IS NOT NULL AND k.n >= agd_search_progress(k.id)
    UNION ALL
    SELECT json_build_array('iteration', i.number)::text
    FROM k JOIN iteration i ON i.campaign_id = k.id AND 4 * i.number + 1 <= k.n
    WHERE EXISTS (SELECT FROM activity a WHERE a.iteration_id = i.id AND a.kind = 'record' AND a.outcome = 'done')
    UNION ALL
    SELECT json_build_array('member', q.role, c.reduced_formula, t.is_held_out, t.is_validation,
                     {_LABEL})::text
    FROM k JOIN campaign_set q ON q.campaign_id = k.id JOIN training_set_member t USING (training_set_id)
    JOIN composition c ON c.id = t.composition_id LEFT JOIN label l ON l.id = t.label_id
    {_LABEL_SOURCES}
    UNION ALL
    SELECT json_build_array('pool', d.recipe_sha256)::text
    FROM k JOIN campaign_pool q ON q.campaign_id = k.id JOIN dataset d ON d.id = q.dataset_id
    UNION ALL
    SELECT json_build_array('model', q.role, m.recipe_sha256, m.tensors_sha256)::text
    FROM k JOIN campaign_model q ON q.campaign_id = k.id JOIN model_version m ON m.id = q.model_version_id
    WHERE k.n >= 1
    UNION ALL
    SELECT json_build_array('latent', c.reduced_formula, encode(sha256(array_send(z.vector)), 'hex'))::text
    FROM k JOIN campaign_set q ON q.campaign_id = k.id AND q.role = 'initial'
    JOIN campaign_model r ON r.campaign_id = k.id AND r.role = 'autoencoder'
    JOIN training_set_member t ON t.training_set_id = q.training_set_id
    JOIN latent z ON z.model_version_id = r.model_version_id AND z.composition_id = t.composition_id
    JOIN composition c ON c.id = t.composition_id
    WHERE k.n >= 1
    UNION ALL
    SELECT json_build_array('suggestion', i.number, s.rank, s.proposed, encode(sha256(array_send(z.vector)), 'hex'),
                     {_hex("s.posterior_mean")}, {_hex("s.posterior_sd")}, {_hex("s.acquisition")},
                     CASE WHEN s.proposed = 'composition' OR 4 * i.number - 1 <= k.n THEN c.reduced_formula END,
                     CASE WHEN 4 * i.number - 1 <= k.n THEN s.outcome END,
                     CASE WHEN 4 * i.number - 1 <= k.n THEN s.reason END,
                     CASE WHEN 4 * i.number - 1 <= k.n THEN f.reason END)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN latent z ON z.id = s.latent_id LEFT JOIN composition c ON c.id = s.composition_id
    LEFT JOIN decode_failure f ON f.suggestion_id = s.id
    WHERE 4 * i.number - 2 <= k.n
    UNION ALL
    SELECT json_build_array('answer', i.number, s.rank, {_LABEL})::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN label l ON l.id = s.label_id
    {_LABEL_SOURCES}
    WHERE 4 * i.number <= k.n
    UNION ALL
    SELECT json_build_array('no answer', i.number, s.rank)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN given_up g ON g.suggestion_id = s.id
    WHERE 4 * i.number <= k.n
)
SELECT encode(sha256(convert_to(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') FROM line
$$
"""

CONTENT_HASH_WITH_LATER = f"""
CREATE FUNCTION agd_content_hash_v3_with_later(campaign_name text) RETURNS text LANGUAGE sql STABLE AS $$
WITH k AS (SELECT id FROM campaign WHERE name = $1),
used AS (
    SELECT s.label_id FROM k JOIN suggestion s ON s.campaign_id = k.id WHERE s.label_id IS NOT NULL
    UNION
    SELECT r.label_id FROM k JOIN suggestion s ON s.campaign_id = k.id
    JOIN label_replacement r ON r.suggestion_id = s.id
    UNION
    SELECT t.label_id FROM k JOIN campaign_set q ON q.campaign_id = k.id
    JOIN training_set_member t USING (training_set_id)
    UNION
    SELECT t.label_id FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version m ON m.id = g.model_version_id
    JOIN training_set_member t ON t.training_set_id = m.training_set_id
),
line AS (
    SELECT json_build_array('search', agd_content_hash_v3($1))::text AS line FROM k
    UNION ALL
    SELECT json_build_array('retraction', c.reduced_formula, {_LABEL}, x.reason)::text
    FROM used JOIN retraction x USING (label_id) JOIN label l ON l.id = x.label_id
    JOIN composition c ON c.id = l.composition_id
    {_LABEL_SOURCES}
    UNION ALL
    SELECT json_build_array('answer anew', i.number, s.rank, r.number, {_LABEL})::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN label_replacement r ON r.suggestion_id = s.id JOIN label l ON l.id = r.label_id
    {_LABEL_SOURCES}
    UNION ALL
    SELECT json_build_array('given up', i.number, s.rank, g.reason)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN given_up g ON g.suggestion_id = s.id
    UNION ALL
    SELECT json_build_array('screening', g.recipe_sha256, m.recipe_sha256, m.tensors_sha256)::text
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version m ON m.id = g.model_version_id
    UNION ALL
    SELECT json_build_array('screener member', g.recipe_sha256, c.reduced_formula, t.is_held_out, t.is_validation,
                     {_LABEL})::text
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version v ON v.id = g.model_version_id
    JOIN training_set_member t ON t.training_set_id = v.training_set_id
    JOIN composition c ON c.id = t.composition_id LEFT JOIN label l ON l.id = t.label_id
    {_LABEL_SOURCES}
    UNION ALL
    SELECT json_build_array('stage', g.recipe_sha256, t.position, t.name, t.n_left)::text
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN screening_stage t ON t.screening_id = g.id
    UNION ALL
    SELECT json_build_array('hit', g.recipe_sha256, h.rank, c.reduced_formula, h.line, h.formula, {_hex("h.value")},
                     {_hex("h.uncertainty")})::text
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN screening_hit h ON h.screening_id = g.id
    JOIN composition c ON c.id = h.composition_id
)
SELECT encode(sha256(convert_to(string_agg(line, E'\\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') FROM line
$$
"""

# In blocks of lines: no text of the server's may be longer than 1 GB, and a generation has millions of rows.
DATASET_HASH = f"""
CREATE FUNCTION agd_dataset_hash_v1(of_dataset bigint) RETURNS text LANGUAGE sql STABLE AS $$
WITH block AS (
    SELECT 0 AS part, 0 AS block, json_build_array(source_sha256, recipe_sha256, property, options, n_read,
           n_rejected)::text AS hash FROM dataset WHERE id = $1
    UNION ALL
    SELECT 1, r.line / 10000, encode(sha256(convert_to(string_agg(json_build_array(r.line, c.reduced_formula, r.formula,
           r.n_rows, l.property, {_hex("l.value")}, {_hex("l.uncertainty")})::text, E'\\n'
           ORDER BY r.line, c.reduced_formula COLLATE "C"), 'UTF8')), 'hex')
    FROM (SELECT * FROM dataset_row WHERE dataset_id = $1) r
    FULL JOIN (SELECT * FROM label WHERE dataset_id = $1) l USING (composition_id)
    JOIN composition c ON c.id = composition_id GROUP BY 2
    UNION ALL
    SELECT 2, line / 10000, encode(sha256(convert_to(string_agg(json_build_array(line, kind, formula, value,
           message)::text, E'\\n' ORDER BY line), 'UTF8')), 'hex')
    FROM dataset_reject WHERE dataset_id = $1 GROUP BY 2
    UNION ALL
    SELECT 3, 0, json_build_array(m.tensors_sha256, g.seed, g.first_sample, g.n_samples)::text
    FROM generation g JOIN model_version m ON m.id = g.model_version_id WHERE g.dataset_id = $1
)
SELECT encode(sha256(convert_to(string_agg(json_build_array(part, block, hash)::text, E'\\n' ORDER BY part, block),
              'UTF8')), 'hex') FROM block
$$
"""

FUNCTIONS = {
    "agd_search_progress(bigint)": SEARCH_PROGRESS,
    "agd_content_hash_v3(text, integer)": CONTENT_HASH,
    "agd_content_hash_v3_with_later(text)": CONTENT_HASH_WITH_LATER,
    "agd_dataset_hash_v1(bigint)": DATASET_HASH,
}

COVERS = {
    "agd_search_progress(bigint)": """
How many steps of a search are done: 1 for the latents of the rows it starts from, then four for each iteration,
suggested, decoded, labelled, recorded.
""",
    "agd_content_hash_v3(text, integer)": """
The search alone: what its specification says but for the name, the rows it started from, its models, and what each step
wrote: suggestions, what became of them, their first answers. Equal rows give equal hashes under any name. What came
after a step is not in it: retractions, labels told anew, reasons for giving up, screenings; where they came while the
search went on, they show in the suggestions that followed. With a number of steps: as it was when so many were done.
""",
    "agd_content_hash_v3_with_later(text)": """
The search, and what came after its steps: retractions of labels it used, labels told anew, reasons for giving up,
screenings with what they learned from and their hits.
""",
    "agd_dataset_hash_v1(bigint)": """
A dataset as it was imported or generated: its rows, labels and rejects; neither its name nor retractions.
""",
}

# As far as each has come, with the last step that the hash covers; a campaign that nobody opened has none.
KEEP_SEARCHES = """
INSERT INTO campaign_hash (campaign_id, function, n_steps, sha256, activity_id)
SELECT k.id, 'agd_content_hash_v3', agd_search_progress(k.id), agd_content_hash_v3(k.name), last.activity_id
FROM campaign k CROSS JOIN LATERAL (SELECT coalesce(
    (SELECT max(a.id) FROM activity a WHERE a.campaign_id = k.id AND a.outcome = 'done'
     AND a.lease_expires_at IS NOT NULL),
    (SELECT max(q.activity_id) FROM campaign_set q WHERE q.campaign_id = k.id)) AS activity_id) last
WHERE last.activity_id IS NOT NULL ORDER BY k.id
"""

# Rules that the tables have stated since the first revision and that no revision made.
CHECKS = (
    ("campaign", "budget_is_positive", "budget_calls > 0"),
    ("campaign", "end_reason_is_known", "end_reason IN ('budget spent', 'stalled')"),
    ("iteration", "number_is_positive", "number > 0"),
    ("suggestion", "rank_is_positive", "rank > 0"),
)

TABLES = ("campaign_hash", "dataset_hash")


def upgrade() -> None:
    for table, name, condition in CHECKS:
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)
    op.add_column(
        "campaign",
        sa.Column(
            "hash_version",
            sa.Integer(),
            server_default="2",
            nullable=False,
            comment="of the content hash that is shown: a campaign keeps the one it was begun with",
        ),
    )
    op.alter_column("campaign", "hash_version", server_default="3")
    op.execute(
        "CREATE TRIGGER defend_hash_version BEFORE UPDATE ON campaign FOR EACH ROW"
        " WHEN (OLD.hash_version <> NEW.hash_version)"
        f" EXECUTE FUNCTION agd_defend('{_DEFENCE.FILLED['campaign']}', '{_DEFENCE.FREE['campaign']}')"
    )
    op.create_check_constraint(op.f("ck_campaign_hash_version_is_known"), "campaign", "hash_version IN (2, 3)")
    for name, function in FUNCTIONS.items():
        op.execute(function)
        op.execute(f"COMMENT ON FUNCTION {name} IS '{' '.join(COVERS[name].split())}'")
    _create_tables()
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER defend_table BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION agd_defend()"
        )
        op.execute(
            f"CREATE TRIGGER defend_rows BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION agd_defend('', '')"
        )
        op.execute(
            f"CREATE TRIGGER defend_values BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION agd_defend('', '')"
        )
    op.execute(KEEP_SEARCHES)
    op.execute(
        "INSERT INTO dataset_hash (dataset_id, function, sha256, activity_id)"
        " SELECT id, 'agd_dataset_hash_v1', agd_dataset_hash_v1(id), activity_id FROM dataset ORDER BY id"
    )


def downgrade() -> None:
    """Go back; what the hashes speak of stays, and they are made again by the next upgrade."""
    for name in reversed(TABLES):
        op.drop_table(name)
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")
    op.execute("DROP TRIGGER defend_hash_version ON campaign")
    op.drop_constraint(op.f("ck_campaign_hash_version_is_known"), "campaign")
    op.drop_column("campaign", "hash_version")
    for table, name, _ in CHECKS:
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table)


def _create_tables() -> None:
    op.create_table(
        "campaign_hash",
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("n_steps", sa.Integer(), nullable=False, comment="steps of the search that were done, and are in it"),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False, comment="the last that the hash covers"),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("n_steps >= 0", name=op.f("ck_campaign_hash_n_steps_is_a_count")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_campaign_hash_activity_id")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_hash_campaign_id")),
        sa.PrimaryKeyConstraint("campaign_id", "function", "n_steps", name=op.f("pk_campaign_hash")),
    )
    op.create_table(
        "dataset_hash",
        sa.Column("dataset_id", sa.BigInteger(), nullable=False),
        sa.Column("function", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_dataset_hash_activity_id")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_dataset_hash_dataset_id")),
        sa.PrimaryKeyConstraint("dataset_id", "function", name=op.f("pk_dataset_hash")),
    )
