"""Datasets of structures: what files say of crystals in by COPY, each cell once, each row with its labels."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import func, select, text

from agd.db.connection import AnyRow, Transaction
from agd.db.record.datasets import fill_temporary
from agd.db.tables import correction_scheme, structure


class NewEntry(NamedTuple):
    """A row of a dataset of structures; arrays are text as PostgreSQL reads it, values NULL where nothing is said."""

    entry: str
    line: int
    composition_id: int
    cell_sha256: str
    n_sites: int
    space_group: int
    lattice: str
    atomic_numbers: str
    frac: str
    is_experimental: bool | None
    formation_energy: float | None
    band_gap: float | None


_INCOMING = (
    "entry text, line integer, composition_id bigint, cell_sha256 text, n_sites integer, space_group smallint,"
    " lattice real[], atomic_numbers smallint[], frac real[], is_experimental boolean,"
    " formation_energy double precision, band_gap double precision"
)

_STRUCTURES = text("""
INSERT INTO structure (composition_id, cell_sha256, n_sites, space_group, lattice, atomic_numbers, frac, activity_id)
SELECT DISTINCT ON (cell_sha256 COLLATE "C") composition_id, cell_sha256, n_sites, space_group, lattice,
       atomic_numbers, frac, :activity
FROM incoming_entry ORDER BY cell_sha256 COLLATE "C", line ON CONFLICT (cell_sha256) DO NOTHING
""")

_ROWS = text("""
INSERT INTO structure_row (dataset_id, entry, line, structure_id, composition_id, is_experimental)
SELECT :dataset, n.entry, n.line, s.id, s.composition_id, n.is_experimental
FROM incoming_entry n JOIN structure s USING (cell_sha256) ORDER BY n.line
""")

_LABELS = text("""
INSERT INTO label (composition_id, property, value, structure_row_id, structure_id, activity_id)
SELECT r.composition_id, v.property, v.value, r.id, r.structure_id, :activity
FROM structure_row r JOIN incoming_entry n USING (entry)
CROSS JOIN LATERAL (VALUES ('formation_energy', n.formation_energy), ('band_gap', n.band_gap)) AS v (property, value)
WHERE r.dataset_id = :dataset AND v.value IS NOT NULL ORDER BY r.line, v.property
""")

_OVERVIEW = text("""
SELECT count(*) AS n_rows, count(DISTINCT r.structure_id) AS n_structures,
       count(DISTINCT r.composition_id) AS n_compositions, count(e.id) AS n_formation_energies,
       count(g.id) AS n_band_gaps
FROM structure_row r
LEFT JOIN label e ON e.structure_row_id = r.id AND e.property = 'formation_energy'
LEFT JOIN label g ON g.structure_row_id = r.id AND g.property = 'band_gap'
WHERE r.dataset_id = :dataset
""")

_FOUND = text("""
SELECT * FROM v_structure
WHERE (entry = :name OR CAST(structure_id AS text) = :name) AND (CAST(:dataset AS text) IS NULL OR dataset = :dataset)
ORDER BY structure_id, dataset_id, line
""")


def store(tx: Transaction, dataset_id: int, activity_id: int, rows: Iterable[NewEntry]) -> None:
    """Insert the cells that are new, the rows of the dataset, and their labels; its compositions are there."""
    fill_temporary(tx, "incoming_entry", _INCOMING, rows)
    tx.execute(text("ANALYZE incoming_entry"))
    tx.execute(_STRUCTURES, {"activity": activity_id})
    tx.execute(_ROWS, {"dataset": dataset_id})
    tx.execute(_LABELS, {"dataset": dataset_id, "activity": activity_id})


def overview(tx: Transaction, dataset_id: int) -> AnyRow:
    """(n_rows, n_structures, n_compositions, n_formation_energies, n_band_gaps) of a dataset of structures."""
    return tx.execute(_OVERVIEW, {"dataset": dataset_id}).one()


def found(tx: Transaction, name: str, dataset: str | None) -> Sequence[AnyRow]:
    """Rows of v_structure of a name in the data sets, or of the number of a structure."""
    return tx.execute(_FOUND, {"name": name, "dataset": dataset}).all()


def n_structures(tx: Transaction) -> int:
    """How many structures the record holds."""
    return int(tx.execute(select(func.count()).select_from(structure)).scalar_one())


def schemes(tx: Transaction) -> list[str]:
    """Every correction scheme that the record knows."""
    return list(tx.execute(select(correction_scheme.c.name).order_by(correction_scheme.c.name)).scalars())
