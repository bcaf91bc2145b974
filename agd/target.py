"""What a find is: a property within bounds."""

import math
import re

from pydantic import BaseModel

_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_ONE_SIDED = re.compile(rf"\s*(?P<property>\w+)\s*(?P<sign>>=?|<=?)\s*(?P<bound>{_NUMBER})\s*(?P<unit>\S+)\s*")
_WINDOW = re.compile(
    rf"\s*(?P<low>{_NUMBER})\s*(?P<unit>\S+)\s*(?P<sign><=?)\s*(?P<property>\w+)\s*(?P<sign_high><=?)\s*(?P<high>{_NUMBER})\s*(?P<unit_high>\S+)\s*"
)


class Target(BaseModel, frozen=True):
    """What counts as a find: a property of at least `low` and at most `high`, in its unit.

    A bound that must itself not be reached (`>`, `<`) is held as the next float beyond it.
    """

    text: str
    property: str
    unit: str
    low: float | None = None
    high: float | None = None

    @classmethod
    def parse(cls, text: str) -> "Target":
        """Read `band_gap > 6 eV`, `band_gap < 1 eV` or `2 eV < band_gap < 4 eV`."""
        words = " ".join(text.split())
        if (one := _ONE_SIDED.fullmatch(text)) is not None:
            side = "low" if one["sign"].startswith(">") else "high"
            bound = _bound(float(one["bound"]), side, is_strict=not one["sign"].endswith("="))
            return cls(text=words, property=one["property"], unit=one["unit"], **{side: bound})
        if (window := _WINDOW.fullmatch(text)) is not None and window["unit"] == window["unit_high"]:
            low = _bound(float(window["low"]), "low", is_strict=window["sign"] == "<")
            high = _bound(float(window["high"]), "high", is_strict=window["sign_high"] == "<")
            if low <= high:
                return cls(text=words, property=window["property"], unit=window["unit"], low=low, high=high)
        raise ValueError(
            f"{text!r} is no target: write 'band_gap > 6 eV', 'band_gap < 1 eV' or '2 eV < band_gap < 4 eV'"
        )

    def __str__(self) -> str:
        return self.text


def _bound(value: float, side: str, *, is_strict: bool) -> float:
    if not math.isfinite(value):
        raise ValueError("a bound of the target is too large a number")
    if not is_strict:
        return value
    return math.nextafter(value, math.inf if side == "low" else -math.inf)
