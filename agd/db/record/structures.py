"""Structures: bulk rows in by COPY, each cell once, and read back as values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sqlalchemy import text

from agd.chem.elements import SYMBOLS
from agd.db.connection import AnyRow, Transaction
from agd.db.record.datasets import Ids, fill_temporary
from agd.types import Structure

_SELECT: Final = (
    "SELECT s.id, s.composition_id, c.reduced_formula, s.cell_sha256, s.space_group, s.lattice, s.atomic_numbers,"
    " s.frac"
    " FROM structure s JOIN composition c ON c.id = s.composition_id"
)

_INCOMING: Final = (
    "position integer, cell_sha256 text, n_sites integer, space_group smallint, lattice real[],"
    " atomic_numbers smallint[], frac real[], composition_id bigint"
)


@dataclass(frozen=True, slots=True, eq=False)
class StoredStructure:
    """A structure of the record."""

    id: int
    composition_id: int
    reduced_formula: str
    cell_sha256: str
    space_group: int
    structure: Structure


@dataclass(frozen=True, slots=True, eq=False)
class NewStructure:
    """A canonical cell to be stored, with the id of its composition."""

    composition_id: int
    cell_sha256: str
    space_group: int
    structure: Structure
    atomic_numbers: Sequence[int]


def store(tx: Transaction, structures: Sequence[NewStructure], activity_id: int) -> Ids:
    """Insert the cells that are new; ids `[n]` in the order of `structures`, which may repeat a cell."""
    fill_temporary(tx, "incoming_structure", _INCOMING, (_row(i, new) for i, new in enumerate(structures)))
    tx.execute(
        text(
            "INSERT INTO structure (composition_id, cell_sha256, n_sites, space_group, lattice, atomic_numbers, frac,"
            " activity_id) SELECT DISTINCT ON (cell_sha256) composition_id, cell_sha256, n_sites, space_group, lattice,"
            " atomic_numbers, frac, :activity FROM incoming_structure ORDER BY cell_sha256"
            " ON CONFLICT (cell_sha256) DO NOTHING"
        ),
        {"activity": activity_id},
    )
    found = tx.scalar(
        text("SELECT array_agg(s.id ORDER BY position) FROM incoming_structure JOIN structure s USING (cell_sha256)")
    )
    return np.array(found or [], dtype=np.int64)


def some(tx: Transaction, ids: Iterable[int]) -> dict[int, StoredStructure]:
    """The structures of these ids."""
    found = tx.execute(text(f"{_SELECT} WHERE s.id = ANY (:ids)"), {"ids": list(ids)})
    return {row.id: _stored(row) for row in found}


def entries_of_formula(tx: Transaction, reduced_formula: str) -> list[str]:
    """Names in data sets of the structures of a composition, the lowest formation energy first."""
    found = tx.execute(
        text(
            "SELECT entry FROM v_structure WHERE reduced_formula = :formula ORDER BY formation_energy, structure_row_id"
        ),
        {"formula": reduced_formula},
    )
    return list(found.scalars())


def _row(position: int, new: NewStructure) -> tuple[object, ...]:
    return (
        position,
        new.cell_sha256,
        len(new.atomic_numbers),
        new.space_group,
        new.structure.lattice.ravel().tolist(),
        list(new.atomic_numbers),
        new.structure.frac.ravel().tolist(),
        new.composition_id,
    )


def _stored(row: AnyRow) -> StoredStructure:
    return StoredStructure(
        row.id,
        row.composition_id,
        row.reduced_formula,
        row.cell_sha256,
        row.space_group,
        Structure(
            np.array(row.lattice, dtype=np.float64).reshape(3, 3),
            tuple(SYMBOLS[number - 1] for number in row.atomic_numbers),
            np.array(row.frac, dtype=np.float64).reshape(-1, 3),
        ),
    )
