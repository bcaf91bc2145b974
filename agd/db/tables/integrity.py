"""What shows that rows were changed: hashes that are kept, and removals with their reason."""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, ForeignKey, Integer, Table, Text, func, text

from agd.db.tables.columns import made_by, metadata, ref, row_id

removal = Table(
    "removal",
    metadata,
    row_id(),
    Column("reason", Text, CheckConstraint("reason <> ''", name="reason_is_given"), nullable=False),
    Column("role", Text, nullable=False, server_default=text("session_user")),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column(
        "transaction",
        Text,
        nullable=False,
        server_default=text("pg_current_xact_id()"),
        comment="the only one that may remove or change rows for this reason",
    ),
)

campaign_hash = Table(
    "campaign_hash",
    metadata,
    ref("campaign_id", "campaign.id", primary_key=True),
    Column("function", Text, primary_key=True),
    Column(
        "n_steps",
        Integer,
        CheckConstraint("n_steps >= 0", name="n_steps_is_a_count"),
        primary_key=True,
        autoincrement=False,
        comment="steps of the search that were done, and are in it",
    ),
    Column("sha256", Text, nullable=False),
    Column(
        "activity_id", BigInteger, ForeignKey("activity.id"), nullable=False, comment="the last that the hash covers"
    ),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

dataset_hash = Table(
    "dataset_hash",
    metadata,
    ref("dataset_id", "dataset.id", primary_key=True),
    Column("function", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    made_by(),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
