"""Suggestions are reached from their campaign or their composition, and one property has the highest for its front.

Revision ID: 0026
Revises: 0025
"""

from importlib import import_module

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_PROPERTIES = import_module("agd_migrations.versions.0014_properties")
_TALLIES = import_module("agd_migrations.versions.0023_tallies")
_LOOK_UPS = import_module("agd_migrations.versions.0025_look_ups")

V_SUGGESTION_STATE = """
CREATE OR REPLACE VIEW v_suggestion_state AS
SELECT s.id AS suggestion_id, s.campaign_id, s.iteration_id, s.rank, s.proposed, s.latent_id,
       s.posterior_mean, s.posterior_sd, s.acquisition, s.activity_id,
       CASE WHEN g.suggestion_id IS NULL THEN s.outcome ELSE 'unanswered' END AS outcome,
       coalesce(g.reason, s.reason) AS reason,
       s.composition_id, s.decode_activity_id,
       coalesce(r.label_id, s.label_id) AS label_id,
       coalesce(r.activity_id, s.label_activity_id) AS label_activity_id
FROM suggestion s
LEFT JOIN given_up g ON g.suggestion_id = s.id
LEFT JOIN label_replacement r ON r.suggestion_id = s.id
     AND r.number = (SELECT max(n.number) FROM label_replacement n WHERE n.suggestion_id = r.suggestion_id)
"""

V_SUGGESTION = """
CREATE OR REPLACE VIEW v_suggestion AS
SELECT k.name AS campaign, i.number AS iteration, s.rank, s.outcome, s.reason, f.reason AS decode_failure,
       c.reduced_formula, s.value, s.uncertainty, p.unit, s.is_find, s.is_retracted, s.is_charged,
       s.proposed, s.posterior_mean, s.posterior_sd, s.acquisition,
       a.seed, a.started_at AS suggested_at, a.agd_version, a.host,
       m.tensors_sha256 AS autoencoder_sha256,
       s.suggestion_id, s.campaign_id, s.iteration_id, s.latent_id, s.composition_id, s.label_id, s.activity_id,
       s.is_result, s.is_awaited, s.is_known,
       coalesce(q.mean, CASE WHEN num_nonnulls(k.target_low, k.target_high) = 1
                             THEN CASE WHEN k.target_low IS NULL THEN -s.posterior_mean ELSE s.posterior_mean END END)
           AS expected,
       coalesce(q.sd, CASE WHEN num_nonnulls(k.target_low, k.target_high) = 1 AND s.posterior_mean IS NOT NULL
                           THEN s.posterior_sd END) AS expected_sd, s.is_feasible
FROM v_suggestion_judged s
LEFT JOIN campaign k ON k.id = s.campaign_id
LEFT JOIN composition c ON c.id = s.composition_id
LEFT JOIN property p ON p.name = k.property
LEFT JOIN iteration i ON i.id = s.iteration_id
LEFT JOIN activity a ON a.id = s.activity_id
LEFT JOIN latent z ON z.id = s.latent_id
LEFT JOIN model_version m ON m.id = z.model_version_id
LEFT JOIN decode_failure f ON f.suggestion_id = s.suggestion_id
LEFT JOIN suggestion_expectation q ON q.suggestion_id = s.suggestion_id AND q.position = 1
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
    SELECT a.*, CASE WHEN cardinality(a.values) = 1 THEN a.o1 = max(a.o1) OVER () ELSE
           NOT EXISTS (SELECT FROM point b WHERE b.o1 >= a.o1 AND b.o2 >= a.o2 AND b.o3 >= a.o3 AND b.o4 >= a.o4
                       AND (b.o1 > a.o1 OR b.o2 > a.o2 OR b.o3 > a.o3 OR b.o4 > a.o4)) END AS is_on_front
    FROM point a
) f
JOIN composition c ON c.id = f.composition_id
"""

VACUUMED = {"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "1000"}
"""Each launch changes documents, and what it leaves in the index of the checkout is read by the next."""


def upgrade() -> None:
    """Put first what suggestions are asked by."""
    for view in (V_SUGGESTION_STATE, V_SUGGESTION, V_PARETO):
        op.execute(view)
    settings = ", ".join(f"{name} = {value}" for name, value in VACUUMED.items())
    op.execute(f"ALTER TABLE queue.document SET ({settings})")


def downgrade() -> None:
    """Go back."""
    op.execute(f"ALTER TABLE queue.document RESET ({', '.join(VACUUMED)})")
    for view in (_TALLIES.V_SUGGESTION_STATE, _LOOK_UPS.V_SUGGESTION, _PROPERTIES.V_PARETO):
        op.execute(view)
