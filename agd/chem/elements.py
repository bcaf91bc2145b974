"""The elements: their order in a count matrix and the tables of facts shipped in `agd/data`."""

import csv
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agd.types import Floats

_PERIODIC_TABLE: Final = """
    H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
    Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu
    Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr
"""

SYMBOLS: Final[tuple[str, ...]] = tuple(_PERIODIC_TABLE.split())
"""Chemical symbols by atomic number; position = column of the count matrix."""

N_ELEMENTS: Final = len(SYMBOLS)

AUTOENCODER_ELEMENTS: Final[tuple[str, ...]] = tuple(
    symbol for symbol in SYMBOLS[:94] if symbol not in {"Ne", "Ar", "Po", "At", "Rn", "Fr", "Ra"}
)
"""The 87 elements of the autoencoder's vocabulary, by atomic number (arXiv 2103.00608)."""

AUTOENCODER_COLUMNS: Final[NDArray[np.intp]] = np.array([SYMBOLS.index(symbol) for symbol in AUTOENCODER_ELEMENTS])
AUTOENCODER_COLUMNS.flags.writeable = False

MAGPIE_PROPERTIES: Final[tuple[str, ...]] = (
    *("Number", "MendeleevNumber", "AtomicWeight", "MeltingT", "Column", "Row", "CovalentRadius", "Electronegativity"),
    *("NsValence", "NpValence", "NdValence", "NfValence", "NValence"),
    *("NsUnfilled", "NpUnfilled", "NdUnfilled", "NfUnfilled", "NUnfilled"),
    *("GSvolume_pa", "GSbandgap", "GSmagmom", "SpaceGroupNumber"),
)
"""Element properties of the Magpie descriptors (10.1038/npjcompumats.2016.28), in matminer's order."""


@cache
def pauling_electronegativities() -> Floats:
    """Return Pauling electronegativities `[103]`, NaN for He, Ne and Ar."""
    return _column_of_numbers("pauling_electronegativity")


@cache
def modified_pettifor() -> NDArray[np.intp]:
    """Return the place `[103]` of each element on the modified Pettifor scale, 0 to 102 (Glawe et al. 2016).

    Elements that stand near each other there often replace each other in compounds.
    """
    places = _column_of_numbers("modified_pettifor").astype(np.intp)
    places.flags.writeable = False
    return places


@cache
def magpie_properties() -> Floats:
    """Return the Magpie element table `[103, 22]`, NaN where matminer has no value."""
    table = np.stack([_column_of_numbers(name) for name in MAGPIE_PROPERTIES], axis=1)
    table.flags.writeable = False
    return table


@cache
def smact_states() -> tuple[tuple[int, ...], ...]:
    """Return SMACT's default oxidation states of each of the 103 elements, ascending, empty where it lists none."""
    return _column_of_states("smact_default")


@cache
def smact_icsd24_states() -> tuple[tuple[int, ...], ...]:
    """Return the oxidation states that SMACT takes from the ICSD of 2024, ascending, empty where it lists none."""
    return _column_of_states("icsd24_states", "smact.csv")


@cache
def smact_electronegativities() -> Floats:
    """Return the Pauling electronegativities `[103]` of SMACT, NaN for He, Ne, Ar, Pm, Rn and Lr."""
    return _column_of_numbers("pauling_electronegativity", "smact.csv")


@cache
def smact_metals() -> NDArray[np.bool_]:
    """Return which elements `[103]` SMACT counts among the metals."""
    column: NDArray[np.bool_] = _column_of_numbers("is_metal", "smact.csv") == 1
    column.flags.writeable = False
    return column


@cache
def production_hhi() -> Floats:
    """Return the Herfindahl-Hirschman index of each element's production `[103]` (10.1021/cm400893e).

    It is the sum of the squared shares, in percent, of the countries that produce the element; NaN where none is
    listed, as for H, the noble gases but He, and what decays.
    """
    return _column_of_numbers("production_hhi")


@cache
def fitted_volumes() -> Floats:
    """Return the volumes `[103]` in Å³ per atom that were fitted to known crystals, NaN where no crystal told."""
    return _column_of_numbers("fitted_volume")


@cache
def common_states() -> tuple[tuple[int, ...], ...]:
    """Return the common oxidation states of each of the 103 elements, ascending."""
    return _column_of_states("common")


@cache
def ionic_radii() -> tuple[Mapping[int, float], ...]:
    """Return the ionic radii of each of the 103 elements by oxidation state, in angstrom; none of H and noble gases."""
    pairs = ([pair.split(":") for pair in row["ionic_radii"].split()] for row in _rows("oxidation_states.csv"))
    return tuple({int(state): float(radius) for state, radius in found} for found in pairs)


@cache
def ionic_radius_ratios() -> Floats:
    """Return how many times larger the larger ion of two elements is, `[103, 103]`.

    The most alike of the oxidation states that both have are compared, else of those of one sign; ions of other signs
    are infinitely unlike, and an element without a radius is like any other.
    """
    radii = ionic_radii()
    ratios = np.array([[_ratio(one, other) for other in radii] for one in radii])
    ratios.flags.writeable = False
    return ratios


def _ratio(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    if not one or not other:
        return 1.0
    pairs = [(one[state], other[state]) for state in one.keys() & other.keys()] or [
        (a, b) for state, a in one.items() for of_other, b in other.items() if (state > 0) == (of_other > 0)
    ]
    return min((max(pair) / min(pair) for pair in pairs), default=math.inf)


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    text = files("agd").joinpath("data", name).read_text(encoding="utf-8")
    rows = {row["symbol"]: row for row in csv.DictReader(text.splitlines())}
    return tuple(rows[symbol] for symbol in SYMBOLS)


def _column_of_numbers(name: str, table: str = "elements.csv") -> Floats:
    column = np.array([float(row[name] or "nan") for row in _rows(table)])
    column.flags.writeable = False
    return column


def _column_of_states(name: str, table: str = "oxidation_states.csv") -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(sorted(int(state) for state in row[name].split())) for row in _rows(table))
