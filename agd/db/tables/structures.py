"""Crystal structures, and the rows of datasets that have them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, REAL

from agd.db.tables.columns import made_by, metadata, ref, row_id

correction_scheme = Table(
    "correction_scheme",
    metadata,
    Column("name", Text, CheckConstraint("name <> ''", name="scheme_is_named"), primary_key=True),
    Column("description", Text, nullable=False),
)

structure = Table(
    "structure",
    metadata,
    row_id(),
    ref("composition_id", "composition.id"),
    Column("cell_sha256", Text, nullable=False, unique=True, comment="of the cell's numbers"),
    Column("n_sites", Integer, nullable=False, comment="of the primitive cell"),
    Column("space_group", SmallInteger, nullable=False, comment="its number, from 1 to 230"),
    Column("lattice", ARRAY(REAL), nullable=False, comment="three vectors in Å, one after the other"),
    Column("atomic_numbers", ARRAY(SmallInteger), nullable=False, comment="of the sites"),
    Column("frac", ARRAY(REAL), nullable=False, comment="places of the sites, in fractions of the vectors"),
    made_by(),
    CheckConstraint("space_group BETWEEN 1 AND 230", name="space_group_is_one"),
    CheckConstraint(
        "cardinality(lattice) = 9 AND cardinality(atomic_numbers) = n_sites AND cardinality(frac) = 3 * n_sites"
        " AND n_sites > 0",
        name="arrays_fit",
    ),
    UniqueConstraint("id", "composition_id"),
    Index("ix_structure_composition", "composition_id"),
)

structure_row = Table(
    "structure_row",
    metadata,
    row_id(),
    ref("dataset_id", "dataset.id"),
    Column(
        "entry", Text, CheckConstraint("entry <> ''", name="entry_is_named"), nullable=False, comment="its own name"
    ),
    Column("line", Integer, nullable=False, comment="counted through all files of the source"),
    Column("structure_id", BigInteger, nullable=False),
    Column("composition_id", BigInteger, nullable=False),
    Column("is_experimental", Boolean, comment="whether it was ever made; NULL where the source does not say"),
    UniqueConstraint("dataset_id", "entry"),
    UniqueConstraint("id", "structure_id", "composition_id"),
    ForeignKeyConstraint(["structure_id", "composition_id"], ["structure.id", "structure.composition_id"]),
    ForeignKeyConstraint(["dataset_id", "composition_id"], ["dataset_row.dataset_id", "dataset_row.composition_id"]),
    Index("ix_structure_row_structure", "structure_id"),
)
