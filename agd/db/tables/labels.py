"""Labels with their one source, and what was said of them later."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from agd.db.tables.columns import finite, made_by, metadata, ref, row_id

method = Table(
    "method",
    metadata,
    Column("name", Text, CheckConstraint("name <> ''", name="method_is_named"), primary_key=True),
    Column(
        "kind",
        Text,
        CheckConstraint("kind IN ('measured', 'dft', 'potential', 'unstated', 'model')", name="kind_is_known"),
        nullable=False,
    ),
    Column(
        "fidelity",
        Integer,
        CheckConstraint("fidelity > 0", name="fidelity_is_positive"),
        nullable=False,
        comment="a label of the higher one is shown before the others",
    ),
    Column("description", Text, nullable=False),
    Column("activity_id", BigInteger, ForeignKey("activity.id"), comment="NULL for those that come with the schema"),
)

measurement = Table(
    "measurement",
    metadata,
    row_id(),
    ref("composition_id", "composition.id"),
    Column("property", Text, ForeignKey("property.name"), nullable=False),
    Column("operator", Text, CheckConstraint("operator <> ''", name="operator_is_named"), nullable=False),
    Column("measured_on", Date, nullable=False),
    Column("replicate", Integer, CheckConstraint("replicate > 0", name="replicate_is_positive"), nullable=False),
    Column("note", Text, comment="method, sample, reference"),
    made_by(),
    UniqueConstraint("composition_id", "property", "operator", "measured_on", "replicate"),
    UniqueConstraint("id", "composition_id", "property"),
)

label = Table(
    "label",
    metadata,
    row_id(),
    ref("composition_id", "composition.id"),
    Column(
        "property",
        Text,
        ForeignKey("property.name"),
        nullable=False,
        comment="the one that the source speaks of",
    ),
    Column("value", Double, nullable=False),
    Column("uncertainty", Double, comment="one standard deviation, NULL where the source states none"),
    Column("dataset_id", BigInteger),
    Column("model_version_id", BigInteger),
    Column("measurement_id", BigInteger),
    made_by(),
    Column("structure_row_id", BigInteger, comment="the row of a dataset of structures"),
    Column("structure_id", BigInteger, comment="what it is of; NULL: of the composition"),
    Column("calculation_id", BigInteger, comment="of that structure, by its own method"),
    ForeignKeyConstraint(["structure_id", "composition_id"], ["structure.id", "structure.composition_id"]),
    ForeignKeyConstraint(["calculation_id", "structure_id"], ["calculation.id", "calculation.structure_id"]),
    ForeignKeyConstraint(
        ["structure_row_id", "structure_id", "composition_id"],
        ["structure_row.id", "structure_row.structure_id", "structure_row.composition_id"],
    ),
    CheckConstraint(
        "CASE WHEN num_nonnulls(structure_row_id, calculation_id) = 0"
        " THEN structure_id IS NULL OR model_version_id IS NOT NULL ELSE structure_id IS NOT NULL END",
        name="structure_has_its_source",
    ),
    ForeignKeyConstraint(
        ["measurement_id", "composition_id", "property"],
        ["measurement.id", "measurement.composition_id", "measurement.property"],
    ),
    ForeignKeyConstraint(["dataset_id", "property"], ["dataset.id", "dataset.property"]),
    ForeignKeyConstraint(["model_version_id", "property"], ["model_version.id", "model_version.property"]),
    finite("value"),
    CheckConstraint("uncertainty >= 0 AND uncertainty < 'Infinity'", name="uncertainty_is_finite"),
    CheckConstraint(
        "num_nonnulls(dataset_id, model_version_id, measurement_id, structure_row_id, calculation_id) = 1",
        name="has_one_source",
    ),
    UniqueConstraint("id", "composition_id"),
    UniqueConstraint("id", "structure_id"),
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
        postgresql_where=text("model_version_id IS NOT NULL AND structure_id IS NULL"),
    ),
    Index(
        "uq_label_model_version_structure",
        "structure_id",
        "property",
        "model_version_id",
        unique=True,
        postgresql_where=text("model_version_id IS NOT NULL AND structure_id IS NOT NULL"),
    ),
    Index(
        "uq_label_structure_row",
        "structure_row_id",
        "property",
        unique=True,
        postgresql_where=text("structure_row_id IS NOT NULL"),
    ),
    Index("ix_label_composition", "composition_id"),
    Index(
        "uq_label_calculation",
        "calculation_id",
        "property",
        unique=True,
        postgresql_where=text("calculation_id IS NOT NULL"),
    ),
    Index("ix_label_structure", "structure_id", postgresql_where=text("structure_id IS NOT NULL")),
    Index("uq_label_measurement", "measurement_id", unique=True, postgresql_where=text("measurement_id IS NOT NULL")),
)

retraction = Table(
    "retraction",
    metadata,
    ref("label_id", "label.id", primary_key=True),
    Column("reason", Text, CheckConstraint("reason <> ''", name="reason_is_given"), nullable=False),
    made_by(),
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
    made_by(),
    ForeignKeyConstraint(["suggestion_id", "composition_id"], ["suggestion.id", "suggestion.composition_id"]),
    ForeignKeyConstraint(["label_id", "composition_id"], ["label.id", "label.composition_id"]),
    UniqueConstraint("suggestion_id", "label_id"),
    Index("ix_label_replacement_label", "label_id"),
)
