"""Formats of crystals that libraries read and write: CIF by pymatgen, databases by ASE."""

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agd.chem.structures import SYMMETRY_PRECISION_A
from agd.errors import InputError
from agd.installing import pip_install_extra
from agd.types import Structure


def read_cif(text: str) -> dict[str, Any]:
    """The keys `lattice`, `species` and `frac` of the one crystal in a block of CIF.

    Raises:
        InputError: it is no CIF, or the crystal is disordered.
    """
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of spacings and rounded thirds, which it mends
        try:
            (crystal,) = CifParser.from_str(text).parse_structures(primitive=False, on_error="raise")
        except Exception as error:  # pymatgen raises whatever its parts raise
            words = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"not a crystal in CIF ({words})") from error
    if not crystal.is_ordered:
        raise InputError("a site is of several elements, or partly empty: only ordered crystals are kept")
    return {
        "lattice": crystal.lattice.matrix.tolist(),
        "species": [site.specie.symbol for site in crystal],
        "frac": crystal.frac_coords.tolist(),
    }


def write_cif(structure: Structure) -> str:
    """A structure with its symmetry, as a CIF file has it."""
    from pymatgen.core.structure import Structure as Crystal
    from pymatgen.io.cif import CifWriter

    crystal = Crystal(structure.lattice, structure.species, structure.frac)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pymatgen asks spglib in the way of before
        return str(CifWriter(crystal, symprec=SYMMETRY_PRECISION_A))


def ase_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows of a database of ASE, SQLite or JSON: number, and keys as `read_cif` has them with the row's own.

    Raises:
        InputError: ASE is not installed, or cannot read the file.
    """
    try:
        from ase.db import connect
    except ImportError:
        raise InputError(
            f"{path}: a database of ASE is read by ase, which is not installed: {pip_install_extra('structures')}"
        ) from None
    with path.open("rb") as file:
        kind = "json" if file.read(1) == b"{" else "db"
    try:
        with connect(path, type=kind) as database:
            for row in database.select():
                atoms = row.toatoms()
                own = {**row.key_value_pairs, "id": row.key_value_pairs.get("id", f"{path.name}-{row.id}")}
                yield (
                    row.id,
                    {
                        **own,
                        "lattice": atoms.cell.array.tolist() if atoms.pbc.all() else None,
                        "species": atoms.get_chemical_symbols(),
                        "frac": atoms.get_scaled_positions().tolist() if atoms.pbc.all() else None,
                    },
                )
    except InputError:
        raise
    except Exception as error:  # whatever SQLite, JSON and ASE raise
        raise InputError(f"{path}: not a whole database of ASE ({error})") from error
