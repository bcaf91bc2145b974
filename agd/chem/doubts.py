"""Formulas that can be read, and were probably meant as something else."""

import re
from collections.abc import Sequence
from typing import Final

from agd.chem.formula import FormulaProblem

__all__ = ["doubts", "is_doubtful"]

_N_LISTED: Final = 3

# Each letter is an element, as in UNKNOWN; a short word with a number is a compound (KVOF4). A word has a vowel, and no
# three consonants first, unlike KCNO and HCSN.
_WORD: Final = re.compile(r"(?=[A-Z]{4,5}$|[A-Z]{6,}\d*$)(?![HCNO]+\d*$)(?![^AEIOUY]{3})(?=[A-Z]*[AEIOUY])[A-Z]+\d*")
_STATE: Final = re.compile(r"(?<=[a-z])(?:IV|VI)(?![a-z\d])")  # MnIVO2, and not VIn nor VI3
_FLAGS: Final = frozenset(("No", "OK", "ON", "OFF"))  # nobelium alone is no compound
_SLIPS: Final = re.compile(
    r"[a-zA-Z)][2-9]0[1-9]\d?(?!\d)"  # Al203: a zero for the letter O; real ones begin with 1 (K49Tl108)
    r"|^(?!C\d)[A-Z][a-z]?\d+0$"  # H20
    r"|\d\dH2O$|\)\d+H2O$"  # CuSO45H2O: a hydrate that lost its dot
    r"|\((?:[A-Z][a-z]?)\)$"  # TiO2(B): a phase
)
_SMALL: Final = re.compile(r"[a-z]")


def is_doubtful(formula: str) -> bool:
    """Whether a formula reads as a word (`UNKNOWN`), a flag (`No`), a slip (`Al203`) or with a state (`MnIVO2`)."""
    word = formula.strip()
    is_found = (pattern.search(word) is not None for pattern in (_STATE, _SLIPS))
    return word in _FLAGS or _WORD.fullmatch(word) is not None or any(is_found)


def doubts(column: str, formulas: Sequence[str], lines: Sequence[int], problems: Sequence[FormulaProblem]) -> list[str]:
    """Return what to say of a column whose formulas stand on these lines and have these problems."""
    is_refused = {problem.index for problem in problems}
    found = [i for i, formula in enumerate(formulas) if is_doubtful(formula) and i not in is_refused]
    said = []
    if found:
        examples = ", ".join(f"line {lines[i]} {formulas[i].strip()!r}" for i in found[:_N_LISTED])
        more = ", ..." if len(found) > _N_LISTED else ""
        said.append(f"{_formulas(len(found))} like a word, an oxidation state or a slip: check {examples}{more}")
    n_none = len(found) + sum(problem.kind in {"unparsable", "unknown element", "empty"} for problem in problems)
    if n_none and 2 * n_none >= len(formulas):
        rows = f"{n_none:,} of {len(formulas):,} rows of column {column!r}"
        said.append(f"{rows} do not look like formulas: is it the right one? (--formula-column)")
    read = [i for i in range(len(formulas)) if i not in is_refused]
    is_capital = any(problem.kind == "unknown element" for problem in problems)
    if read and is_capital and not any(_SMALL.search(formula) for formula in formulas):
        said.append(
            f"no formula of column {column!r} has a small letter: line {lines[read[0]]} {formulas[read[0]]!r} is read "
            "letter by letter; copper is Cu"
        )
    return said


def _formulas(n: int) -> str:
    return "1 formula reads" if n == 1 else f"{n:,} formulas read"
