"""Compositions, the datasets that list them, generations among them, and what rules of validity say."""

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
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from agd.db.tables.columns import made_by, metadata, ref, row_id

dataset = Table(
    "dataset",
    metadata,
    row_id(),
    Column("name", Text, nullable=False, unique=True),
    Column("source", Text, nullable=False, comment="file name as given; '-' for standard input"),
    Column("source_sha256", Text, nullable=False),
    Column("recipe_sha256", Text, nullable=False, unique=True, comment="of source, columns, property and rules"),
    Column("property", Text, ForeignKey("property.name"), comment="NULL for a list of formulas"),
    Column("options", JSONB, nullable=False),
    Column("n_read", Integer, nullable=False),
    Column("n_rejected", Integer, nullable=False),
    made_by(),
    Column(
        "method",
        Text,
        ForeignKey("method.name"),
        nullable=False,
        server_default="unstated",
        comment="by which its values came about",
    ),
    Column(
        "correction_scheme",
        Text,
        ForeignKey("correction_scheme.name"),
        nullable=False,
        server_default="unstated",
        comment="how its energies were corrected",
    ),
    CheckConstraint(
        "property IS NOT NULL OR method = 'unstated' OR options ? 'files'",  # of structures, which have files
        name="formulas_have_no_method",
    ),
    UniqueConstraint("id", "property"),
)

composition = Table(
    "composition",
    metadata,
    row_id(),
    Column("reduced_formula", Text, nullable=False, unique=True),
    Column("chemical_system", Text, nullable=False),
    Column("anonymous_formula", Text, nullable=False, index=True),
    Column("n_elements", Integer, nullable=False),
    Column("n_atoms", Integer, nullable=False),
    made_by(),
    CheckConstraint("n_elements BETWEEN 1 AND n_atoms", name="counts_are_consistent"),
    Index("ix_composition_chemical_system_anonymous_formula", "chemical_system", "anonymous_formula"),
    Index("ix_composition_elements", text("agd_elements(reduced_formula)"), postgresql_using="gin"),
)

dataset_row = Table(
    "dataset_row",
    metadata,
    ref("dataset_id", "dataset.id", primary_key=True),
    ref("composition_id", "composition.id", primary_key=True),
    Column("line", Integer, nullable=False, comment="of the row that was kept"),
    Column("formula", Text, nullable=False, comment="as the source spells it"),
    Column("n_rows", Integer, nullable=False, comment="rows of the source with this composition"),
    Index("ix_dataset_row_composition", "composition_id"),
)

dataset_tally = Table(
    "dataset_tally",
    metadata,
    ref("dataset_id", "dataset.id", primary_key=True),
    Column("n_compositions", Integer, nullable=False),
    Column("n_structures", Integer, nullable=False),
    Column("lowest", Double, comment="of the labels of compositions, NULL where there is none"),
    Column("mean", Double),
    Column("highest", Double),
    made_by(),
)
"""What a dataset came to, counted when it was stored."""

dataset_reject = Table(
    "dataset_reject",
    metadata,
    ref("dataset_id", "dataset.id", primary_key=True),
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
    ref("composition_id", "composition.id", primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("rule_version", Integer, primary_key=True),
    Column("is_charge_neutral", Boolean, comment="NULL where the rule does not speak"),
    Column("is_electronegativity_balanced", Boolean, comment="NULL where the rule does not speak"),
    made_by(),
    ForeignKeyConstraint(["rule", "rule_version"], ["verdict_rule.rule", "verdict_rule.rule_version"]),
)

generation = Table(
    "generation",
    metadata,
    ref("dataset_id", "dataset.id", primary_key=True),
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
