"""What a suggestion counts for is said once: which values can be, what is a result, what is a find, who waits.

Revision ID: 0009
Revises: 0008
"""

from importlib import import_module

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_DEFENCE = import_module("agd_migrations.versions.0006_defence")

IS_PLAUSIBLE = """
CREATE FUNCTION agd_is_plausible(property text, value double precision) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE $1 WHEN 'band_gap' THEN $2 BETWEEN -10 AND 100
               WHEN 'formation_energy' THEN $2 BETWEEN -50 AND 50
               WHEN 'e_above_hull' THEN $2 BETWEEN -50 AND 50
               WHEN 'bulk_modulus' THEN $2 BETWEEN -10000 AND 10000
               WHEN 'shear_modulus' THEN $2 BETWEEN -10000 AND 10000
               WHEN 'density' THEN $2 BETWEEN -100 AND 100
               WHEN 'refractive_index' THEN $2 BETWEEN -1000 AND 1000
               ELSE $2 BETWEEN -1e9 AND 1e9 END AND ($2 = 0 OR abs($2) >= 1e-100)
$$
"""

V_SUGGESTION_JUDGED = """
CREATE VIEW v_suggestion_judged AS
SELECT s.*, l.value, l.uncertainty, x.label_id IS NOT NULL AS is_retracted,
       (l.value >= coalesce(k.target_low, '-Infinity') AND l.value <= coalesce(k.target_high, 'Infinity')
        AND x.label_id IS NULL AND agd_is_plausible(k.property, l.value)) AS is_find,
       (s.label_id IS NOT NULL AND (s.outcome = 'new' OR k.mode = 'paper')) AS is_charged,
       coalesce(s.outcome = 'new' AND x.label_id IS NULL AND agd_is_plausible(k.property, l.value), false) AS is_result,
       coalesce(s.outcome = 'new' AND s.label_id IS NULL
                AND (k.spec #>> '{oracle,kind}' IS DISTINCT FROM 'external' OR NOT EXISTS (
                    SELECT FROM label m WHERE m.composition_id = s.composition_id AND m.property = k.property
                    AND m.measurement_id IS NOT NULL
                    AND NOT EXISTS (SELECT FROM retraction w WHERE w.label_id = m.id))), false) AS is_awaited
FROM v_suggestion_state s
JOIN campaign k ON k.id = s.campaign_id
LEFT JOIN label l ON l.id = s.label_id
LEFT JOIN retraction x ON x.label_id = s.label_id
"""

V_SUGGESTION = """
CREATE VIEW v_suggestion AS
SELECT k.name AS campaign, i.number AS iteration, s.rank, s.outcome, s.reason, f.reason AS decode_failure,
       c.reduced_formula, s.value, s.uncertainty, p.unit, s.is_find, s.is_retracted, s.is_charged,
       s.proposed, s.posterior_mean, s.posterior_sd, s.acquisition,
       a.seed, a.started_at AS suggested_at, a.agd_version, a.host,
       m.tensors_sha256 AS autoencoder_sha256,
       s.suggestion_id, s.campaign_id, s.iteration_id, s.latent_id, s.composition_id, s.label_id, s.activity_id,
       s.is_result, s.is_awaited
FROM v_suggestion_judged s
JOIN campaign k ON k.id = s.campaign_id
JOIN property p ON p.name = k.property
JOIN iteration i ON i.id = s.iteration_id
JOIN activity a ON a.id = s.activity_id
JOIN latent z ON z.id = s.latent_id
JOIN model_version m ON m.id = z.model_version_id
LEFT JOIN composition c ON c.id = s.composition_id
LEFT JOIN decode_failure f ON f.suggestion_id = s.suggestion_id
"""

V_ITERATION = """
CREATE VIEW v_iteration AS
SELECT k.name AS campaign, i.number AS iteration,
       count(s.suggestion_id) AS n_suggested,
       count(*) FILTER (WHERE s.outcome = 'undecodable') AS n_undecodable,
       count(*) FILTER (WHERE s.outcome <> 'undecodable') AS n_decodable,
       count(*) FILTER (WHERE s.outcome = 'duplicate') AS n_duplicate,
       count(*) FILTER (WHERE s.outcome = 'known') AS n_known,
       count(*) FILTER (WHERE s.outcome IN ('rejected', 'unanswered')) AS n_rejected,
       count(*) FILTER (WHERE s.outcome = 'new' AND s.label_id IS NOT NULL) AS n_new,
       count(*) FILTER (WHERE s.is_charged) AS n_charged,
       count(*) FILTER (WHERE s.is_result AND s.is_find) AS n_finds,
       max(s.value) FILTER (WHERE s.is_result) AS highest,
       min(s.value) FILTER (WHERE s.is_result) AS lowest,
       EXISTS (SELECT FROM activity a WHERE a.iteration_id = i.id AND a.kind = 'record' AND a.outcome = 'done')
           AS is_recorded,
       i.id AS iteration_id, i.campaign_id
FROM iteration i
JOIN campaign k ON k.id = i.campaign_id
LEFT JOIN v_suggestion_judged s ON s.iteration_id = i.id AND s.campaign_id = i.campaign_id
GROUP BY k.id, i.id
"""


def upgrade() -> None:
    for text in (IS_PLAUSIBLE, V_SUGGESTION_JUDGED):
        op.execute(text)
    for text in (V_SUGGESTION, V_ITERATION):
        op.execute(_replacing(text))


def downgrade() -> None:
    op.execute("DROP VIEW v_suggestion")  # a view in place of another keeps its columns, and two are new
    op.execute(_DEFENCE.V_SUGGESTION)
    op.execute(_replacing(_DEFENCE.V_ITERATION))
    op.execute("DROP VIEW v_suggestion_judged")
    op.execute("DROP FUNCTION agd_is_plausible(text, double precision)")


def _replacing(text: str) -> str:
    """A view takes the place of the one of its name, whose columns it keeps."""
    return text.replace("CREATE ", "CREATE OR REPLACE ", 1)
