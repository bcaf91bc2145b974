"""Campaigns, their iterations, and what each is pinned to."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from agd.db.tables.columns import made_by, metadata, ref, row_id

property_ = Table(
    "property",
    metadata,
    Column("name", Text, primary_key=True),
    Column("unit", Text, nullable=False),
    Column("lower_bound", Double, comment="physical lower bound in the unit, NULL where there is none"),
    Column("description", Text, nullable=False),
    Column(
        "activity_id",
        BigInteger,
        ForeignKey("activity.id", use_alter=True),  # an activity is of a campaign, which seeks a property
        comment="NULL for those that come with the schema",
    ),
)

campaign = Table(
    "campaign",
    metadata,
    row_id(),
    Column("name", Text, nullable=False, unique=True),
    Column("spec_sha256", Text, nullable=False, comment="of the resolved specification, referenced files included"),
    Column("spec", JSONB, nullable=False),
    Column("spec_text", Text, nullable=False, comment="the TOML file as it was given"),
    Column("seed", BigInteger, nullable=False),
    Column("property", Text, ForeignKey("property.name"), nullable=False),
    Column("target_low", Double, comment="a find has at least this value"),
    Column("target_high", Double, comment="a find has at most this value"),
    Column("budget_calls", Integer, CheckConstraint("budget_calls > 0", name="budget_is_positive"), nullable=False),
    Column("agd_version", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("stop_requested_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("mode", Text, nullable=False, server_default="default", comment="paper: the published loop and accounting"),
    Column("twin_of_id", BigInteger, ForeignKey("campaign.id"), comment="the campaign this one is a control of"),
    Column("engine", Text, nullable=False, server_default="local"),
    Column(
        "retries_from",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        comment="attempts before are forgiven",
    ),
    Column("parked_reason", Text, comment="why no step of it is tried again by itself"),
    Column(
        "hash_version",
        Integer,
        CheckConstraint("hash_version IN (2, 3)", name="hash_version_is_known"),
        nullable=False,
        server_default="3",
        comment="of the content hash that is shown: a campaign keeps the one it was begun with",
    ),
    Column(
        "end_reason", Text, CheckConstraint("end_reason IN ('budget spent', 'stalled')", name="end_reason_is_known")
    ),
    CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="end_has_reason"),
    CheckConstraint("num_nonnulls(target_low, target_high) > 0", name="has_target"),
    CheckConstraint("mode IN ('default', 'paper')", name="mode_is_known"),
    CheckConstraint("twin_of_id <> id", name="twin_is_another"),
    Index("ix_campaign_twin_of", "twin_of_id", postgresql_where=text("twin_of_id IS NOT NULL")),
)

campaign_target = Table(
    "campaign_target",
    metadata,
    ref("campaign_id", "campaign.id", primary_key=True),
    Column(
        "position",
        Integer,
        CheckConstraint("position BETWEEN 2 AND 4", name="position_is_further"),
        primary_key=True,
        autoincrement=False,
        comment="the first property is the campaign's own",
    ),
    Column("property", Text, ForeignKey("property.name"), nullable=False),
    Column("low", Double, comment="a find has at least this value"),
    Column("high", Double, comment="a find has at most this value"),
    made_by(),
    CheckConstraint("num_nonnulls(low, high) > 0", name="has_bound"),
    UniqueConstraint("campaign_id", "property"),
)

iteration = Table(
    "iteration",
    metadata,
    row_id(),
    ref("campaign_id", "campaign.id"),
    Column("number", Integer, CheckConstraint("number > 0", name="number_is_positive"), nullable=False),
    UniqueConstraint("campaign_id", "number"),
    UniqueConstraint("id", "campaign_id"),
)

iteration_tally = Table(
    "iteration_tally",
    metadata,
    ref("iteration_id", "iteration.id", primary_key=True),
    Column(
        "number",
        Integer,
        CheckConstraint("number > 0", name="number_is_positive"),
        primary_key=True,
        autoincrement=False,
        comment="the highest one holds",
    ),
    *(
        Column(name, Integer, nullable=False)
        for name in (
            *("n_suggested", "n_undecodable", "n_decodable", "n_duplicate", "n_known", "n_rejected", "n_new"),
            *("n_charged", "n_finds", "n_known_finds"),
        )
    ),
    Column("highest", Double, comment="of the results, NULL where there is none"),
    Column("lowest", Double),
    Column("best", Double, comment="the value of the first result in the order in which they are shown"),
    Column("is_best_feasible", Boolean, comment="whether that meets all further targets"),
    Column("n_changes", Integer, nullable=False, comment="that v_iteration_changes counted by then"),
    made_by(),
    CheckConstraint("(best IS NULL) = (is_best_feasible IS NULL)", name="best_is_whole"),
)
"""What became of an iteration, counted when it was recorded, and again when something was said of it later."""

campaign_pool = Table(
    "campaign_pool",
    metadata,
    ref("campaign_id", "campaign.id", primary_key=True),
    ref("dataset_id", "dataset.id"),
    made_by(),
)

campaign_known = Table(
    "campaign_known",
    metadata,
    ref("campaign_id", "campaign.id", primary_key=True),
    ref("dataset_id", "dataset.id", primary_key=True),
    made_by(),
    Index("ix_campaign_known_dataset", "dataset_id"),
)

campaign_set = Table(
    "campaign_set",
    metadata,
    ref("campaign_id", "campaign.id", primary_key=True),
    Column("role", Text, primary_key=True),
    ref("training_set_id", "training_set.id"),
    made_by(),
    CheckConstraint("role = 'autoencoder' OR role ~ '^(initial|oracle)( [2-4])?$'", name="role_is_known"),
)

campaign_model = Table(
    "campaign_model",
    metadata,
    ref("campaign_id", "campaign.id", primary_key=True),
    Column("role", Text, primary_key=True),
    ref("model_version_id", "model_version.id"),
    made_by(),
    CheckConstraint("role = 'autoencoder' OR role ~ '^oracle( [2-4])?$'", name="role_is_known"),
)

campaign_amendment = Table(
    "campaign_amendment",
    metadata,
    ref("campaign_id", "campaign.id", primary_key=True),
    Column(
        "number",
        Integer,
        CheckConstraint("number > 0", name="number_is_positive"),
        primary_key=True,
        autoincrement=False,
        comment="the highest one holds",
    ),
    Column(
        "key",
        Text,
        CheckConstraint("key = 'budget.oracle_calls'", name="key_may_change"),
        nullable=False,
        comment="of the specification",
    ),
    Column("old_value", Integer, nullable=False),
    Column("new_value", Integer, nullable=False, comment="holds for the steps that follow"),
    Column(
        "n_steps",
        Integer,
        CheckConstraint("n_steps >= 0", name="n_steps_is_a_count"),
        nullable=False,
        comment="steps of the search that were done before",
    ),
    Column("ended_at", DateTime(timezone=True), comment="the end that it undid, NULL where the search was going on"),
    Column("end_reason", Text),
    made_by(),
    CheckConstraint("old_value > 0 AND new_value > old_value", name="budget_grows"),
    CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="end_has_reason"),
)

campaign_event = Table(
    "campaign_event",
    metadata,
    row_id(),
    ref("campaign_id", "campaign.id"),
    Column(
        "kind",
        Text,
        CheckConstraint(
            "kind IN ('note', 'tag', 'untag', 'archive', 'unarchive', 'rename')",
            name="kind_is_known",
        ),
        nullable=False,
    ),
    Column("value", Text, comment="the note, the tag, or the name that it had until it was renamed"),
    Column(
        "operator",
        Text,
        CheckConstraint("operator <> ''", name="operator_is_named"),
        nullable=False,
        comment="who said so",
    ),
    made_by(),
    CheckConstraint("(kind IN ('archive', 'unarchive')) = (value IS NULL)", name="says_something"),
    CheckConstraint("value <> ''", name="value_is_given"),
    Index("ix_campaign_event_campaign", "campaign_id"),
)

campaign_removal = Table(
    "campaign_removal",
    metadata,
    Column(
        "removal_id",
        BigInteger,
        ForeignKey("removal.id"),
        primary_key=True,
        autoincrement=False,
        comment="why and when, and by which role",
    ),
    Column("name", Text, nullable=False),
    Column(
        "operator",
        Text,
        CheckConstraint("operator <> ''", name="operator_is_named"),
        nullable=False,
        comment="who deleted it",
    ),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("spec_text", Text, nullable=False, comment="the TOML file as it was given"),
    Column("search_sha256", Text, comment="the content hash of its search"),
    Column("n_suggestions", BigInteger, nullable=False),
    Column("n_latents", BigInteger, nullable=False),
    Column("n_activities", BigInteger, nullable=False),
    Column("n_screenings", BigInteger, nullable=False),
    made_by(),
)
