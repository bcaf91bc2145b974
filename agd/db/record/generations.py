"""Generations: datasets that a generator made. A row's line is the number of the first sample of its composition."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import insert, select, text

from agd.db.connection import AnyRow, Transaction
from agd.db.record import datasets
from agd.db.record import stages as counts
from agd.db.tables import dataset, generation

_OVERVIEW = text("""
SELECT g.*, d.options, d.recipe_sha256, d.n_rejected,
       coalesce(t.n_compositions, (SELECT count(*) FROM dataset_row r WHERE r.dataset_id = g.dataset_id))
           AS n_compositions
FROM v_generation g JOIN dataset d ON d.id = g.dataset_id LEFT JOIN dataset_tally t ON t.dataset_id = g.dataset_id
WHERE CAST(:name AS text) IS NULL OR g.generation = :name ORDER BY g.dataset_id
""")

_INCOMING = (
    "reduced_formula text, chemical_system text, anonymous_formula text, n_elements integer, n_atoms integer,"
    " line integer, formula text, n_rows integer, is_charge_neutral boolean, is_electronegativity_balanced boolean"
)

_PLACED = "id bigint, reduced_formula text"

# One order for every writer, so that two of them never wait for each other in a circle.
_COMPOSITIONS = text("""
WITH new AS (
    INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)
    SELECT reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, :activity
    FROM incoming_generated ORDER BY reduced_formula COLLATE "C" ON CONFLICT (reduced_formula) DO NOTHING
    RETURNING id, reduced_formula
)
INSERT INTO placed_generated SELECT id, reduced_formula FROM new
""")

# Each by index: what was there before is not joined as a whole, however much that is.
_THERE_BEFORE = text("""
INSERT INTO placed_generated
SELECT (SELECT c.id FROM composition c WHERE c.reduced_formula = g.reduced_formula), g.reduced_formula
FROM incoming_generated g
WHERE NOT EXISTS (SELECT FROM placed_generated p WHERE p.reduced_formula = g.reduced_formula)
""")

_ROWS = text("""
INSERT INTO dataset_row (dataset_id, composition_id, line, formula, n_rows)
SELECT :dataset, p.id, line, formula, n_rows FROM incoming_generated JOIN placed_generated p USING (reduced_formula)
ORDER BY p.id
""")

_VERDICTS = text("""
INSERT INTO verdict (composition_id, rule, rule_version, is_charge_neutral, is_electronegativity_balanced, activity_id)
SELECT p.id, :rule, :version, is_charge_neutral, is_electronegativity_balanced, :activity
FROM incoming_generated JOIN placed_generated p USING (reduced_formula) ORDER BY p.id ON CONFLICT DO NOTHING
""")


class GeneratedRow(NamedTuple):
    """A composition, the number of its first sample, that sample as generated, how many there were, and a verdict."""

    reduced_formula: str
    chemical_system: str
    anonymous_formula: str
    n_elements: int
    n_atoms: int
    sample: int
    formula: str
    n_samples: int
    is_charge_neutral: bool | None
    is_electronegativity_balanced: bool | None


def store(tx: Transaction, values: Mapping[str, object], generated: Mapping[str, object]) -> int | None:
    """Insert a dataset and what generated it; its id, None where its name or its content is there already."""
    dataset_id = datasets.store(tx, values)
    if dataset_id is not None:
        tx.execute(insert(generation).values(**generated, dataset_id=dataset_id))
    return dataset_id


def bring(tx: Transaction, rows: Iterable[GeneratedRow]) -> None:
    """COPY rows of distinct compositions into a table of this transaction: nothing that others wait for is locked."""
    datasets.fill_temporary(tx, "incoming_generated", _INCOMING, rows)
    tx.execute(text("ANALYZE incoming_generated"))


def store_rows(tx: Transaction, dataset_id: int, rule: tuple[str, int, Mapping[str, object]], activity_id: int) -> int:
    """Insert the rows that were brought, with the verdicts of `rule`; returns how many were new to the record.

    A few statements, whatever their number.
    """
    datasets.fill_temporary(tx, "placed_generated", _PLACED, ())
    n_new: int = tx.execute(_COMPOSITIONS, {"activity": activity_id}).rowcount
    tx.execute(_THERE_BEFORE)
    tx.execute(text("ANALYZE placed_generated"))
    tx.execute(_ROWS, {"dataset": dataset_id})
    datasets.store_rule(tx, rule)
    tx.execute(_VERDICTS, {"rule": rule[0], "version": rule[1], "activity": activity_id})
    return n_new


def overview(tx: Transaction, name: str | None = None) -> Sequence[AnyRow]:
    """Rows of v_generation with options and sizes, oldest first: all of them, or the one of that name."""
    return tx.execute(_OVERVIEW, {"name": name}).all()


def stages(tx: Transaction, dataset_id: int) -> dict[str, int]:
    """The number left by stage, in order."""
    made_by = tx.execute(select(dataset.c.activity_id).where(dataset.c.id == dataset_id)).scalar_one()
    return {row.name: row.n_left for row in counts.of(tx, made_by)}
