"""Data sets, the structures that some list, and the rows that were refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Method:
    """How values come about, and how much their word weighs: of labels of one composition the highest is shown.

    `added_at` is None for those that come with the schema.
    """

    name: str
    kind: str
    fidelity: int
    description: str
    n_datasets: int
    added_at: datetime | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set with its size, its range of values and its origin; `n_structures` are rows that have one."""

    name: str
    property: str | None
    unit: str | None
    n_compositions: int
    n_read: int
    n_rejected: int
    lowest: float | None
    mean: float | None
    highest: float | None
    source: str
    source_sha256: str
    options: Mapping[str, Any]
    imported_at: datetime
    id: int
    method: str
    correction_scheme: str
    n_structures: int


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row of a table that was not imported, and why."""

    dataset_id: int
    line: int
    kind: str
    formula: str | None
    value: str | None
    message: str


@dataclass(frozen=True, slots=True)
class DatasetWithRefused(Dataset):
    """A data set with the rows that were refused."""

    rejects: Sequence[RefusedRow]


@dataclass(frozen=True, slots=True)
class StructureRow:
    """A row of a data set that has a structure: eV/atom and eV, None where it says nothing or was retracted."""

    dataset: str
    entry: str
    line: int
    is_experimental: bool | None
    formation_energy: float | None
    band_gap: float | None
    method: str
    correction_scheme: str


@dataclass(frozen=True, slots=True)
class ImportedStructure:
    """A structure, and the rows of data sets that have its cell; `lattice` is `[3, 3]` in Å, `frac` is `[n, 3]`."""

    structure_id: int
    reduced_formula: str
    space_group: int
    n_sites: int
    volume_a3: float
    lattice: Sequence[Sequence[float]]
    species: Sequence[str]
    frac: Sequence[Sequence[float]]
    cell_sha256: str
    rows: Sequence[StructureRow]


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A row of a data set: its line and spelling, the composition, and the value of its label, if it has one."""

    line: int
    formula: str
    reduced_formula: str
    chemical_system: str
    value: float | None
    unit: str | None
    composition_id: int


@dataclass(frozen=True, slots=True)
class ListedComposition:
    """A composition in a list of those of a chemical system or a pattern of formulas."""

    id: int
    reduced_formula: str
    chemical_system: str
    anonymous_formula: str
    n_elements: int
    n_atoms: int


@dataclass(frozen=True, slots=True)
class Property:
    """What values may be of: its unit, the least value it can have, and whether people added it."""

    name: str
    unit: str
    lower_bound: float | None
    description: str
    is_own: bool
    n_datasets: int
