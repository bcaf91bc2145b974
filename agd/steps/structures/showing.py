"""A structure of the record as it is shown, and as a file of its own."""

from pathlib import Path
from typing import Final

import numpy as np

from agd.chem.formula import parse_formula
from agd.chem.identity import identify
from agd.chem.structures import volume_a3
from agd.db.connection import Transaction
from agd.db.record import structure_entries, structures
from agd.errors import FormulaError, InputError, NotFoundError
from agd.steps.structures.formats import write_cif
from agd.types import Structure
from agd.views import ImportedStructure, StructureRow, of_rows
from agd.work.workspace import Workspace
from agd.writing import write_text

_N_TOLD: Final = 6


def show_structure(workspace: Workspace, name: str, dataset: str | None = None) -> ImportedStructure:
    """The structure of a name in the data sets, or of a number; with all rows of data sets that have its cell.

    Raises:
        NotFoundError: there is none.
        InputError: several structures have that name.
    """
    with workspace.database.read() as tx:
        rows = structure_entries.found(tx, name, dataset)
        ids = sorted({row.structure_id for row in rows})
        if not ids:
            where = "" if dataset is None else f" in data set {dataset!r}"
            raise NotFoundError(
                f"no structure {name!r}{where}: give its name in the source, or its number{_of_that_formula(tx, name)}"
            )
        if len(ids) > 1:
            places = ", ".join(f"{row.structure_id} ({row.reduced_formula}, data set {row.dataset!r})" for row in rows)
            raise InputError(f"{name!r} is the name of several structures: give the number of one: {places}")
        kept = structures.some(tx, ids)[ids[0]]
        rows = structure_entries.found(tx, str(ids[0]), None)
    crystal = kept.structure
    return ImportedStructure(
        structure_id=kept.id,
        reduced_formula=kept.reduced_formula,
        space_group=kept.space_group,
        n_sites=len(crystal.species),
        volume_a3=volume_a3(crystal),
        lattice=crystal.lattice.tolist(),
        species=list(crystal.species),
        frac=crystal.frac.tolist(),
        cell_sha256=kept.cell_sha256,
        rows=of_rows(StructureRow, rows),
    )


def write_structure(found: ImportedStructure, path: Path, *, force: bool = False) -> None:
    """Write a structure as CIF.

    Raises:
        InputError: the file is there and `force` is not set, or it cannot be written.
    """
    crystal = Structure(np.array(found.lattice), tuple(found.species), np.array(found.frac))
    write_text(path, write_cif(crystal), force=force)


def _of_that_formula(tx: Transaction, name: str) -> str:
    """Where a formula was given, which structures of it there are."""
    try:
        formula = identify(parse_formula(name)).reduced_formula[0]
    except FormulaError:
        return ""
    entries = structures.entries_of_formula(tx, formula)
    if not entries:
        return ""
    more = f" and {len(entries) - _N_TOLD} more" if len(entries) > _N_TOLD else ""
    return f"; of {formula} there are {', '.join(entries[:_N_TOLD])}{more}, the lowest energy first"
