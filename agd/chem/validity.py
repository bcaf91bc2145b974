"""Charge neutrality and electronegativity balance by one oxidation state per element (arXiv 2103.00608).

The rule, called `smact-default-states`: choose one of SMACT's default oxidation states (10.21105/joss.01361) for each
element. A formula is charge-neutral if it is a reduced formula and some choice sums to zero over its atoms; it is
electronegativity-balanced if some such choice also gives every cation a strictly lower Pauling electronegativity
than every anion. An element alone passes both; an element without states fails both, one without an electronegativity
fails the second. On more than eight elements the rule does not speak.

Choices are not enumerated. The sums that the elements can reach are the bits of one integer per formula, and adding an
element is a shift and an or for each of its states.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from agd.chem.arity import by_arity
from agd.chem.elements import pauling_electronegativities, smact_states
from agd.chem.identity import reduce_counts
from agd.types import Counts

RULE: Final = "smact-default-states"
RULE_VERSION: Final = 1
MAX_ELEMENTS: Final = 8
OPTIONS: Final = {
    "oxidation_states": "SMACT's default list",
    "one_state_per_element": True,
    "max_elements": MAX_ELEMENTS,
}

_WORD: Final = 64

States: TypeAlias = tuple[tuple[int, ...], ...]
"""Oxidation states of each of the 103 elements."""


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """What the rule says of each row `[n]`; both answers are False where it does not apply."""

    is_applicable: NDArray[np.bool_]
    is_charge_neutral: NDArray[np.bool_]
    is_electronegativity_balanced: NDArray[np.bool_]

    @property
    def is_valid(self) -> NDArray[np.bool_]:
        """Which rows `[n]` are both."""
        return self.is_charge_neutral & self.is_electronegativity_balanced


def assess(counts: Counts) -> Verdicts:
    """Judge compositions `[n, 103]` as written: NaCl and the peroxide Na2O2 pass, Na2Cl2 fails, not being reduced."""
    n_elements = np.count_nonzero(counts, axis=1)
    is_reduced = n_elements > 0
    is_reduced[is_reduced] = (reduce_counts(counts[is_reduced]) == counts[is_reduced]).all(axis=1)
    is_neutral = n_elements == 1
    is_balanced = n_elements == 1
    for group in by_arity(counts):
        if not 1 < len(group.columns) <= MAX_ELEMENTS:
            continue
        columns, amounts = _by_electronegativity(group.columns, group.amounts)
        for members, dtype in _by_width(columns, amounts, _smact()):
            chosen = np.nonzero(members & is_reduced[group.rows])[0]
            rows = group.rows[chosen]
            is_neutral[rows] = _can_be_neutral(columns[:, chosen], amounts[:, chosen], dtype, _smact())
            is_balanced[rows] = _can_be_balanced(columns[:, chosen], amounts[:, chosen], dtype)
    return Verdicts((n_elements > 0) & (n_elements <= MAX_ELEMENTS), is_neutral, is_balanced)


def can_be_neutral(counts: Counts, states: States) -> NDArray[np.bool_]:
    """Which compositions `[n, 103]` some choice of one listed oxidation state for each element makes neutral.

    `states` lists those of each of the 103 elements. An element alone is neutral; a composition of more than eight
    elements, or of one that has no states, is not.
    """
    n_elements = np.count_nonzero(counts, axis=1)
    is_neutral: NDArray[np.bool_] = n_elements == 1
    table = _Table.of(states)
    for group in by_arity(counts):
        if 1 < len(group.columns) <= MAX_ELEMENTS:
            for members, dtype in _by_width(group.columns, group.amounts, table):
                columns, amounts = group.columns[:, members], group.amounts[:, members]
                is_neutral[group.rows[members]] = _can_be_neutral(columns, amounts, dtype, table)
    return is_neutral


def _by_width(
    columns: NDArray[np.intp], amounts: NDArray[np.int64], table: "_Table"
) -> Iterator[tuple[NDArray[np.bool_], DTypeLike]]:
    """Those of m formulas `[k, m]` whose sums are the bits of a machine word, and the others."""
    most_negative = (np.maximum(-table.states.min(axis=1), 0)[columns] * amounts).sum(axis=0)
    is_narrow = most_negative < _WORD
    yield is_narrow, np.uint64
    yield ~is_narrow, object


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Oxidation states `[103, n_states]`, the first repeated to fill the row, zeros where there are none.

    `has_any` is `[103]`.
    """

    states: NDArray[np.int64]
    has_any: NDArray[np.bool_]

    @classmethod
    @cache
    def of(cls, listed: States) -> "_Table":
        width = max(map(len, listed))
        filled = [states + states[:1] * (width - len(states)) if states else (0,) * width for states in listed]
        return cls(np.array(filled), np.array([bool(states) for states in listed]))


def _smact() -> _Table:
    return _Table.of(smact_states())


def _by_electronegativity(
    columns: NDArray[np.intp], amounts: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    order = np.argsort(pauling_electronegativities()[columns], axis=0, kind="stable")
    return np.take_along_axis(columns, order, axis=0), np.take_along_axis(amounts, order, axis=0)


def _can_be_neutral(
    columns: NDArray[np.intp], amounts: NDArray[np.int64], dtype: DTypeLike, table: _Table
) -> NDArray[np.bool_]:
    """Tell for each of m formulas `[k, m]` whether some choice sums to zero, counting from its most negative sum."""
    least = table.states.min(axis=1)[columns]
    sums = np.ones(columns.shape[1], dtype)
    for column, amount, lowest in zip(columns, amounts, least, strict=True):
        steps = (table.states[column] - lowest[:, None]) * amount[:, None]
        sums = _extended(sums, steps, np.ones_like(steps, np.bool_))
    zero = -(least * amounts).sum(axis=0)
    is_neutral: NDArray[np.bool_] = ((sums >> np.maximum(zero, 0).astype(dtype)) & 1) != 0
    is_neutral &= (zero >= 0) & table.has_any[columns].all(axis=0)
    return is_neutral


def _can_be_balanced(columns: NDArray[np.intp], amounts: NDArray[np.int64], dtype: DTypeLike) -> NDArray[np.bool_]:
    """Tell the same of choices whose cations come before the anions in `[k, m]`, ordered by electronegativity."""
    n, m = columns.shape
    electronegativities = pauling_electronegativities()[columns]
    anions = [np.ones(m, dtype)]
    for column, amount in zip(columns[:0:-1], amounts[:0:-1], strict=True):
        states = _smact().states[column]
        anions.append(_extended(anions[-1], -states * amount[:, None], states <= 0))
    cations = np.ones(m, dtype)
    is_balanced = np.zeros(m, np.bool_)
    for split in range(1, n):
        states = _smact().states[columns[split - 1]]
        cations = _extended(cations, states * amounts[split - 1][:, None], states >= 0)
        is_split = electronegativities[split - 1] < electronegativities[split]
        is_balanced |= is_split & ((cations & anions[n - split]) != 0)
    return is_balanced & ~np.isnan(electronegativities).any(axis=0) & _smact().has_any[columns].all(axis=0)


def _extended(
    sums: NDArray[np.generic], steps: NDArray[np.int64], is_allowed: NDArray[np.bool_]
) -> NDArray[np.generic]:
    """Add one element with its allowed steps `[m, n_states]` to the bit sets of reachable sums `[m]`.

    Bits beyond a 64-bit word are lost; they stand for sums that nothing can balance.
    """
    extended = np.zeros_like(sums)
    shifts = np.where(is_allowed, steps, 0).astype(sums.dtype)
    for shift, is_possible in zip(shifts.T, is_allowed.T, strict=True):
        extended |= np.where(is_possible, sums << shift, 0)
    return extended
