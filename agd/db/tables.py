"""The record: every table, with the laws of the house as constraints. Views and functions live in the migrations."""

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _ref(column: str, target: str, *, nullable: bool = False, primary_key: bool = False) -> Column[int]:
    return Column(column, BigInteger, ForeignKey(target), nullable=nullable, primary_key=primary_key)


def _made_by() -> Column[int]:
    return Column("activity_id", BigInteger, ForeignKey("activity.id"), nullable=False)


def _finite(column: str) -> CheckConstraint:
    return CheckConstraint(f"{column} > '-Infinity' AND {column} < 'Infinity'", name=f"{column}_is_finite")


property_ = Table(
    "property",
    metadata,
    Column("name", Text, primary_key=True),
    Column("unit", Text, nullable=False),
    Column("lower_bound", Double, comment="physical lower bound in the unit, NULL where there is none"),
    Column("description", Text, nullable=False),
)

campaign = Table(
    "campaign",
    metadata,
    _id(),
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

iteration = Table(
    "iteration",
    metadata,
    _id(),
    _ref("campaign_id", "campaign.id"),
    Column("number", Integer, CheckConstraint("number > 0", name="number_is_positive"), nullable=False),
    UniqueConstraint("campaign_id", "number"),
    UniqueConstraint("id", "campaign_id"),
)

activity = Table(
    "activity",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    _ref("campaign_id", "campaign.id", nullable=True),
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

dataset = Table(
    "dataset",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("source", Text, nullable=False, comment="file name as given; '-' for standard input"),
    Column("source_sha256", Text, nullable=False),
    Column("recipe_sha256", Text, nullable=False, unique=True, comment="of source, columns, property and rules"),
    Column("property", Text, ForeignKey("property.name"), comment="NULL for a list of formulas"),
    Column("options", JSONB, nullable=False),
    Column("n_read", Integer, nullable=False),
    Column("n_rejected", Integer, nullable=False),
    _made_by(),
    UniqueConstraint("id", "property"),
)

composition = Table(
    "composition",
    metadata,
    _id(),
    Column("reduced_formula", Text, nullable=False, unique=True),
    Column("chemical_system", Text, nullable=False, index=True),
    Column("anonymous_formula", Text, nullable=False),
    Column("n_elements", Integer, nullable=False),
    Column("n_atoms", Integer, nullable=False),
    _made_by(),
    CheckConstraint("n_elements BETWEEN 1 AND n_atoms", name="counts_are_consistent"),
)

dataset_row = Table(
    "dataset_row",
    metadata,
    _ref("dataset_id", "dataset.id", primary_key=True),
    _ref("composition_id", "composition.id", primary_key=True),
    Column("line", Integer, nullable=False, comment="of the row that was kept"),
    Column("formula", Text, nullable=False, comment="as the source spells it"),
    Column("n_rows", Integer, nullable=False, comment="rows of the source with this composition"),
    Index("ix_dataset_row_composition", "composition_id"),
)

dataset_reject = Table(
    "dataset_reject",
    metadata,
    _ref("dataset_id", "dataset.id", primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("formula", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("message", Text, nullable=False),
)

verdict_rule = Table(
    "verdict_rule",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("rule_version", Integer, primary_key=True),
    Column("options", JSONB, nullable=False, comment="all that the rule was set to"),
)

verdict = Table(
    "verdict",
    metadata,
    _ref("composition_id", "composition.id", primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("rule_version", Integer, primary_key=True),
    Column("is_charge_neutral", Boolean, comment="NULL where the rule does not speak"),
    Column("is_electronegativity_balanced", Boolean, comment="NULL where the rule does not speak"),
    _made_by(),
    ForeignKeyConstraint(["rule", "rule_version"], ["verdict_rule.rule", "verdict_rule.rule_version"]),
)

training_set = Table(
    "training_set",
    metadata,
    _id(),
    Column("sha256", Text, nullable=False, unique=True, comment="of its members by natural keys"),
    Column("n_members", Integer, nullable=False),
    _made_by(),
)

training_set_member = Table(
    "training_set_member",
    metadata,
    _ref("training_set_id", "training_set.id", primary_key=True),
    _ref("composition_id", "composition.id", primary_key=True),
    Column("label_id", BigInteger, comment="NULL in a set of compositions alone"),
    Column("is_held_out", Boolean, nullable=False),
    Column(
        "is_validation",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="chosen to stop the training by; false where the model draws its own",
    ),
    CheckConstraint("NOT (is_held_out AND is_validation)", name="row_has_one_use"),
    ForeignKeyConstraint(["label_id", "composition_id"], ["label.id", "label.composition_id"]),
    Index("ix_training_set_member_composition", "composition_id"),
)

training_set_source = Table(
    "training_set_source",
    metadata,
    _ref("training_set_id", "training_set.id", primary_key=True),
    _ref("dataset_id", "dataset.id", primary_key=True),
    Column("n_members", Integer, nullable=False),
)

training_set_campaign = Table(
    "training_set_campaign",
    metadata,
    _ref("training_set_id", "training_set.id", primary_key=True),
    _ref("campaign_id", "campaign.id", primary_key=True),
    Column("last_iteration", Integer, nullable=False, comment="the labels of iterations up to this one were taken"),
    Column("n_members", Integer, nullable=False),
)

artifact = Table(
    "artifact",
    metadata,
    Column("sha256", Text, primary_key=True, comment="of the file's bytes; the file lies under AGD_HOME/artifacts"),
    Column("format", Text, nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    _made_by(),
)

model_version = Table(
    "model_version",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    Column("plugin", Text, nullable=False),
    Column("property", Text, ForeignKey("property.name"), comment="what an oracle or a screener answers"),
    Column("architecture_version", Integer, nullable=False),
    Column("options", JSONB, nullable=False),
    Column("seed", BigInteger, nullable=False),
    _ref("training_set_id", "training_set.id"),
    Column("recipe_sha256", Text, nullable=False, unique=True, comment="of everything above, by natural keys"),
    Column("tensors_sha256", Text, ForeignKey("artifact.sha256"), nullable=False),
    Column("metrics", JSONB, nullable=False),
    _made_by(),
    CheckConstraint("kind IN ('autoencoder', 'generator', 'oracle', 'screener')", name="kind_is_known"),
    CheckConstraint("(kind IN ('autoencoder', 'generator')) = (property IS NULL)", name="answer_has_property"),
    UniqueConstraint("id", "property"),
    UniqueConstraint("id", "kind"),
)

generation = Table(
    "generation",
    metadata,
    _ref("dataset_id", "dataset.id", primary_key=True),
    Column("model_version_id", BigInteger, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column(
        "first_sample",
        BigInteger,
        CheckConstraint("first_sample >= 0", name="first_sample_is_a_number"),
        nullable=False,
    ),
    Column("n_samples", BigInteger, CheckConstraint("n_samples > 0", name="n_samples_is_positive"), nullable=False),
    Column("model_kind", Text, nullable=False, server_default="generator"),
    CheckConstraint("model_kind = 'generator'", name="made_by_a_generator"),
    ForeignKeyConstraint(["model_version_id", "model_kind"], ["model_version.id", "model_version.kind"]),
)

generation_stage = Table(
    "generation_stage",
    metadata,
    _ref("dataset_id", "generation.dataset_id", primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("n_left", BigInteger, CheckConstraint("n_left >= 0", name="n_left_is_a_count"), nullable=False),
)

evaluation = Table(
    "evaluation",
    metadata,
    Column("model_version_id", BigInteger),
    Column("dataset_id", BigInteger),
    Column("metric", Text),
    Column("value", Double, nullable=False),
    Column(
        "n_rows",
        Integer,
        CheckConstraint("n_rows > 0", name="n_rows_is_positive"),
        comment="labelled rows of the dataset; fewer once labels are retracted",
    ),
    Column("property", Text, nullable=False),
    PrimaryKeyConstraint("model_version_id", "dataset_id", "n_rows", "metric"),
    _made_by(),
    ForeignKeyConstraint(["model_version_id", "property"], ["model_version.id", "model_version.property"]),
    ForeignKeyConstraint(["dataset_id", "property"], ["dataset.id", "dataset.property"]),
    _finite("value"),
)

campaign_pool = Table(
    "campaign_pool",
    metadata,
    _ref("campaign_id", "campaign.id", primary_key=True),
    _ref("dataset_id", "dataset.id"),
    _made_by(),
)

campaign_set = Table(
    "campaign_set",
    metadata,
    _ref("campaign_id", "campaign.id", primary_key=True),
    Column("role", Text, primary_key=True),
    _ref("training_set_id", "training_set.id"),
    _made_by(),
    CheckConstraint("role IN ('initial', 'autoencoder', 'oracle')", name="role_is_known"),
)

campaign_model = Table(
    "campaign_model",
    metadata,
    _ref("campaign_id", "campaign.id", primary_key=True),
    Column("role", Text, primary_key=True),
    _ref("model_version_id", "model_version.id"),
    _made_by(),
    CheckConstraint("role IN ('autoencoder', 'oracle')", name="role_is_known"),
)

measurement = Table(
    "measurement",
    metadata,
    _id(),
    _ref("composition_id", "composition.id"),
    Column("property", Text, ForeignKey("property.name"), nullable=False),
    Column("operator", Text, CheckConstraint("operator <> ''", name="operator_is_named"), nullable=False),
    Column("measured_on", Date, nullable=False),
    Column("replicate", Integer, CheckConstraint("replicate > 0", name="replicate_is_positive"), nullable=False),
    Column("note", Text, comment="method, sample, reference"),
    _made_by(),
    UniqueConstraint("composition_id", "property", "operator", "measured_on", "replicate"),
    UniqueConstraint("id", "composition_id", "property"),
)

label = Table(
    "label",
    metadata,
    _id(),
    _ref("composition_id", "composition.id"),
    Column("property", Text, nullable=False, comment="the one that the source speaks of"),
    Column("value", Double, nullable=False),
    Column("uncertainty", Double, comment="one standard deviation, NULL where the source states none"),
    Column("dataset_id", BigInteger),
    Column("model_version_id", BigInteger),
    Column("measurement_id", BigInteger),
    _made_by(),
    ForeignKeyConstraint(
        ["measurement_id", "composition_id", "property"],
        ["measurement.id", "measurement.composition_id", "measurement.property"],
    ),
    ForeignKeyConstraint(["dataset_id", "property"], ["dataset.id", "dataset.property"]),
    ForeignKeyConstraint(["model_version_id", "property"], ["model_version.id", "model_version.property"]),
    _finite("value"),
    CheckConstraint("uncertainty >= 0 AND uncertainty < 'Infinity'", name="uncertainty_is_finite"),
    CheckConstraint("num_nonnulls(dataset_id, model_version_id, measurement_id) = 1", name="has_one_source"),
    UniqueConstraint("id", "composition_id"),
    # One label per source: each index holds the labels of its own kind of source only.
    Index(
        "uq_label_dataset",
        "composition_id",
        "property",
        "dataset_id",
        unique=True,
        postgresql_where=text("dataset_id IS NOT NULL"),
    ),
    Index(
        "uq_label_model_version",
        "composition_id",
        "property",
        "model_version_id",
        unique=True,
        postgresql_where=text("model_version_id IS NOT NULL"),
    ),
    Index("uq_label_measurement", "measurement_id", unique=True, postgresql_where=text("measurement_id IS NOT NULL")),
)

retraction = Table(
    "retraction",
    metadata,
    _ref("label_id", "label.id", primary_key=True),
    Column("reason", Text, CheckConstraint("reason <> ''", name="reason_is_given"), nullable=False),
    _made_by(),
)

latent = Table(
    "latent",
    metadata,
    _id(),
    _ref("model_version_id", "model_version.id"),
    Column(
        "composition_id",
        BigInteger,
        ForeignKey("composition.id"),
        comment="what was encoded; NULL for a proposed point",
    ),
    Column("vector", ARRAY(REAL, dimensions=1), nullable=False),
    _made_by(),
    CheckConstraint("array_ndims(vector) = 1 AND array_position(vector, NULL) IS NULL", name="vector_is_whole"),
    UniqueConstraint("model_version_id", "composition_id"),
    Index("ix_latent_composition", "composition_id", postgresql_where=text("composition_id IS NOT NULL")),
)

suggestion = Table(
    "suggestion",
    metadata,
    _id(),
    Column("campaign_id", BigInteger, nullable=False),
    Column("iteration_id", BigInteger, nullable=False),
    Column("rank", Integer, CheckConstraint("rank > 0", name="rank_is_positive"), nullable=False),
    Column("proposed", Text, nullable=False, comment="what the sampler proposed: a latent point or a composition"),
    _ref("latent_id", "latent.id"),
    Column("posterior_mean", Double, comment="in units of the objective, NULL where the sampler has none"),
    Column("posterior_sd", Double),
    Column("acquisition", Double),
    _made_by(),
    Column("outcome", Text, comment="NULL until decoded"),
    Column("reason", Text, comment="why it was rejected or not answered"),
    _ref("composition_id", "composition.id", nullable=True),
    Column("decode_activity_id", BigInteger, ForeignKey("activity.id")),
    Column("label_id", BigInteger),
    Column("label_activity_id", BigInteger, ForeignKey("activity.id")),
    ForeignKeyConstraint(["iteration_id", "campaign_id"], ["iteration.id", "iteration.campaign_id"]),
    ForeignKeyConstraint(["label_id", "composition_id"], ["label.id", "label.composition_id"]),
    UniqueConstraint("iteration_id", "rank"),
    UniqueConstraint("id", "composition_id"),
    CheckConstraint("proposed IN ('latent', 'composition')", name="proposed_is_known"),
    CheckConstraint(
        "outcome IN ('new', 'duplicate', 'known', 'undecodable', 'rejected', 'unanswered')", name="outcome_is_known"
    ),
    CheckConstraint("(outcome IS NULL) = (decode_activity_id IS NULL)", name="outcome_has_activity"),
    CheckConstraint(
        "outcome IS NULL OR (outcome = 'undecodable') = (composition_id IS NULL)", name="decoded_has_composition"
    ),
    CheckConstraint(
        "label_id IS NULL OR (label_activity_id IS NOT NULL AND outcome IN ('new', 'duplicate', 'known'))",
        name="label_has_activity",
    ),
    CheckConstraint("(outcome IN ('rejected', 'unanswered')) = (reason IS NOT NULL)", name="refusal_has_reason"),
    # A campaign asks for a composition once, and pays once.
    Index(
        "uq_suggestion_new_once", "campaign_id", "composition_id", unique=True, postgresql_where=text("outcome = 'new'")
    ),
    Index("ix_suggestion_campaign", "campaign_id"),
    Index("ix_suggestion_composition", "composition_id"),
    Index("ix_suggestion_label", "label_id"),
)

decode_failure = Table(
    "decode_failure",
    metadata,
    _ref("suggestion_id", "suggestion.id", primary_key=True),
    Column("reason", Text, nullable=False),
    _made_by(),
)

given_up = Table(
    "given_up",
    metadata,
    _ref("suggestion_id", "suggestion.id", primary_key=True),
    Column("reason", Text, CheckConstraint("reason <> ''", name="reason_is_given"), nullable=False),
    _made_by(),
)

label_replacement = Table(
    "label_replacement",
    metadata,
    Column("suggestion_id", BigInteger, primary_key=True),
    Column(
        "number",
        Integer,
        CheckConstraint("number > 0", name="number_is_positive"),
        primary_key=True,
        autoincrement=False,
        comment="the highest one holds",
    ),
    Column("label_id", BigInteger, nullable=False),
    Column("composition_id", BigInteger, nullable=False),
    _made_by(),
    ForeignKeyConstraint(["suggestion_id", "composition_id"], ["suggestion.id", "suggestion.composition_id"]),
    ForeignKeyConstraint(["label_id", "composition_id"], ["label.id", "label.composition_id"]),
    UniqueConstraint("suggestion_id", "label_id"),
    Index("ix_label_replacement_label", "label_id"),
)

removal = Table(
    "removal",
    metadata,
    _id(),
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

screening = Table(
    "screening",
    metadata,
    _id(),
    _ref("campaign_id", "campaign.id"),
    Column("role", Text, nullable=False, comment="baseline: initial labels; al: initial labels and the campaign's"),
    _ref("model_version_id", "model_version.id"),
    Column("dataset_id", BigInteger, ForeignKey("dataset.id"), comment="NULL where the pool is a file"),
    Column("source", Text, nullable=False, comment="name of the dataset or of the file"),
    Column("source_sha256", Text, nullable=False),
    Column("criteria", JSONB, nullable=False),
    Column("recipe_sha256", Text, nullable=False, unique=True, comment="of pool, criteria, role and model"),
    _made_by(),
    CheckConstraint("role IN ('baseline', 'al')", name="role_is_known"),
    Index("ix_screening_campaign", "campaign_id"),
)

screening_stage = Table(
    "screening_stage",
    metadata,
    _ref("screening_id", "screening.id", primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("n_left", BigInteger, CheckConstraint("n_left >= 0", name="n_left_is_a_count"), nullable=False),
)

screening_hit = Table(
    "screening_hit",
    metadata,
    _ref("screening_id", "screening.id", primary_key=True),
    Column("rank", Integer, CheckConstraint("rank > 0", name="rank_is_positive"), primary_key=True),
    _ref("composition_id", "composition.id"),
    Column("line", Integer, nullable=False, comment="of the pool"),
    Column("formula", Text, nullable=False, comment="as the pool spells it"),
    Column("value", Double, nullable=False, comment="the screener's prediction: an opinion, not a label"),
    Column("uncertainty", Double, nullable=False),
    _finite("value"),
    UniqueConstraint("screening_id", "composition_id"),
    Index("ix_screening_hit_composition", "composition_id"),
)

campaign_hash = Table(
    "campaign_hash",
    metadata,
    _ref("campaign_id", "campaign.id", primary_key=True),
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
    _ref("dataset_id", "dataset.id", primary_key=True),
    Column("function", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    _made_by(),
    Column("made_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
