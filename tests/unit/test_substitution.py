"""The control that replaces one element."""

import numpy as np
import pytest

from agd.chem.elements import SYMBOLS
from agd.chem.identity import identify
from agd.errors import InputError
from agd.plugins.samplers.substitution import Substitution, SubstitutionOptions
from agd.types import Counts, History

INITIAL = ({"Na": 1, "Cl": 1}, {"K": 2, "O": 1}, {"Sr": 1, "Ti": 1, "O": 3})


def counts_of(formulas: tuple[dict[str, int], ...]) -> Counts:
    counts = np.zeros((len(formulas), 103), dtype=np.int32)
    for row, formula in enumerate(formulas):
        for symbol, amount in formula.items():
            counts[row, SYMBOLS.index(symbol)] = amount
    return counts


def history(*, seen: frozenset[str] = frozenset(), later: tuple[dict[str, int], ...] = ()) -> History:
    counts = counts_of(INITIAL + later)
    n = len(counts)
    return History(
        np.zeros((n, 2)),
        np.zeros(n),
        np.array([[0.0, 1.0]] * 2),
        seen=seen,
        counts=counts,
        n_initial=len(INITIAL),
        undecodable_objective=0.0,
    )


def proposed(past: History, n: int, seed: int = 0) -> Counts:
    counts = Substitution(SubstitutionOptions()).suggest(past, n, seed=seed).counts
    assert counts is not None
    return counts


def test_each_differs_from_an_initial_row_in_one_element_of_the_initial_rows() -> None:
    initial = counts_of(INITIAL)
    for row in proposed(history(later=({"Fe": 1, "S": 2},)), 20):
        assert not row[~initial.any(axis=0)].any()
        n_changed = ((initial - row) != 0).sum(axis=1)
        parents = initial[n_changed == 2]
        assert any(sorted(parent[parent > 0]) == sorted(row[row > 0]) for parent in parents)


def test_all_there_are_come_and_no_more() -> None:
    """Two elements of four others twice, three of three others; NaCl and KCl as formulas of either order are one."""
    counts = proposed(history(), 100)
    formulas = identify(counts).reduced_formula
    assert len(set(formulas)) == len(formulas)
    expected = set()
    initial = counts_of(INITIAL)
    elements = np.flatnonzero(initial.any(axis=0))
    for row in initial:
        for old in np.flatnonzero(row):
            for new in elements[row[elements] == 0]:
                changed = row.copy()
                changed[new], changed[old] = row[old], 0
                expected.add(identify(changed[None]).reduced_formula[0])
    assert set(formulas) == expected


def test_what_is_seen_stays_away_until_all_is_spent() -> None:
    every = frozenset(identify(proposed(history(), 100)).reduced_formula)
    spared = frozenset(sorted(every)[:3])
    left = identify(proposed(history(seen=every - spared), 10)).reduced_formula
    assert set(left) == spared
    with pytest.raises(InputError, match="all single substitutions of the initial rows are spent"):
        proposed(history(seen=every), 1)
