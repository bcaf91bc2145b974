"""Energies above the hull that oracles of compositions predict, as labels."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.tables import composition, label

PROPERTY: Final = "e_above_hull"

_NEWEST = text("SELECT * FROM model_version WHERE kind = 'oracle' AND property = :property ORDER BY id DESC LIMIT 1")

_ANSWERS = text("""
SELECT c.reduced_formula, l.value FROM label l JOIN composition c ON c.id = l.composition_id
WHERE c.reduced_formula = ANY (:formulas) AND l.property = :property AND l.model_version_id = :model
  AND l.structure_id IS NULL AND NOT EXISTS (SELECT FROM retraction x WHERE x.label_id = l.id)
""")


def newest(tx: Transaction) -> AnyRow | None:
    """The newest oracle of the energy above the hull."""
    return tx.execute(_NEWEST, {"property": PROPERTY}).one_or_none()


def answers(tx: Transaction, model_version_id: int, formulas: Iterable[str]) -> dict[str, float]:
    """What a model version has answered, by formula; what was retracted is no answer."""
    values = {"formulas": list(formulas), "property": PROPERTY, "model": model_version_id}
    return {row.reduced_formula: row.value for row in tx.execute(_ANSWERS, values)}


def composition_ids(tx: Transaction, formulas: Iterable[str]) -> dict[str, int]:
    """Ids of those compositions that the record has, by formula."""
    found = select(composition.c.reduced_formula, composition.c.id).where(
        composition.c.reduced_formula.in_(list(formulas))
    )
    return {row.reduced_formula: row.id for row in tx.execute(found)}


def store(tx: Transaction, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert labels of compositions by a model version, keeping those that are there."""
    tx.execute(upsert(label).on_conflict_do_nothing(), [{**row, "property": PROPERTY} for row in rows])
