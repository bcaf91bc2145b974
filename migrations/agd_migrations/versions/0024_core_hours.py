"""A ledger of every attempt: whom it served, and what it took.

Revision ID: 0024
Revises: 0023
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

V_CORE_HOURS = """
CREATE OR REPLACE VIEW v_core_hours AS
SELECT m.name AS campaign, a.kind, a.outcome, t.n_cores, t.wall_seconds, x.core_seconds, x.memory_bytes,
       t.n_cores * t.wall_seconds / 3600 AS asked_core_hours,
       coalesce(x.core_seconds, t.n_cores * t.wall_seconds) / 3600 AS spent_core_hours,
       a.host, a.cpu, a.started_at, a.ended_at, x.calculation_id, x.part, a.job_id, m.id AS campaign_id,
       a.id AS activity_id
FROM activity a
LEFT JOIN job j ON j.id = a.job_id
LEFT JOIN calculation_attempt x ON x.activity_id = a.id
LEFT JOIN calculation k ON k.id = x.calculation_id
LEFT JOIN campaign m ON m.id = coalesce(a.campaign_id, k.campaign_id, j.campaign_id)
CROSS JOIN LATERAL (
    SELECT coalesce(x.n_cores, a.threads) AS n_cores,
           coalesce(x.wall_seconds, extract(epoch FROM CASE a.outcome
               WHEN 'lost' THEN greatest(least(a.ended_at, a.lease_expires_at), a.started_at) ELSE a.ended_at END
               - a.started_at)::float8) AS wall_seconds) t
WHERE a.outcome <> 'running'
"""


def upgrade() -> None:
    op.execute(V_CORE_HOURS)


def downgrade() -> None:
    op.execute("DROP VIEW v_core_hours")
