"""What was done: one row per attempt."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    func,
    text,
)

from agd.db.tables.columns import metadata, ref, row_id

activity = Table(
    "activity",
    metadata,
    row_id(),
    Column("kind", Text, nullable=False),
    ref("campaign_id", "campaign.id", nullable=True),
    Column("iteration_id", BigInteger),
    Column("seed", BigInteger),
    Column("agd_version", Text, nullable=False),
    Column("git_commit", Text),
    Column("host", Text, nullable=False),
    Column("cpu", Text, nullable=False),
    Column("threads", Integer, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("fw_id", BigInteger),
    Column("launch_id", BigInteger),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("ended_at", DateTime(timezone=True)),
    Column("outcome", Text, nullable=False, server_default="running"),
    Column("error", Text),
    Column(
        "lease_expires_at",
        DateTime(timezone=True),
        comment="of a campaign's step: until when nobody else may take it",
    ),
    Column(
        "error_class", Text, CheckConstraint("error_class IN ('transient', 'permanent')", name="error_class_is_known")
    ),
    CheckConstraint("error_class IS NULL OR outcome = 'failed'", name="error_class_has_error"),
    CheckConstraint("outcome IN ('running', 'done', 'failed', 'lost')", name="outcome_is_known"),
    CheckConstraint("(outcome = 'running') = (ended_at IS NULL)", name="end_has_outcome"),
    ForeignKeyConstraint(["iteration_id", "campaign_id"], ["iteration.id", "iteration.campaign_id"]),
    CheckConstraint("iteration_id IS NULL OR campaign_id IS NOT NULL", name="iteration_has_campaign"),
    # Many attempts, one at a time, one success: the database's word that a step of a campaign is done once.
    Index(
        "uq_activity_step",
        "campaign_id",
        "kind",
        text("coalesce(iteration_id, 0)"),
        unique=True,
        postgresql_where=text("outcome IN ('running', 'done') AND lease_expires_at IS NOT NULL"),
    ),
    Index("ix_activity_running", "lease_expires_at", postgresql_where=text("outcome = 'running'")),
    Index("ix_activity_campaign", "campaign_id", "kind"),
)
