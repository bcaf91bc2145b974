"""What is due, every attempt at it, what was left at each stage of one, and a sample of what was not."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from agd.db.tables.columns import metadata, ref, row_id

job = Table(
    "job",
    metadata,
    row_id(),
    Column("kind", Text, nullable=False),
    Column(
        "title",
        Text,
        CheckConstraint("title <> ''", name="title_is_given"),
        nullable=False,
        comment="what a person reads, and FireWorks shows",
    ),
    Column("key_sha256", Text, nullable=False, unique=True, comment="the same for the same work, however often wanted"),
    Column("campaign_id", BigInteger, ForeignKey("campaign.id"), comment="whose step it is, or whom it serves"),
    Column("iteration", Integer, comment="its number, which need not have begun"),
    Column(
        "request",
        JSONB,
        nullable=False,
        server_default="{}",
        comment="all that was asked for; empty for a step, whose campaign says it",
    ),
    Column("priority", Integer, nullable=False, server_default="0", comment="the highest first"),
    Column(
        "n_cores",
        Integer,
        CheckConstraint("n_cores > 0", name="n_cores_is_positive"),
        nullable=False,
        server_default="1",
    ),
    Column(
        "hours",
        Double,
        CheckConstraint("hours > 0 AND hours < 'Infinity'", name="hours_are_finite"),
        comment="it takes at most, NULL where nobody knows",
    ),
    Column(
        "programs",
        ARRAY(Text, dimensions=1),
        CheckConstraint("array_position(programs, NULL) IS NULL", name="programs_are_named"),
        nullable=False,
        server_default="{}",
        comment="that whoever takes it has to have",
    ),
    Column("state", Text, nullable=False, server_default="open"),
    Column("reason", Text, comment="why it is held, parked or cancelled"),
    Column("not_before", DateTime(timezone=True), comment="after a failure that may pass"),
    Column(
        "retries_from",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="attempts before are forgiven",
    ),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("id", "kind"),
    CheckConstraint("state IN ('open', 'held', 'done', 'parked', 'cancelled')", name="state_is_known"),
    CheckConstraint("reason IS NULL OR state IN ('held', 'parked', 'cancelled')", name="reason_is_of_a_pause"),
    CheckConstraint("state <> 'parked' OR (reason IS NOT NULL AND reason <> '')", name="parked_has_reason"),
    CheckConstraint("iteration IS NULL OR (iteration > 0 AND campaign_id IS NOT NULL)", name="iteration_has_campaign"),
    Index("ix_job_campaign", "campaign_id", postgresql_where=text("campaign_id IS NOT NULL")),
    Index("ix_job_open", text("priority DESC"), "id", postgresql_where=text("state = 'open'")),
)

job_after = Table(
    "job_after",
    metadata,
    ref("job_id", "job.id", primary_key=True),
    Column(
        "waits_for_id",
        BigInteger,
        ForeignKey("job.id"),
        primary_key=True,
        comment="made before it: nothing waits in a circle",
    ),
    CheckConstraint("waits_for_id < job_id", name="waits_for_an_earlier_one"),
    Index("ix_job_after_waits_for", "waits_for_id"),
)

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
        comment="of an attempt at a job: until when nobody else may take it",
    ),
    Column(
        "error_class", Text, CheckConstraint("error_class IN ('transient', 'permanent')", name="error_class_is_known")
    ),
    CheckConstraint("error_class IS NULL OR outcome = 'failed'", name="error_class_has_error"),
    CheckConstraint("outcome IN ('running', 'done', 'failed', 'lost')", name="outcome_is_known"),
    CheckConstraint("(outcome = 'running') = (ended_at IS NULL)", name="end_has_outcome"),
    ForeignKeyConstraint(["iteration_id", "campaign_id"], ["iteration.id", "iteration.campaign_id"]),
    CheckConstraint("iteration_id IS NULL OR campaign_id IS NOT NULL", name="iteration_has_campaign"),
    Column("job_id", BigInteger, comment="what it is an attempt at"),
    ForeignKeyConstraint(["job_id", "kind"], ["job.id", "job.kind"]),
    CheckConstraint("(lease_expires_at IS NULL) = (job_id IS NULL)", name="lease_is_on_a_job"),
    # Many attempts, one at a time, one success: the database's word that a job is done once.
    Index("uq_activity_job", "job_id", unique=True, postgresql_where=text("outcome IN ('running', 'done')")),
    Index("ix_activity_job", "job_id", postgresql_where=text("job_id IS NOT NULL")),
    Index("ix_activity_running", "lease_expires_at", postgresql_where=text("outcome = 'running'")),
    Index("ix_activity_campaign", "campaign_id", "kind"),
    Index("ix_activity_campaign_last", "campaign_id", "id"),
    Index("ix_activity_iteration", "iteration_id", "kind", postgresql_where=text("iteration_id IS NOT NULL")),
)

rejection_sample = Table(
    "rejection_sample",
    metadata,
    ref("activity_id", "activity.id", primary_key=True),
    Column(
        "reason",
        Text,
        CheckConstraint("reason <> ''", name="reason_is_given"),
        primary_key=True,
        comment="the first rule of a filter that it did not pass",
    ),
    Column(
        "reduced_formula",
        Text,
        CheckConstraint("reduced_formula <> ''", name="formula_is_given"),
        primary_key=True,
        comment="of a composition, which need not be in the record",
    ),
    Index("ix_rejection_sample_formula", "reduced_formula"),
)

stage = Table(
    "stage",
    metadata,
    ref("activity_id", "activity.id", primary_key=True),
    Column(
        "role",
        Text,
        primary_key=True,
        server_default="",
        comment="of the screening, where an activity made several; else empty",
    ),
    Column(
        "position",
        Integer,
        CheckConstraint("position > 0", name="position_is_positive"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("name", Text, nullable=False),
    Column("n_in", BigInteger, CheckConstraint("n_in >= 0", name="n_in_is_a_count"), nullable=False),
    Column("n_left", BigInteger, CheckConstraint("n_left >= 0", name="n_left_is_a_count"), nullable=False),
)
