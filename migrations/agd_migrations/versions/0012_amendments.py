"""A campaign goes on with a larger budget: the change of its specification is a row, and so is the end that it undid.

Revision ID: 0012
Revises: 0011
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_DEFENCE = import_module("agd_migrations.versions.0006_defence")
_JOBS = import_module("agd_migrations.versions.0008_jobs")
_FORMULAS = import_module("agd_migrations.versions.0011_formulas")

V_CAMPAIGN_BUDGET = """
CREATE OR REPLACE VIEW v_campaign_budget AS
SELECT k.id AS campaign_id, k.name AS campaign, coalesce(a.new_value, k.budget_calls) AS calls,
       k.budget_calls AS calls_at_first, coalesce(a.number, 0) AS n_amendments
FROM campaign k
LEFT JOIN LATERAL (SELECT m.number, m.new_value FROM campaign_amendment m
                   WHERE m.campaign_id = k.id ORDER BY m.number DESC LIMIT 1) a ON true
"""

V_CAMPAIGN_PROGRESS = """
CREATE OR REPLACE VIEW v_campaign_progress AS
SELECT k.name AS campaign, k.property, p.unit, k.target_low, k.target_high, k.mode, b.calls AS budget_calls,
       count(*) FILTER (WHERE i.is_recorded) AS n_iterations,
       coalesce(sum(i.n_suggested), 0)::bigint AS n_suggested,
       coalesce(sum(i.n_undecodable), 0)::bigint AS n_undecodable,
       coalesce(sum(i.n_decodable), 0)::bigint AS n_decodable,
       coalesce(sum(i.n_duplicate), 0)::bigint AS n_duplicate,
       coalesce(sum(i.n_known), 0)::bigint AS n_known,
       coalesce(sum(i.n_rejected), 0)::bigint AS n_rejected,
       coalesce(sum(i.n_new), 0)::bigint AS n_new,
       coalesce(sum(i.n_charged), 0)::bigint AS n_charged,
       coalesce(sum(i.n_finds), 0)::bigint AS n_finds,
       round(sum(i.n_finds) / nullif(sum(i.n_charged), 0), 4) AS finds_per_call,
       max(i.highest) AS highest, min(i.lowest) AS lowest, t.name AS twin_of,
       k.created_at, k.stop_requested_at, k.ended_at, k.end_reason, k.id AS campaign_id,
       coalesce(sum(i.n_known_finds), 0)::bigint AS n_known_finds, b.calls_at_first AS budget_calls_at_first
FROM campaign k
JOIN v_campaign_budget b ON b.campaign_id = k.id
JOIN property p ON p.name = k.property
LEFT JOIN campaign t ON t.id = k.twin_of_id
LEFT JOIN v_iteration i ON i.campaign_id = k.id
GROUP BY k.id, p.name, t.name, b.calls, b.calls_at_first
"""

IS_UNDONE = """
CREATE OR REPLACE FUNCTION agd_is_undone(of_campaign bigint, ended_at timestamptz, end_reason text) RETURNS boolean
LANGUAGE sql STABLE AS $$
SELECT EXISTS (SELECT FROM campaign_amendment a
               WHERE a.campaign_id = $1 AND a.ended_at = $2 AND a.end_reason = $3)
$$
"""

AMENDING = """
CREATE OR REPLACE FUNCTION agd_amending() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_next boolean;
BEGIN
    EXECUTE format('SELECT ($1).number = b.n_amendments + 1 AND ($1).old_value = b.calls'
                   ' AND ($1).ended_at IS NOT DISTINCT FROM k.ended_at'
                   ' AND ($1).end_reason IS NOT DISTINCT FROM k.end_reason'
                   ' FROM %1$I.campaign k JOIN %1$I.v_campaign_budget b ON b.campaign_id = k.id'
                   ' WHERE k.id = ($1).campaign_id', TG_TABLE_SCHEMA)
    INTO is_next USING NEW;
    IF is_next IS NOT TRUE THEN
        RAISE EXCEPTION 'campaign %: an amendment goes on from what holds, and holds the end that it undoes',
            NEW.campaign_id
            USING ERRCODE = 'check_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
                  CONSTRAINT = 'amendment_goes_on';
    END IF;
    RETURN NEW;
END
$$
"""

CONTENT_HASH_V2 = r"""
CREATE OR REPLACE FUNCTION agd_content_hash_v2(campaign_name text) RETURNS text LANGUAGE sql STABLE AS $$
WITH k AS (SELECT * FROM campaign WHERE name = campaign_name),
suggestion AS (
    SELECT e.*, e.suggestion_id AS id FROM v_suggestion_state e WHERE e.campaign_id = (SELECT id FROM k)
),
source AS (
    SELECT l.id, l.composition_id,
           concat_ws(' ', l.property, encode(float8send(l.value), 'hex'),
                     coalesce(encode(float8send(l.uncertainty), 'hex'), '-'),
                     coalesce(d.recipe_sha256, m.tensors_sha256,
                              concat_ws('|', 'measured', e.operator, to_char(e.measured_on, 'YYYY-MM-DD'),
                                        e.replicate)),
                     'retracted: ' || x.reason) AS line
    FROM label l LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id LEFT JOIN retraction x ON x.label_id = l.id
    WHERE l.id IN (SELECT label_id FROM suggestion s JOIN k ON k.id = s.campaign_id)
       OR l.id IN (SELECT t.label_id FROM training_set_member t
                   JOIN campaign_set q USING (training_set_id) JOIN k ON k.id = q.campaign_id)
       OR l.id IN (SELECT t.label_id FROM training_set_member t JOIN model_version v USING (training_set_id)
                   JOIN screening g ON g.model_version_id = v.id JOIN k ON k.id = g.campaign_id)
),
line AS (
    SELECT 'campaign ' || spec_sha256 AS line FROM k
    UNION ALL
    SELECT concat_ws(' ', 'amendment', a.number, a.key, a.old_value, a.new_value, a.n_steps)
    FROM k JOIN campaign_amendment a ON a.campaign_id = k.id
    UNION ALL
    SELECT concat_ws(' ', 'iteration', i.iteration)
    FROM v_iteration i JOIN k ON k.id = i.campaign_id WHERE i.is_recorded
    UNION ALL
    SELECT concat_ws(' ', 'member', q.role, c.reduced_formula, t.is_held_out::int, coalesce(source.line, '-'))
    FROM k JOIN campaign_set q ON q.campaign_id = k.id JOIN training_set_member t USING (training_set_id)
    JOIN composition c ON c.id = t.composition_id LEFT JOIN source ON source.id = t.label_id
    UNION ALL
    SELECT concat_ws(' ', 'model', q.role, m.recipe_sha256, m.tensors_sha256)
    FROM k JOIN campaign_model q ON q.campaign_id = k.id JOIN model_version m ON m.id = q.model_version_id
    UNION ALL
    SELECT concat_ws(' ', 'suggestion', i.number, s.rank, s.proposed, encode(sha256(array_send(z.vector)), 'hex'),
                     coalesce(encode(float8send(s.posterior_mean), 'hex'), '-'),
                     coalesce(encode(float8send(s.posterior_sd), 'hex'), '-'),
                     coalesce(encode(float8send(s.acquisition), 'hex'), '-'),
                     coalesce(s.outcome, '-'), coalesce(c.reduced_formula, '-'), coalesce(s.reason, '-'),
                     coalesce(f.reason, '-'), coalesce(source.line, '-'))
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN latent z ON z.id = s.latent_id LEFT JOIN composition c ON c.id = s.composition_id
    LEFT JOIN decode_failure f ON f.suggestion_id = s.id LEFT JOIN source ON source.id = s.label_id
    UNION ALL
    SELECT concat_ws(' ', 'screening', g.recipe_sha256, m.recipe_sha256, m.tensors_sha256)
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version m ON m.id = g.model_version_id
    UNION ALL
    SELECT concat_ws(' ', 'screener member', g.recipe_sha256, c.reduced_formula, t.is_held_out::int, source.line)
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version m ON m.id = g.model_version_id
    JOIN training_set_member t ON t.training_set_id = m.training_set_id
    JOIN composition c ON c.id = t.composition_id LEFT JOIN source ON source.id = t.label_id
    UNION ALL
    SELECT concat_ws(' ', 'stage', g.recipe_sha256, t.position, t.name, t.n_left)
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN stage t ON t.activity_id = g.activity_id AND t.role = g.role
    UNION ALL
    SELECT concat_ws(' ', 'hit', g.recipe_sha256, h.rank, c.reduced_formula, h.line,
                     encode(float8send(h.value), 'hex'), encode(float8send(h.uncertainty), 'hex'))
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN screening_hit h ON h.screening_id = g.id
    JOIN composition c ON c.id = h.composition_id
)
SELECT encode(sha256(convert_to(string_agg(line, E'\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') FROM line
$$
"""

CONTENT_HASH_V3 = r"""
CREATE OR REPLACE FUNCTION agd_content_hash_v3(campaign_name text, n_steps integer DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE AS $$
WITH k AS (SELECT c.*, coalesce($2, agd_search_progress(c.id)) AS n FROM campaign c WHERE c.name = $1),
line AS (
    SELECT json_build_array('campaign', k.spec - 'name', k.seed, k.mode, k.property, encode(float8send(k.target_low), 'hex'),
                            encode(float8send(k.target_high), 'hex'), k.budget_calls)::text AS line FROM k
    UNION ALL
    SELECT json_build_array('end', k.end_reason)::text
    FROM k WHERE k.end_reason IS NOT NULL AND k.n >= agd_search_progress(k.id)
    UNION ALL
    SELECT json_build_array('end', a.end_reason)::text
    FROM k JOIN campaign_amendment a ON a.campaign_id = k.id AND a.n_steps = k.n WHERE a.end_reason IS NOT NULL
    UNION ALL
    SELECT json_build_array('amendment', a.number, a.key, a.old_value, a.new_value, a.n_steps)::text
    FROM k JOIN campaign_amendment a ON a.campaign_id = k.id AND a.n_steps < k.n
    UNION ALL
    SELECT json_build_array('iteration', i.number)::text
    FROM k JOIN iteration i ON i.campaign_id = k.id AND 4 * i.number + 1 <= k.n
    WHERE EXISTS (SELECT FROM activity a WHERE a.iteration_id = i.id AND a.kind = 'record' AND a.outcome = 'done')
    UNION ALL
    SELECT json_build_array('member', q.role, c.reduced_formula, t.is_held_out, t.is_validation,
                     l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'),
                     coalesce(d.recipe_sha256, m.tensors_sha256), e.operator,
                     to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate)::text
    FROM k JOIN campaign_set q ON q.campaign_id = k.id JOIN training_set_member t USING (training_set_id)
    JOIN composition c ON c.id = t.composition_id LEFT JOIN label l ON l.id = t.label_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id
    UNION ALL
    SELECT json_build_array('pool', d.recipe_sha256)::text
    FROM k JOIN campaign_pool q ON q.campaign_id = k.id JOIN dataset d ON d.id = q.dataset_id
    UNION ALL
    SELECT json_build_array('known', d.recipe_sha256)::text
    FROM k JOIN campaign_known q ON q.campaign_id = k.id JOIN dataset d ON d.id = q.dataset_id
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
                     encode(float8send(s.posterior_mean), 'hex'), encode(float8send(s.posterior_sd), 'hex'), encode(float8send(s.acquisition), 'hex'),
                     CASE WHEN s.proposed = 'composition' OR 4 * i.number - 1 <= k.n THEN c.reduced_formula END,
                     CASE WHEN 4 * i.number - 1 <= k.n THEN s.outcome END,
                     CASE WHEN 4 * i.number - 1 <= k.n THEN s.reason END,
                     CASE WHEN 4 * i.number - 1 <= k.n THEN f.reason END)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    LEFT JOIN latent z ON z.id = s.latent_id LEFT JOIN composition c ON c.id = s.composition_id
    LEFT JOIN decode_failure f ON f.suggestion_id = s.id
    WHERE 4 * i.number - 2 <= k.n
    UNION ALL
    SELECT json_build_array('parent', i.number, s.rank, c.reduced_formula, p.operator)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN suggestion_parent p ON p.suggestion_id = s.id JOIN composition c ON c.id = p.composition_id
    WHERE 4 * i.number - 2 <= k.n
    UNION ALL
    SELECT json_build_array('answer', i.number, s.rank, l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'),
                     coalesce(d.recipe_sha256, m.tensors_sha256), e.operator,
                     to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN label l ON l.id = s.label_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id
    WHERE 4 * i.number <= k.n
    UNION ALL
    SELECT json_build_array('no answer', i.number, s.rank)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN given_up g ON g.suggestion_id = s.id
    WHERE 4 * i.number <= k.n
)
SELECT encode(sha256(convert_to(string_agg(line, E'\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') FROM line
$$
"""  # noqa: E501  as it is printed

CONTENT_HASH_WITH_LATER = r"""
CREATE OR REPLACE FUNCTION agd_content_hash_v3_with_later(campaign_name text) RETURNS text LANGUAGE sql STABLE AS $$
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
    SELECT json_build_array('amendment', a.number, a.key, a.old_value, a.new_value, a.n_steps)::text
    FROM k JOIN campaign_amendment a ON a.campaign_id = k.id AND a.n_steps >= agd_search_progress(k.id)
    UNION ALL
    SELECT json_build_array('retraction', c.reduced_formula, l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'),
                     coalesce(d.recipe_sha256, m.tensors_sha256), e.operator,
                     to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate, x.reason)::text
    FROM used JOIN retraction x USING (label_id) JOIN label l ON l.id = x.label_id
    JOIN composition c ON c.id = l.composition_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id
    UNION ALL
    SELECT json_build_array('answer anew', i.number, s.rank, r.number, l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'),
                     coalesce(d.recipe_sha256, m.tensors_sha256), e.operator,
                     to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN label_replacement r ON r.suggestion_id = s.id JOIN label l ON l.id = r.label_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id
    UNION ALL
    SELECT json_build_array('given up', i.number, s.rank, g.reason)::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN given_up g ON g.suggestion_id = s.id
    UNION ALL
    SELECT json_build_array('screening', g.recipe_sha256, m.recipe_sha256, m.tensors_sha256)::text
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version m ON m.id = g.model_version_id
    UNION ALL
    SELECT json_build_array('screener member', g.recipe_sha256, c.reduced_formula, t.is_held_out, t.is_validation,
                     l.property, encode(float8send(l.value), 'hex'), encode(float8send(l.uncertainty), 'hex'),
                     coalesce(d.recipe_sha256, m.tensors_sha256), e.operator,
                     to_char(e.measured_on, 'YYYY-MM-DD'), e.replicate)::text
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN model_version v ON v.id = g.model_version_id
    JOIN training_set_member t ON t.training_set_id = v.training_set_id
    JOIN composition c ON c.id = t.composition_id LEFT JOIN label l ON l.id = t.label_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
    LEFT JOIN measurement e ON e.id = l.measurement_id
    UNION ALL
    SELECT json_build_array('stage', g.recipe_sha256, t.position, t.name, t.n_left)::text
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN stage t ON t.activity_id = g.activity_id AND t.role = g.role
    UNION ALL
    SELECT json_build_array('hit', g.recipe_sha256, h.rank, c.reduced_formula, h.line, h.formula, encode(float8send(h.value), 'hex'),
                     encode(float8send(h.uncertainty), 'hex'))::text
    FROM k JOIN screening g ON g.campaign_id = k.id JOIN screening_hit h ON h.screening_id = g.id
    JOIN composition c ON c.id = h.composition_id
)
SELECT encode(sha256(convert_to(string_agg(line, E'\n' ORDER BY line COLLATE "C"), 'UTF8')), 'hex') FROM line
$$
"""  # noqa: E501  as it is printed

FILLED, FREE = _DEFENCE.FILLED["campaign"], _DEFENCE.FREE["campaign"]
"""What is filled in when a campaign ends, and what says how it stands."""

_LATER = {"hash_version"}
"""Columns of a campaign that are defended by a trigger of their own."""


def upgrade() -> None:
    op.create_table(
        "campaign_amendment",
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="the highest one holds"),
        sa.Column("key", sa.Text(), nullable=False, comment="of the specification"),
        sa.Column("old_value", sa.Integer(), nullable=False),
        sa.Column("new_value", sa.Integer(), nullable=False, comment="holds for the steps that follow"),
        sa.Column("n_steps", sa.Integer(), nullable=False, comment="steps of the search that were done before"),
        sa.Column(
            "ended_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the end that it undid, NULL where the search was going on",
        ),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("number > 0", name=op.f("ck_campaign_amendment_number_is_positive")),
        sa.CheckConstraint("key = 'budget.oracle_calls'", name=op.f("ck_campaign_amendment_key_may_change")),
        sa.CheckConstraint("old_value > 0 AND new_value > old_value", name=op.f("ck_campaign_amendment_budget_grows")),
        sa.CheckConstraint("n_steps >= 0", name=op.f("ck_campaign_amendment_n_steps_is_a_count")),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (end_reason IS NULL)", name=op.f("ck_campaign_amendment_end_has_reason")
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_amendment_campaign_id")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_campaign_amendment_activity_id")),
        sa.PrimaryKeyConstraint("campaign_id", "number", name=op.f("pk_campaign_amendment")),
    )
    for text in (V_CAMPAIGN_BUDGET, V_CAMPAIGN_PROGRESS, IS_UNDONE, AMENDING):
        op.execute(text)
    for text in (CONTENT_HASH_V2, CONTENT_HASH_V3, CONTENT_HASH_WITH_LATER):
        op.execute(text)
    op.execute(
        "CREATE TRIGGER defend_table BEFORE TRUNCATE ON campaign_amendment FOR EACH STATEMENT"
        " EXECUTE FUNCTION agd_defend()"
    )
    for event, name in (("DELETE", "defend_rows"), ("UPDATE", "defend_values")):
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON campaign_amendment FOR EACH ROW"
            " EXECUTE FUNCTION agd_defend('', '')"
        )
    op.execute(
        "CREATE TRIGGER amendment_goes_on BEFORE INSERT ON campaign_amendment FOR EACH ROW"
        " EXECUTE FUNCTION agd_amending()"
    )
    _defend_campaign(filled="", free=f"{FREE} {FILLED}")
    op.execute(
        "CREATE TRIGGER defend_end BEFORE UPDATE ON campaign FOR EACH ROW WHEN (OLD.ended_at IS NOT NULL"
        " AND record_image_ne(ROW(OLD.ended_at, OLD.end_reason), ROW(NEW.ended_at, NEW.end_reason))"
        " AND NOT (NEW.ended_at IS NULL AND NEW.end_reason IS NULL"
        " AND agd_is_undone(OLD.id, OLD.ended_at, OLD.end_reason)))"
        f" EXECUTE FUNCTION agd_defend('{FILLED}', '{FREE}')"
    )


def downgrade() -> None:
    """Go back; refused where that would lose what the revision before cannot hold."""
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM campaign_amendment)")):
        raise RuntimeError(
            f"revision {down_revision} has no place for amendments of campaigns, and the record has some:"
            " nothing was changed"
        )
    op.execute("DROP TRIGGER defend_end ON campaign")
    _defend_campaign(filled=FILLED, free=FREE)
    op.execute("DROP VIEW v_campaign_progress")  # a view in place of another keeps its columns, and one is new
    op.execute(_FORMULAS.V_CAMPAIGN_PROGRESS)
    op.execute(_FORMULAS.CONTENT_HASH_V3)
    for text in _JOBS.CHANGED.values():
        op.execute(text.replace("CREATE ", "CREATE OR REPLACE ", 1))
    op.execute("DROP VIEW v_campaign_budget")
    op.drop_table("campaign_amendment")
    for function in ("agd_amending()", "agd_is_undone(bigint, timestamptz, text)"):
        op.execute(f"DROP FUNCTION {function}")


def _defend_campaign(*, filled: str, free: str) -> None:
    """Have the values of a campaign defended but for those in `free`, and those in `filled` once they are there."""
    columns = [column["name"] for column in sa.inspect(op.get_bind()).get_columns("campaign")]
    changed = " OR ".join(
        (f"OLD.{column} IS NOT NULL AND " if column in filled.split() else "")
        + f"record_image_ne(ROW(OLD.{column}), ROW(NEW.{column}))"
        for column in columns
        if column not in free.split() and column not in _LATER
    )
    op.execute("DROP TRIGGER defend_values ON campaign")
    op.execute(
        f"CREATE TRIGGER defend_values BEFORE UPDATE ON campaign FOR EACH ROW WHEN (true AND ({changed}))"
        f" EXECUTE FUNCTION agd_defend('{filled}', '{free}')"
    )
