"""The rule of `smact.screening.smact_validity` (10.21105/joss.01361) with its defaults, for whole tables.

The rule, called `smact-validity-icsd24`: an element alone is valid, and so is an alloy, a formula of metals only.
Any other formula is valid if some choice of one oxidation state per element sums to zero over its atoms and gives every
cation a strictly lower Pauling electronegativity than every anion. States, electronegativities and metals are those of
SMACT, not those of `agd.chem.validity`. A formula need not be reduced and may have any number of elements. One with an
element without states is invalid, unless it is an alloy; one with an element without an electronegativity may be
neutral but is not valid.

As there, choices are not enumerated: the sums that the elements can reach are the bits of one integer per formula.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from agd.chem.arity import by_arity
from agd.chem.elements import smact_electronegativities, smact_icsd24_states, smact_metals
from agd.chem.validity import Verdicts
from agd.types import Counts

RULE: Final = "smact-validity-icsd24"
RULE_VERSION: Final = 1
OPTIONS: Final[dict[str, str | int | bool]] = {
    "smact_version": "4.0.2",
    "oxidation_states_set": "icsd24",
    "consensus": 3,
    "commonality": "low",
    "include_zero": False,
    "use_pauling_test": True,
    "include_alloys": True,
    "check_metallicity": False,
    "mixed_valence": False,
}
"""The settings of `smact_validity` whose answers these are: its defaults."""

_WORD: Final = 64


def assess(counts: Counts) -> Verdicts:
    """Judge compositions `[n, 103]`, each row independent of the others; the rule speaks of all that have atoms.

    `is_electronegativity_balanced` is the answer of `smact_validity`, `is_charge_neutral` its answer without the
    Pauling test; elements and alloys are both.
    """
    n_elements = np.count_nonzero(counts, axis=1)
    is_neutral = n_elements == 1
    is_balanced = n_elements == 1
    for group in by_arity(counts):
        is_alloy = smact_metals()[group.columns].all(axis=0)
        is_neutral[group.rows[is_alloy]] = True
        is_balanced[group.rows[is_alloy]] = True
        is_open = ~is_alloy & _has_states()[group.columns].all(axis=0) & (len(group.columns) > 1)
        columns, amounts = group.columns[:, is_open], group.amounts[:, is_open]
        amounts = amounts // np.gcd.reduce(amounts, axis=0)
        is_narrow = (-_lowest_states()[columns] * amounts).sum(axis=0) < _WORD
        for members, dtype in ((is_narrow, np.uint64), (~is_narrow, object)):
            rows = group.rows[is_open][members]
            is_balanced[rows] = _can_be_balanced(columns[:, members], amounts[:, members], dtype)
            is_left = members.copy()
            is_left[members] = ~is_balanced[rows]
            is_neutral[rows] = True
            is_neutral[group.rows[is_open][is_left]] = _can_be_neutral(columns[:, is_left], amounts[:, is_left], dtype)
    return Verdicts(n_elements > 0, is_neutral, is_balanced)


@cache
def _states(*signs: int) -> NDArray[np.int64]:
    """Return `[n_states, 103]`: each element's states of the given signs, then zeros, which are no states."""
    listed = [[state for state in states if np.sign(state) in signs] for states in smact_icsd24_states()]
    width = max(map(len, listed))
    return np.array([states + [0] * (width - len(states)) for states in listed]).T.copy()


@cache
def _lowest_states() -> NDArray[np.int64]:
    """Return `[103]`: each element's lowest state, zero where none is negative."""
    lowest: NDArray[np.int64] = _states(-1).min(axis=0)
    return lowest


@cache
def _has_states() -> NDArray[np.bool_]:
    return np.array([bool(states) for states in smact_icsd24_states()])


def _can_be_balanced(columns: NDArray[np.intp], amounts: NDArray[np.int64], dtype: DTypeLike) -> NDArray[np.bool_]:
    """Tell for each of m formulas `[k, m]` whether some choice of cations below anions sums to zero.

    From the least to the most electronegative element, each is one more cation, or the first anion if it is above the
    cations, or one more anion. Bits beyond a 64-bit word are lost; they stand for sums that no anions can balance.
    """
    order = np.argsort(smact_electronegativities()[columns], axis=0, kind="stable")
    columns, amounts = np.take_along_axis(columns, order, axis=0), np.take_along_axis(amounts, order, axis=0)
    electronegativities = smact_electronegativities()[columns]
    cations = np.ones(columns.shape[1], dtype)
    mixed = np.zeros_like(cations)
    for i, (column, amount) in enumerate(zip(columns, amounts, strict=True)):
        if i:
            is_above = electronegativities[i - 1] < electronegativities[i]
            states = _states(-1)[:, column]
            mixed = _reached(np.right_shift, mixed | np.where(is_above, cations, 0), states, -states * amount)
        states = _states(1)[:, column]
        cations = _reached(np.left_shift, cations, states, states * amount)
    is_balanced: NDArray[np.bool_] = (mixed & 1) != 0
    return is_balanced & ~np.isnan(electronegativities).any(axis=0)


def _can_be_neutral(columns: NDArray[np.intp], amounts: NDArray[np.int64], dtype: DTypeLike) -> NDArray[np.bool_]:
    """Tell the same of any choice, counting from the most negative sum."""
    sums = np.ones(columns.shape[1], dtype)
    zero = np.zeros(columns.shape[1], np.int64)
    for column, amount in zip(columns, amounts, strict=True):
        states = _states(-1, 1)[:, column]
        lowest = _lowest_states()[column]
        sums = _reached(np.left_shift, sums, states, (states - lowest) * amount)
        zero -= lowest * amount
    is_neutral: NDArray[np.bool_] = ((sums >> zero.astype(dtype)) & 1) != 0
    return is_neutral


def _reached(
    shift: np.ufunc, sums: NDArray[np.generic], states: NDArray[np.int64], steps: NDArray[np.int64]
) -> NDArray[np.generic]:
    """Add one element with its states and steps `[n_states, m]` to the bit sets of reachable sums `[m]`."""
    reached = np.zeros_like(sums)
    for is_state, step in zip(states != 0, steps, strict=True):
        reached |= np.where(is_state, shift(sums, np.where(is_state, step, 0).astype(sums.dtype)), 0)
    return reached
