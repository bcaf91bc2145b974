"""The fields of a structure: what each is, whether it can be asked for, and how a row fills them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from agd.chem.elements import SYMBOLS
from agd.db.connection import AnyRow

Type: TypeAlias = Literal["string", "integer", "float", "timestamp", "list", "dictionary"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field; one that is not `is_queryable` is only told. `unit` is what its numbers are in."""

    type: Type
    description: str
    is_queryable: bool = True
    is_sortable: bool = False
    unit: str | None = None


FIELDS: Final[Mapping[str, Field]] = {
    "id": Field("string", "The number of the structure in this record.", is_sortable=True),
    "type": Field("string", "Always structures."),
    "immutable_id": Field("string", "The SHA-256 of the numbers of the cell."),
    "last_modified": Field("timestamp", "When the structure was stored; it does not change.", is_sortable=True),
    "elements": Field("list", "Symbols of its elements, in alphabetical order."),
    "nelements": Field("integer", "How many elements it is of.", is_sortable=True),
    "elements_ratios": Field("list", "The share of each element in the sites.", is_queryable=False),
    "chemical_formula_descriptive": Field("string", "The reduced formula as pymatgen writes it."),
    "chemical_formula_reduced": Field("string", "The reduced formula, elements in alphabetical order."),
    "chemical_formula_anonymous": Field("string", "The formula with letters for elements, the largest amount first."),
    "dimension_types": Field("list", "It is periodic in all directions.", is_queryable=False),
    "nperiodic_dimensions": Field("integer", "Always 3."),
    "lattice_vectors": Field("list", "The vectors of the primitive cell.", is_queryable=False, unit="Å"),
    "cartesian_site_positions": Field("list", "Places of the sites.", is_queryable=False, unit="Å"),
    "nsites": Field("integer", "How many sites the primitive cell has.", is_sortable=True),
    "species": Field("list", "What may stand at a site: one element each.", is_queryable=False),
    "species_at_sites": Field("list", "What stands at each site.", is_queryable=False),
    "structure_features": Field("list", "None: every site holds one atom."),
    "space_group_it_number": Field("integer", "Number of the space group, from 1 to 230.", is_sortable=True),
    "_agd_reduced_formula": Field("string", "The composition's key in this record: pymatgen's reduced formula."),
    "_agd_claim": Field("string", "How far the composition has come, from guessed to measured."),
    "_agd_claim_level": Field("integer", "The same as a number, from 0."),
    "_agd_e_above_hull_ev_per_atom": Field(
        "float", "The lowest energy of the composition above the hull of the same potential.", unit="eV/atom"
    ),
    "_agd_band_gap_ev": Field(
        "float", "The label of the structure, where there is one, or of the composition.", unit="eV"
    ),
    "_agd_band_gap_method": Field("string", "By which method that label came about."),
}

NOT_HELD: Final = frozenset(
    {
        "assemblies",
        "chemical_formula_hill",
        "fractional_site_positions",
        "site_coordinate_span",
        "site_coordinate_span_description",
        "space_group_symbol_hall",
        "space_group_symbol_hermann_mauguin",
        "space_group_symbol_hermann_mauguin_extended",
        "space_group_symmetry_operations_xyz",
        "wyckoff_positions",
    }
)
"""Fields of the API that no structure has here."""


def attributes_of(row: AnyRow) -> dict[str, Any]:
    """All fields of a structure but id and type."""
    lattice = np.array(row.lattice, dtype=np.float64).reshape(3, 3)
    places = np.array(row.frac, dtype=np.float64).reshape(-1, 3) @ lattice
    at_sites = [SYMBOLS[number - 1] for number in row.atomic_numbers]
    counts = Counter(at_sites)
    elements = sorted(counts)
    found = {
        "immutable_id": row.immutable_id,
        "last_modified": f"{row.last_modified:%Y-%m-%dT%H:%M:%SZ}",
        "elements": elements,
        "nelements": len(elements),
        "elements_ratios": [counts[symbol] / len(at_sites) for symbol in elements],
        "chemical_formula_descriptive": row.chemical_formula_descriptive,
        "chemical_formula_reduced": row.chemical_formula_reduced,
        "chemical_formula_anonymous": row.chemical_formula_anonymous,
        "dimension_types": [1, 1, 1],
        "nperiodic_dimensions": 3,
        "lattice_vectors": lattice.tolist(),
        "cartesian_site_positions": places.tolist(),
        "nsites": row.nsites,
        "species": [{"name": one, "chemical_symbols": [one], "concentration": [1.0]} for one in elements],
        "species_at_sites": at_sites,
        "structure_features": [],
        "space_group_it_number": row.space_group_it_number,
    }
    own = {f"_{name}": getattr(row, name) for name in row._fields if name.startswith("agd_")}
    return found | {name: None if value is None else _plain(value) for name, value in own.items()}


def _plain(value: Any) -> object:
    return value if isinstance(value, str | int) else float(value)
