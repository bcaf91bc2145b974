"""The values that a property of a material can have: wide enough for any that was measured or computed, no wider.

What lies outside is a placeholder for a missing value (999, -1e30, 1e-308), a value in another unit, or a slip;
every door through which a value enters refuses it, and what is in a record already is left out where something learns
from it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from agd.types import Floats

SMALLEST: Final = 1e-100
"""Of a value or an uncertainty that is not 0: less is no number of a material, and a product of such is no number."""


class Range(NamedTuple):
    """Both ends belong to it; in the property's unit."""

    low: float
    high: float

    @property
    def width(self) -> float:
        """Larger than any uncertainty."""
        return self.high - self.low

    def __contains__(self, value: object) -> bool:
        """Whether it is a number in the range and not next to zero; NaN is in none."""
        if not isinstance(value, float | int):
            return False
        return self.low <= value <= self.high and (value == 0 or abs(value) >= SMALLEST)

    def holds(self, values: "Floats") -> "NDArray[np.bool_]":
        """The same for numbers of any shape."""
        is_number: NDArray[np.bool_] = (values == 0) | (abs(values) >= SMALLEST)
        return is_number & (values >= self.low) & (values <= self.high)


# The function agd_is_plausible says the same in SQL: a change comes with a migration.
# Negative ends where the property has none: a regression may answer below zero, and such tables may be kept.
RANGES: Final[Mapping[str, Range]] = MappingProxyType(
    {
        "band_gap": Range(-10.0, 100.0),  # largest known: helium, 17 to 24 eV
        "formation_energy": Range(-50.0, 50.0),
        "e_above_hull": Range(-50.0, 50.0),
        "bulk_modulus": Range(-10_000.0, 10_000.0),  # diamond, 440 GPa
        "shear_modulus": Range(-10_000.0, 10_000.0),
        "density": Range(-100.0, 100.0),  # osmium, 22.6 g/cm3
        "refractive_index": Range(-1_000.0, 1_000.0),  # computed ones reach 100
    }
)
ANY: Final = Range(-1e9, 1e9)
"""Of a property that is not listed."""


def plausible_range(property_name: str) -> Range:
    """The range of a property's values."""
    return RANGES.get(property_name, ANY)


def implausible(value: float, property_name: str) -> str | None:
    """Why the value cannot be one of the property, None where it can."""
    found = plausible_range(property_name)
    if value in found:
        return None
    if 0 < abs(value) < SMALLEST:
        return f"is nearer to 0 than values of {property_name} lie"
    return f"lies outside {found.low:g} to {found.high:g}, where values of {property_name} lie"
