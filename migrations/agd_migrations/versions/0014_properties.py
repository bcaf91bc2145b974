"""A campaign seeks several properties: each with its target, its model and its labels, and a front among them.

Revision ID: 0014
Revises: 0013
"""

from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_FORMULAS = import_module("agd_migrations.versions.0011_formulas")
_AMENDMENTS = import_module("agd_migrations.versions.0012_amendments")
_REJECTIONS = import_module("agd_migrations.versions.0013_rejections")

IS_MET = """
CREATE OR REPLACE FUNCTION agd_is_met(property text, low double precision, high double precision, value double precision)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT $4 >= coalesce($2, '-Infinity') AND $4 <= coalesce($3, 'Infinity') AND agd_is_plausible($1, $4)
$$
"""  # noqa: E501  as it is printed

OBJECTIVE = """
CREATE OR REPLACE FUNCTION agd_objective(low double precision, high double precision, value double precision)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE WHEN $1 IS NULL THEN -$3 WHEN $2 IS NULL THEN $3 ELSE -greatest($1 - $3, $3 - $2, 0) END
$$
"""

V_CAMPAIGN_TARGET = """
CREATE OR REPLACE VIEW v_campaign_target AS
SELECT k.name AS campaign, t.position, t.property, p.unit, t.low, t.high, p.description, k.id AS campaign_id
FROM (SELECT id AS campaign_id, 1 AS position, property, target_low AS low, target_high AS high FROM campaign
      UNION ALL SELECT campaign_id, position, property, low, high FROM campaign_target) t
JOIN campaign k ON k.id = t.campaign_id
JOIN property p ON p.name = t.property
"""

V_EXPECTATION = """
CREATE OR REPLACE VIEW v_expectation AS
SELECT suggestion_id, position, mean, sd FROM suggestion_expectation
UNION ALL
SELECT s.id, 1, CASE WHEN k.target_low IS NULL THEN -s.posterior_mean ELSE s.posterior_mean END, s.posterior_sd
FROM suggestion s JOIN campaign k ON k.id = s.campaign_id
WHERE s.posterior_mean IS NOT NULL AND num_nonnulls(k.target_low, k.target_high) = 1
"""

V_SUGGESTION_JUDGED = """
CREATE OR REPLACE VIEW v_suggestion_judged AS
SELECT s.*, l.value, l.uncertainty, x.label_id IS NOT NULL AS is_retracted,
       (agd_is_met(k.property, k.target_low, k.target_high, l.value) AND x.label_id IS NULL AND f.is_feasible)
           AS is_find,
       (s.label_id IS NOT NULL AND (s.outcome = 'new' OR k.mode = 'paper')) AS is_charged,
       coalesce(s.outcome = 'new' AND x.label_id IS NULL AND agd_is_plausible(k.property, l.value), false) AS is_result,
       coalesce(s.outcome = 'new' AND s.label_id IS NULL
                AND (k.spec #>> '{oracle,kind}' IS DISTINCT FROM 'external' OR NOT EXISTS (
                    SELECT FROM label m WHERE m.composition_id = s.composition_id AND m.property = k.property
                    AND m.measurement_id IS NOT NULL
                    AND NOT EXISTS (SELECT FROM retraction w WHERE w.label_id = m.id))), false) AS is_awaited,
       EXISTS (SELECT FROM v_known_dataset d JOIN dataset_row r ON r.dataset_id = d.dataset_id
               WHERE d.campaign_id = s.campaign_id AND r.composition_id = s.composition_id) AS is_known,
       f.is_feasible
FROM v_suggestion_state s
JOIN campaign k ON k.id = s.campaign_id
LEFT JOIN label l ON l.id = s.label_id
LEFT JOIN retraction x ON x.label_id = s.label_id
CROSS JOIN LATERAL (SELECT NOT EXISTS (
    SELECT FROM campaign_target t WHERE t.campaign_id = s.campaign_id AND NOT EXISTS (
        SELECT FROM suggestion_label g JOIN label m ON m.id = g.label_id AND m.property = t.property
        WHERE g.suggestion_id = s.suggestion_id AND g.position = t.position
        AND agd_is_met(t.property, t.low, t.high, m.value)
        AND NOT EXISTS (SELECT FROM retraction w WHERE w.label_id = m.id))) AS is_feasible) f
"""

V_SUGGESTION = """
CREATE OR REPLACE VIEW v_suggestion AS
SELECT k.name AS campaign, i.number AS iteration, s.rank, s.outcome, s.reason, f.reason AS decode_failure,
       c.reduced_formula, s.value, s.uncertainty, p.unit, s.is_find, s.is_retracted, s.is_charged,
       s.proposed, s.posterior_mean, s.posterior_sd, s.acquisition,
       a.seed, a.started_at AS suggested_at, a.agd_version, a.host,
       m.tensors_sha256 AS autoencoder_sha256,
       s.suggestion_id, s.campaign_id, s.iteration_id, s.latent_id, s.composition_id, s.label_id, s.activity_id,
       s.is_result, s.is_awaited, s.is_known, q.mean AS expected, q.sd AS expected_sd, s.is_feasible
FROM v_suggestion_judged s
JOIN campaign k ON k.id = s.campaign_id
JOIN property p ON p.name = k.property
JOIN iteration i ON i.id = s.iteration_id
JOIN activity a ON a.id = s.activity_id
LEFT JOIN latent z ON z.id = s.latent_id
LEFT JOIN model_version m ON m.id = z.model_version_id
LEFT JOIN composition c ON c.id = s.composition_id
LEFT JOIN decode_failure f ON f.suggestion_id = s.suggestion_id
LEFT JOIN v_expectation q ON q.suggestion_id = s.suggestion_id AND q.position = 1
"""

V_SUGGESTION_PROPERTY = """
CREATE OR REPLACE VIEW v_suggestion_property AS
SELECT t.campaign, i.number AS iteration, s.rank, s.outcome, c.reduced_formula, t.position, t.property, l.value,
       l.uncertainty, t.unit, t.low, t.high, x.label_id IS NOT NULL AS is_retracted,
       coalesce(x.label_id IS NULL AND agd_is_met(t.property, t.low, t.high, l.value), false) AS is_met,
       CASE WHEN x.label_id IS NULL AND agd_is_plausible(t.property, l.value)
            THEN agd_objective(t.low, t.high, l.value) END AS objective,
       q.mean AS expected, q.sd AS expected_sd,
       s.suggestion_id, s.campaign_id, s.composition_id, l.id AS label_id
FROM v_suggestion_state s
JOIN iteration i ON i.id = s.iteration_id
JOIN v_campaign_target t ON t.campaign_id = s.campaign_id
LEFT JOIN composition c ON c.id = s.composition_id
LEFT JOIN suggestion_label f ON f.suggestion_id = s.suggestion_id AND f.position = t.position
LEFT JOIN label l ON l.id = CASE t.position WHEN 1 THEN s.label_id ELSE f.label_id END AND l.property = t.property
LEFT JOIN retraction x ON x.label_id = l.id
LEFT JOIN v_expectation q ON q.suggestion_id = s.suggestion_id AND q.position = t.position
"""

V_PARETO = """
CREATE OR REPLACE VIEW v_pareto AS
SELECT k.name AS campaign, f.iteration, f.rank, c.reduced_formula, f.properties, f.units, f.values, f.is_find,
       f.is_on_front, f.campaign_id, f.suggestion_id, f.composition_id
FROM campaign k
CROSS JOIN LATERAL (
    WITH point AS MATERIALIZED (
        SELECT p.campaign_id, p.suggestion_id, p.composition_id, p.iteration, p.rank,
               array_agg(p.property ORDER BY p.position) AS properties, array_agg(p.unit ORDER BY p.position) AS units,
               array_agg(p.value ORDER BY p.position) AS values, bool_and(p.is_met) AS is_find,
               max(p.objective) FILTER (WHERE p.position = 1) AS o1,
               coalesce(max(p.objective) FILTER (WHERE p.position = 2), 0) AS o2,
               coalesce(max(p.objective) FILTER (WHERE p.position = 3), 0) AS o3,
               coalesce(max(p.objective) FILTER (WHERE p.position = 4), 0) AS o4
        FROM v_suggestion_property p WHERE p.campaign_id = k.id AND p.outcome = 'new'
        GROUP BY p.campaign_id, p.suggestion_id, p.composition_id, p.iteration, p.rank
        HAVING bool_and(p.objective IS NOT NULL)
    )
    SELECT a.*, NOT EXISTS (SELECT FROM point b WHERE b.o1 >= a.o1 AND b.o2 >= a.o2 AND b.o3 >= a.o3 AND b.o4 >= a.o4
                            AND (b.o1 > a.o1 OR b.o2 > a.o2 OR b.o3 > a.o3 OR b.o4 > a.o4)) AS is_on_front
    FROM point a
) f
JOIN composition c ON c.id = f.composition_id
"""

V_KNOWN_DATASET = """
CREATE OR REPLACE VIEW v_known_dataset AS
SELECT campaign_id, dataset_id FROM campaign_known
UNION
SELECT q.campaign_id, s.dataset_id
FROM campaign_set q JOIN training_set_source s ON s.training_set_id = q.training_set_id
WHERE q.role <> 'autoencoder'
"""

V_LINEAGE = """
CREATE OR REPLACE VIEW v_lineage AS
SELECT 'composition' AS child_kind, composition_id AS child_id, 'suggested as' AS relation,
       'suggestion' AS parent_kind, id AS parent_id FROM suggestion WHERE composition_id IS NOT NULL
UNION ALL SELECT 'composition', composition_id, 'labelled', 'label', id FROM label
UNION ALL SELECT 'composition', composition_id, 'listed in', 'dataset', dataset_id FROM dataset_row
UNION ALL SELECT 'composition', composition_id, 'encoded as', 'latent', id FROM latent WHERE composition_id IS NOT NULL
UNION ALL SELECT 'composition', composition_id, 'picked in', 'screening', screening_id FROM screening_hit
UNION ALL SELECT 'screening', id, 'of', 'campaign', campaign_id FROM screening WHERE campaign_id IS NOT NULL
UNION ALL SELECT 'screening', id, 'picked by', 'model_version', model_version_id FROM screening
UNION ALL SELECT 'screening', id, 'picked from', 'dataset', dataset_id FROM screening WHERE dataset_id IS NOT NULL
UNION ALL SELECT 'suggestion', id, 'suggested in', 'iteration', iteration_id FROM suggestion
UNION ALL SELECT 'suggestion', id, 'at the point', 'latent', latent_id FROM suggestion WHERE latent_id IS NOT NULL
UNION ALL SELECT 'suggestion', suggestion_id, 'child of', 'composition', composition_id FROM suggestion_parent
UNION ALL SELECT 'suggestion', id, 'labelled', 'label', label_id FROM suggestion WHERE label_id IS NOT NULL
UNION ALL SELECT 'suggestion', suggestion_id, 'labelled', 'label', label_id FROM suggestion_label
UNION ALL SELECT 'iteration', id, 'of', 'campaign', campaign_id FROM iteration
UNION ALL SELECT 'campaign', id, 'control of', 'campaign', twin_of_id FROM campaign WHERE twin_of_id IS NOT NULL
UNION ALL SELECT 'campaign', campaign_id, role || ' set', 'training_set', training_set_id FROM campaign_set
UNION ALL SELECT 'campaign', campaign_id, role, 'model_version', model_version_id FROM campaign_model
UNION ALL SELECT 'latent', id, 'point of', 'model_version', model_version_id FROM latent
UNION ALL SELECT 'label', id, 'row of', 'dataset', dataset_id FROM label WHERE dataset_id IS NOT NULL
UNION ALL SELECT 'label', id, 'answered by', 'model_version', model_version_id
          FROM label WHERE model_version_id IS NOT NULL
UNION ALL SELECT 'label', id, 'measured in', 'measurement', measurement_id FROM label WHERE measurement_id IS NOT NULL
UNION ALL SELECT 'model_version', id, 'trained on', 'training_set', training_set_id FROM model_version
UNION ALL SELECT 'training_set', training_set_id, 'drawn from', 'dataset', dataset_id FROM training_set_source
UNION ALL SELECT 'training_set', training_set_id, 'drawn from', 'campaign', campaign_id FROM training_set_campaign
UNION ALL SELECT 'dataset', dataset_id, 'generated by', 'model_version', model_version_id FROM generation
UNION ALL SELECT 'campaign', campaign_id, 'draws from', 'dataset', dataset_id FROM campaign_pool
UNION ALL SELECT 'campaign', campaign_id, 'takes for known', 'dataset', dataset_id FROM campaign_known
UNION ALL SELECT 'suggestion', suggestion_id, 'labelled anew', 'label', label_id FROM label_replacement
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
    SELECT json_build_array('further answer', i.number, s.rank, x.position, l.property, encode(float8send(l.value), 'hex'),
                     encode(float8send(l.uncertainty), 'hex'), coalesce(d.recipe_sha256, m.tensors_sha256))::text
    FROM k JOIN suggestion s ON s.campaign_id = k.id JOIN iteration i ON i.id = s.iteration_id
    JOIN suggestion_label x ON x.suggestion_id = s.id JOIN label l ON l.id = x.label_id
    LEFT JOIN dataset d ON d.id = l.dataset_id LEFT JOIN model_version m ON m.id = l.model_version_id
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
    SELECT x.label_id FROM k JOIN suggestion s ON s.campaign_id = k.id
    JOIN suggestion_label x ON x.suggestion_id = s.id
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

NEW = (
    *(IS_MET, OBJECTIVE, V_CAMPAIGN_TARGET, V_EXPECTATION, V_SUGGESTION_JUDGED, V_SUGGESTION, V_SUGGESTION_PROPERTY),
    *(V_PARETO, V_KNOWN_DATASET, V_LINEAGE, CONTENT_HASH_V3, CONTENT_HASH_WITH_LATER),
)

TABLES = ("campaign_target", "suggestion_label", "suggestion_expectation")
ROLES = {
    "campaign_set": "role = 'autoencoder' OR role ~ '^(initial|oracle)( [2-4])?$'",
    "campaign_model": "role = 'autoencoder' OR role ~ '^oracle( [2-4])?$'",
}
FORMER_ROLES = {
    "campaign_set": "role IN ('initial', 'autoencoder', 'oracle')",
    "campaign_model": "role IN ('autoencoder', 'oracle')",
}
_FORMER = (
    *(_FORMULAS.V_SUGGESTION_JUDGED, _FORMULAS.V_SUGGESTION, _FORMULAS.V_ITERATION, _AMENDMENTS.V_CAMPAIGN_PROGRESS),
    *(_FORMULAS.V_KNOWN_DATASET, _REJECTIONS.V_LINEAGE),
    *(_AMENDMENTS.CONTENT_HASH_V3, _AMENDMENTS.CONTENT_HASH_WITH_LATER),
)
_DEPENDENT = (
    *("v_pareto", "v_suggestion_property", "v_campaign_progress", "v_iteration", "v_suggestion"),
    *("v_suggestion_judged", "v_expectation", "v_campaign_target"),
)


def upgrade() -> None:
    op.create_table(
        "campaign_target",
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="the first property is the campaign's own"),
        sa.Column("property", sa.Text(), nullable=False),
        sa.Column("low", sa.Double(), nullable=True, comment="a find has at least this value"),
        sa.Column("high", sa.Double(), nullable=True, comment="a find has at most this value"),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("position BETWEEN 2 AND 4", name=op.f("ck_campaign_target_position_is_further")),
        sa.CheckConstraint("num_nonnulls(low, high) > 0", name=op.f("ck_campaign_target_has_bound")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_target_campaign_id")),
        sa.ForeignKeyConstraint(["property"], ["property.name"], name=op.f("fk_campaign_target_property")),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_campaign_target_activity_id")),
        sa.PrimaryKeyConstraint("campaign_id", "position", name=op.f("pk_campaign_target")),
        sa.UniqueConstraint("campaign_id", "property", name=op.f("uq_campaign_target_campaign_id_property")),
    )
    op.create_table(
        "suggestion_label",
        sa.Column("suggestion_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "position", sa.Integer(), nullable=False, comment="of the property; the first label is the row's own"
        ),
        sa.Column("label_id", sa.BigInteger(), nullable=False),
        sa.Column("composition_id", sa.BigInteger(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("position BETWEEN 2 AND 4", name=op.f("ck_suggestion_label_position_is_further")),
        sa.ForeignKeyConstraint(
            ["suggestion_id", "composition_id"],
            ["suggestion.id", "suggestion.composition_id"],
            name=op.f("fk_suggestion_label_suggestion_id_composition_id"),
        ),
        sa.ForeignKeyConstraint(
            ["label_id", "composition_id"],
            ["label.id", "label.composition_id"],
            name=op.f("fk_suggestion_label_label_id_composition_id"),
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_suggestion_label_activity_id")),
        sa.PrimaryKeyConstraint("suggestion_id", "position", name=op.f("pk_suggestion_label")),
    )
    op.create_index("ix_suggestion_label_label", "suggestion_label", ["label_id"])
    op.create_table(
        "suggestion_expectation",
        sa.Column("suggestion_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="of the property among the campaign's targets"),
        sa.Column("mean", sa.Double(), nullable=False, comment="what the sampler expected, in the property's unit"),
        sa.Column("sd", sa.Double(), nullable=False),
        sa.Column("activity_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("position BETWEEN 1 AND 4", name=op.f("ck_suggestion_expectation_position_is_one")),
        sa.ForeignKeyConstraint(
            ["suggestion_id"], ["suggestion.id"], name=op.f("fk_suggestion_expectation_suggestion_id")
        ),
        sa.ForeignKeyConstraint(["activity_id"], ["activity.id"], name=op.f("fk_suggestion_expectation_activity_id")),
        sa.PrimaryKeyConstraint("suggestion_id", "position", name=op.f("pk_suggestion_expectation")),
    )
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER defend_table BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION agd_defend()"
        )
        for event, name in (("DELETE", "defend_rows"), ("UPDATE", "defend_values")):
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION agd_defend('', '')"
            )
    _say_roles(ROLES)
    for text in NEW:
        op.execute(text)


def downgrade() -> None:
    """Go back; refused where that would lose what the revision before cannot hold."""
    kept = {"campaign_target": "further targets of campaigns", "suggestion_expectation": "what samplers expected"}
    for table, what in kept.items():
        if op.get_bind().scalar(sa.text(f"SELECT EXISTS (SELECT FROM {table})")):
            raise RuntimeError(
                f"revision {down_revision} has no place for {what}, and the record has some: nothing was changed"
            )
    for view in _DEPENDENT:
        op.execute(f"DROP VIEW {view}")
    for text in _FORMER:
        op.execute(text)
    for function in (
        "agd_is_met(text, double precision, double precision, double precision)",
        "agd_objective(double precision, double precision, double precision)",
    ):
        op.execute(f"DROP FUNCTION {function}")
    _say_roles(FORMER_ROLES)
    for table in reversed(TABLES):
        op.drop_table(table)


def _say_roles(of: dict[str, str]) -> None:
    for table, known in of.items():
        op.drop_constraint(op.f(f"ck_{table}_role_is_known"), table)
        op.create_check_constraint(op.f(f"ck_{table}_role_is_known"), table, known)
