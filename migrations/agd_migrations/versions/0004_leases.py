"""A step of a campaign is at work or done once: its running activity is its lease, the activity's id the fencing token.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STEPS = "('train autoencoder', 'train oracle', 'encode', 'suggest', 'decode', 'label', 'record')"

V_LEASE = """
CREATE VIEW v_lease AS
SELECT k.name AS campaign, a.kind AS step, i.number AS iteration, a.id AS token, a.host, a.pid, a.fw_id, a.launch_id,
       a.started_at, a.lease_expires_at, a.lease_expires_at < clock_timestamp() AS is_expired,
       a.campaign_id, a.iteration_id
FROM activity a
JOIN campaign k ON k.id = a.campaign_id
LEFT JOIN iteration i ON i.id = a.iteration_id
WHERE a.outcome = 'running' AND a.lease_expires_at IS NOT NULL
"""

V_ATTEMPT = """
CREATE VIEW v_attempt AS
SELECT k.name AS campaign, a.kind AS step, i.number AS iteration, a.outcome, a.error_class, a.error,
       a.started_at, a.ended_at, a.host, a.pid, a.fw_id, a.launch_id,
       a.started_at >= k.retries_from AS is_counted,
       a.id AS activity_id, a.campaign_id, a.iteration_id
FROM activity a
JOIN campaign k ON k.id = a.campaign_id
LEFT JOIN iteration i ON i.id = a.iteration_id
WHERE a.lease_expires_at IS NOT NULL
"""


def upgrade() -> None:
    op.add_column(
        "activity",
        sa.Column(
            "lease_expires_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="of a campaign's step: until when nobody else may take it",
        ),
    )
    op.add_column("activity", sa.Column("error_class", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("ck_activity_error_class_is_known"), "activity", "error_class IN ('transient', 'permanent')"
    )
    op.create_check_constraint(
        op.f("ck_activity_error_class_has_error"), "activity", "error_class IS NULL OR outcome = 'failed'"
    )
    op.execute(
        "UPDATE activity SET lease_expires_at = ended_at"
        f" WHERE campaign_id IS NOT NULL AND outcome <> 'running' AND kind IN {STEPS}"
    )
    op.execute(  # nobody speaks for what was at work: whoever comes next buries it
        f"UPDATE activity a SET lease_expires_at = started_at WHERE outcome = 'running' AND kind IN {STEPS}"
        " AND id = (SELECT max(b.id) FROM activity b WHERE b.campaign_id = a.campaign_id AND b.kind = a.kind"
        " AND b.iteration_id IS NOT DISTINCT FROM a.iteration_id)"
    )
    op.drop_index("uq_activity_done_once", table_name="activity")
    op.create_index(
        "uq_activity_step",
        "activity",
        ["campaign_id", "kind", sa.text("coalesce(iteration_id, 0)")],
        unique=True,
        postgresql_where=sa.text("outcome IN ('running', 'done') AND lease_expires_at IS NOT NULL"),
    )
    op.create_index(
        "ix_activity_running", "activity", ["lease_expires_at"], postgresql_where=sa.text("outcome = 'running'")
    )
    op.add_column("campaign", sa.Column("engine", sa.Text(), server_default="local", nullable=False))
    op.add_column(
        "campaign",
        sa.Column(
            "retries_from",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
            comment="attempts before are forgiven",
        ),
    )
    op.add_column(
        "campaign",
        sa.Column("parked_reason", sa.Text(), nullable=True, comment="why no step of it is tried again by itself"),
    )
    op.execute(V_LEASE)
    op.execute(V_ATTEMPT)


def downgrade() -> None:
    op.execute("DROP VIEW v_attempt")
    op.execute("DROP VIEW v_lease")
    for column in ("parked_reason", "retries_from", "engine"):
        op.drop_column("campaign", column)
    op.drop_index("ix_activity_running", table_name="activity")
    op.drop_index("uq_activity_step", table_name="activity")
    op.create_index(
        "uq_activity_done_once",
        "activity",
        ["iteration_id", "kind"],
        unique=True,
        postgresql_where=sa.text("outcome = 'done'"),
    )
    for column in ("error_class", "lease_expires_at"):
        op.drop_column("activity", column)
