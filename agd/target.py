"""What a find is: a result within the bounds of every target, and which of two is the better.

`v_suggestion_judged` and `v_suggestion_property` say it in SQL.
"""

import math
import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from agd.plausible import plausible_range
from agd.types import Floats

_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?"
_ONE_SIDED = re.compile(rf"\s*(?P<property>\w+)\s*(?P<sign>>=?|<=?)\s*(?P<bound>{_NUMBER})\s*(?P<unit>\S+)\s*")
_WINDOW = re.compile(
    rf"\s*(?P<low>{_NUMBER})\s*(?P<unit>\S+)\s*(?P<sign><=?)\s*(?P<property>\w+)\s*(?P<sign_high><=?)\s*(?P<high>{_NUMBER})\s*(?P<unit_high>\S+)\s*"
)


def are_results(
    outcomes: NDArray[np.str_], values: Floats, is_retracted: NDArray[np.bool_], property_name: str
) -> NDArray[np.bool_]:
    """Which suggestions `[n]` are distinct compositions with a label that stands and can be a value; NaN is none."""
    is_new: NDArray[np.bool_] = outcomes == "new"
    return is_new & ~is_retracted & plausible_range(property_name).holds(values)


class Bounds(BaseModel, frozen=True):
    """Values of at least `low` and at most `high`; one of the two may be None, which bounds nothing."""

    low: float | None = None
    high: float | None = None

    def holds(self, values: Floats, spread: Floats | float = 0.0) -> NDArray[np.bool_]:
        """Which values `[n]` lie within, and still do so `spread` to either side; NaN never does."""
        is_in = ~np.isnan(values)
        if self.low is not None:
            is_in &= values - spread >= self.low
        if self.high is not None:
            is_in &= values + spread <= self.high
        return is_in

    def objective(self, values: Floats) -> Floats:
        """What a search maximises and finds are ordered by: value, its negative, or minus the distance to a window."""
        if self.low is None:
            return -values
        if self.high is None:
            return values
        return -np.maximum(np.maximum(self.low - values, values - self.high), 0.0)

    def depth(self, values: Floats) -> Floats:
        """How far inside, from the nearest bound; with one bound the value itself, or its negative."""
        if self.high is None:
            return values
        if self.low is None:
            return -values
        return np.minimum(values - self.low, self.high - values)


class Target(Bounds, frozen=True):
    """What is sought: a property within bounds, in its unit.

    A bound that must itself not be reached (`>`, `<`) is held as the next float beyond it.
    """

    text: str
    property: str
    unit: str

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

    def text_in(self, unit: str, of: Callable[[float], float]) -> str:
        """The same words in another unit, whose values `of` gives."""
        if (one := _ONE_SIDED.fullmatch(self.text)) is not None:
            return f"{one['property']} {one['sign']} {of(float(one['bound'])):.15g} {unit}"
        window = _WINDOW.fullmatch(self.text)
        assert window is not None  # noqa: S101  it was parsed
        low, high = of(float(window["low"])), of(float(window["high"]))
        words = [f"{low:.15g}", unit, window["sign"], window["property"], window["sign_high"], f"{high:.15g}", unit]
        return " ".join(words)

    def __str__(self) -> str:
        return self.text


def are_feasible(
    further: Sequence[tuple["Bounds", str]], values: Floats, is_retracted: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which suggestions meet every further target (bounds, property) on labels that stand.

    Values and whether they were retracted are `[n, p]`, a column for each target; NaN meets nothing.
    """
    is_feasible = np.ones(len(values), np.bool_)
    for (bounds, property_name), told, is_gone in zip(further, values.T, is_retracted.T, strict=True):
        is_feasible &= bounds.holds(told) & ~is_gone & plausible_range(property_name).holds(told)
    return is_feasible


def on_front(objectives: Floats) -> NDArray[np.bool_]:
    """Which rows of objectives `[n, p]` no other reaches in all and exceeds in one; `v_pareto` says it in SQL."""
    is_dominated = [
        bool(((objectives >= row).all(axis=1) & (objectives > row).any(axis=1)).any()) for row in objectives
    ]
    return ~np.array(is_dominated, np.bool_)


def _bound(value: float, side: str, *, is_strict: bool) -> float:
    if not math.isfinite(value):
        raise ValueError("a bound of the target is too large a number")
    if not is_strict:
        return value
    return math.nextafter(value, math.inf if side == "low" else -math.inf)
