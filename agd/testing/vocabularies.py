"""Compositions at the edges of what a model may know."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from agd.chem.formula import parse_formulas
from agd.types import Counts

FAMILIES = {
    "{}{}": ("Li Na K Rb Cs Ag Tl Cu", "F Cl Br I H"),
    "{}2{}": ("Li Na K Rb Cs Ag Tl Cu", "O S Se Te"),
    "{}{}2": ("Mg Ca Sr Ba Zn Cd Pb Mn Fe Ni Eu", "F Cl Br I"),
    "{}1{}1": ("Mg Ca Sr Ba Zn Cd Pb Mn Fe Ni Eu Hg", "O S Se Te"),
    "{}2{}3": ("Al Ga In Sc Y La Nd Gd Lu Bi Cr", "O S Se"),
    "{}{}O3": ("Ca Sr Ba Pb Eu", "Ti Zr Hf Sn Ge Ce"),
    "{}{}S4": ("Ca Sr Ba Zn", "Si Ge W Mo"),
    "Cs2{}{}6": ("Ti Zr Hf Sn Pt Te", "Cl Br I"),
    "K{}{}5": ("Mg Ca Mn Zn Cd", "F Cl"),
    "{}3{}5O12": ("Y Gd Lu Yb Er", "Al Ga Fe"),
    "{}P{}O7": ("Na K Rb Cs", "V Nb Ta"),
    "{}{}F6": ("Li Na K Rb Cs Ag", "P As Sb Nb Ta U"),
}
"""Inorganic compounds by their pattern: first and second elements."""


def known_compounds() -> Counts:
    """Some 300 formulas of the families, `[n, 103]`."""
    formulas = [
        pattern.format(first, second)
        for pattern, (firsts, seconds) in FAMILIES.items()
        for first in firsts.split()
        for second in seconds.split()
    ]
    counts, _ = parse_formulas(formulas)
    return counts


def outsiders(is_inside: Callable[[Counts], NDArray[np.bool_]]) -> Iterator[tuple[str, NDArray[np.int32]]]:
    """One row `[103]` of each kind that lies outside a vocabulary: without atoms, and where there are such, others."""
    yield "a row without atoms", np.zeros(103, np.int32)
    fluorides = np.eye(103, dtype=np.int32)
    fluorides[:, 8] += 2
    kinds = {"an element that it does not know": fluorides}
    kinds |= {f"{n} atoms of an element": n * np.eye(103, dtype=np.int32) + fluorides for n in (9, 99, 9999)}
    kinds["one element alone"] = np.eye(103, dtype=np.int32)
    kinds["nine elements"] = np.stack([np.roll(np.repeat([1, 0], [9, 94]), k) for k in range(90)]).astype(np.int32)
    for what, rows in kinds.items():
        outside = np.flatnonzero(~is_inside(rows))
        if len(outside):
            yield what, rows[outside[0]]
