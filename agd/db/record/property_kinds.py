"""The properties that labels may be of: those that come with the schema, and those that people add."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.tables import property_

_OVERVIEW = text("""
SELECT p.name, p.unit, p.lower_bound, p.description, p.activity_id IS NOT NULL AS is_own,
       (SELECT count(*) FROM dataset d WHERE d.property = p.name) AS n_datasets
FROM property p ORDER BY p.activity_id NULLS FIRST, p.name
""")


def overview(tx: Transaction) -> Sequence[AnyRow]:
    """Every property (name, unit, lower_bound, description, is_own, n_datasets), those of one's own last."""
    return tx.execute(_OVERVIEW).all()


def store(tx: Transaction, values: Mapping[str, object], activity_id: int) -> None:
    """Insert a property; one that is there stays as it is."""
    tx.execute(upsert(property_).values(**values, activity_id=activity_id).on_conflict_do_nothing())
