"""Training sets, the models that learned from them, and how those were judged."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from agd.db.tables.columns import finite, made_by, metadata, ref, row_id

training_set = Table(
    "training_set",
    metadata,
    row_id(),
    Column("sha256", Text, nullable=False, unique=True, comment="of its members by natural keys"),
    Column("n_members", Integer, nullable=False),
    made_by(),
)

training_set_member = Table(
    "training_set_member",
    metadata,
    ref("training_set_id", "training_set.id", primary_key=True),
    ref("composition_id", "composition.id", primary_key=True),
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
    Index("ix_training_set_member_label", "label_id", postgresql_where=text("label_id IS NOT NULL")),
)

training_structure = Table(
    "training_structure",
    metadata,
    ref("training_set_id", "training_set.id", primary_key=True),
    Column("structure_id", BigInteger, primary_key=True),
    Column("label_id", BigInteger, nullable=False),
    Column("is_held_out", Boolean, nullable=False, comment="all structures of a formula are, or none"),
    Column("is_validation", Boolean, nullable=False, comment="chosen to stop the training by"),
    CheckConstraint("NOT (is_held_out AND is_validation)", name="row_has_one_use"),
    ForeignKeyConstraint(["label_id", "structure_id"], ["label.id", "label.structure_id"]),
    Index("ix_training_structure_label", "label_id"),
)

training_set_source = Table(
    "training_set_source",
    metadata,
    ref("training_set_id", "training_set.id", primary_key=True),
    ref("dataset_id", "dataset.id", primary_key=True),
    Column("n_members", Integer, nullable=False),
)

training_set_campaign = Table(
    "training_set_campaign",
    metadata,
    ref("training_set_id", "training_set.id", primary_key=True),
    ref("campaign_id", "campaign.id", primary_key=True),
    Column("last_iteration", Integer, nullable=False, comment="the labels of iterations up to this one were taken"),
    Column("n_members", Integer, nullable=False),
)

artifact = Table(
    "artifact",
    metadata,
    Column("sha256", Text, primary_key=True, comment="of the file's bytes; the file lies under AGD_HOME/artifacts"),
    Column("format", Text, nullable=False),
    Column("n_bytes", BigInteger, nullable=False),
    made_by(),
)

model_version = Table(
    "model_version",
    metadata,
    row_id(),
    Column("kind", Text, nullable=False),
    Column("plugin", Text, nullable=False),
    Column("property", Text, ForeignKey("property.name"), comment="what an oracle or a screener answers"),
    Column("architecture_version", Integer, nullable=False),
    Column("options", JSONB, nullable=False),
    Column("seed", BigInteger, nullable=False),
    ref("training_set_id", "training_set.id"),
    Column("recipe_sha256", Text, nullable=False, unique=True, comment="of everything above, by natural keys"),
    Column("tensors_sha256", Text, ForeignKey("artifact.sha256"), nullable=False),
    Column("metrics", JSONB, nullable=False),
    made_by(),
    Column(
        "input_model_version_id",
        BigInteger,
        ForeignKey("model_version.id"),
        comment="the model whose answers it takes beside the composition",
    ),
    CheckConstraint(
        "input_model_version_id IS NULL OR (input_model_version_id <> id AND property IS NOT NULL)",
        name="input_is_another",
    ),
    Column(
        "learned_method",
        Text,
        ForeignKey("method.name"),
        comment="of the labels of structures that it learned from: all by one, with one correction scheme",
    ),
    Column("correction_scheme", Text, ForeignKey("correction_scheme.name"), comment="of its answers, as of these"),
    CheckConstraint(
        "kind IN ('autoencoder', 'generator', 'oracle', 'screener', 'structure_oracle')", name="kind_is_known"
    ),
    CheckConstraint(
        "num_nonnulls(learned_method, correction_scheme) = CASE kind WHEN 'structure_oracle' THEN 2 ELSE 0 END",
        name="structures_have_a_method",
    ),
    CheckConstraint("(kind IN ('autoencoder', 'generator')) = (property IS NULL)", name="answer_has_property"),
    UniqueConstraint("id", "property"),
    UniqueConstraint("id", "kind"),
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
    made_by(),
    ForeignKeyConstraint(["model_version_id", "property"], ["model_version.id", "model_version.property"]),
    ForeignKeyConstraint(["dataset_id", "property"], ["dataset.id", "dataset.property"]),
    finite("value"),
)

structure_evaluation = Table(
    "structure_evaluation",
    metadata,
    Column("model_version_id", BigInteger),
    ref("dataset_id", "dataset.id"),
    Column(
        "part",
        Text,
        CheckConstraint("part IN ('held_out', 'validation')", name="part_is_known"),
        comment="of its training set that lies in the dataset",
    ),
    Column("metric", Text),
    Column("value", Double, nullable=False),
    Column("n_rows", Integer, CheckConstraint("n_rows > 0", name="n_rows_is_positive"), nullable=False),
    Column("kind", Text, CheckConstraint("kind = 'structure_oracle'", name="kind_is_of_structures"), nullable=False),
    PrimaryKeyConstraint("model_version_id", "dataset_id", "part", "metric"),
    made_by(),
    ForeignKeyConstraint(["model_version_id", "kind"], ["model_version.id", "model_version.kind"]),
    finite("value"),
)
