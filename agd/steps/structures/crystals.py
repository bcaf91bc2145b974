"""Crystals: canonical cells of a composition go into the record."""

from collections.abc import Sequence

from agd.chem.structures import Crystal, numbers_of
from agd.db.connection import Transaction
from agd.db.record import structures
from agd.db.record.structures import NewStructure


def store_crystals(tx: Transaction, crystals: Sequence[Crystal], composition_id: int, activity_id: int) -> list[int]:
    """Their ids, in order; a cell that is there already is found, and two may be one."""
    new = [
        NewStructure(
            composition_id, one.cell_sha256, one.space_group, one.structure, numbers_of(one.structure).tolist()
        )
        for one in crystals
    ]
    return structures.store(tx, new, activity_id).tolist() if new else []
