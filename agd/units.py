"""Units of one dimension, and how many of one are so many of another. What is not listed is not converted.

Energies per atom, per mole and per particle differ by what they are divided by: kJ/mol is an energy, never eV/atom.
Temperatures on scales with different zeros are none of one factor. Constants: CODATA 2018.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Factor(NamedTuple):
    """What values are multiplied with and divided by: two numbers, so that 6400 meV are 6.4 eV exactly."""

    times: float
    over: float = 1.0

    def of(self, value: float) -> float:
        """The value in the other unit."""
        return value * self.times / self.over

    @property
    def is_change(self) -> bool:
        """Whether it changes any value."""
        return self.times != self.over


UNCHANGED: Final = Factor(1.0)

_DIMENSIONS: Final[tuple[Mapping[str, Factor], ...]] = (
    {
        "eV": Factor(1.0),
        "meV": Factor(1.0, 1e3),
        "keV": Factor(1e3),
        "J/mol": Factor(1.0, 96485.33212),
        "kJ/mol": Factor(1.0, 96.48533212),
        "kcal/mol": Factor(4.184, 96.48533212),
        "Ha": Factor(27.211386245988),
        "Ry": Factor(13.605693122994),
        "cm-1": Factor(1.0, 8065.543937),
    },
    {
        "eV/atom": Factor(1.0),
        "meV/atom": Factor(1.0, 1e3),
        "kJ/mol/atom": Factor(1.0, 96.48533212),
        "kJ/mol-atom": Factor(1.0, 96.48533212),
        "Ha/atom": Factor(27.211386245988),
        "Ry/atom": Factor(13.605693122994),
    },
    {
        "GPa": Factor(1.0),
        "TPa": Factor(1e3),
        "MPa": Factor(1.0, 1e3),
        "kPa": Factor(1.0, 1e6),
        "Pa": Factor(1.0, 1e9),
        "Mbar": Factor(100.0),
        "kbar": Factor(1.0, 10.0),
        "bar": Factor(1.0, 1e4),
        "eV/A3": Factor(160.2176634),
    },
    {"g/cm3": Factor(1.0), "g/cc": Factor(1.0), "kg/L": Factor(1.0), "kg/m3": Factor(1.0, 1e3)},
    {"K": Factor(1.0), "mK": Factor(1.0, 1e3), "kK": Factor(1e3)},
    {"angstrom": Factor(1.0), "A": Factor(1.0), "Å": Factor(1.0), "nm": Factor(10.0), "pm": Factor(1.0, 100.0)},
    {"W/m/K": Factor(1.0), "W/(m K)": Factor(1.0), "mW/m/K": Factor(1.0, 1e3), "W/cm/K": Factor(100.0)},
    {"S/m": Factor(1.0), "S/cm": Factor(100.0), "mS/cm": Factor(1.0, 10.0)},
    {"V": Factor(1.0), "mV": Factor(1.0, 1e3)},
    {"V/K": Factor(1.0), "mV/K": Factor(1.0, 1e3), "uV/K": Factor(1.0, 1e6), "µV/K": Factor(1.0, 1e6)},
)
"""Each unit in the first of its dimension."""


def factor(given: str, kept: str) -> Factor | None:
    """What turns values of one unit into another; None where they are not known to be of one dimension."""
    if given == kept:
        return UNCHANGED
    for dimension in _DIMENSIONS:
        if given in dimension and kept in dimension:
            one, other = dimension[given], dimension[kept]
            return Factor(one.times * other.over, one.over * other.times)
    return None


def like(unit: str) -> list[str]:
    """The units that are converted to this one."""
    return [one for dimension in _DIMENSIONS if unit in dimension for one in dimension if one != unit]


def mismatch(property_name: str, given: str, kept: str) -> str:
    """What is wrong with a unit, and which would do."""
    others = like(kept)
    also = f", or {', '.join(others)}, which are converted" if others else ""
    return f"{property_name} is kept in {kept}, not in {given}: give it in {kept}{also}"
