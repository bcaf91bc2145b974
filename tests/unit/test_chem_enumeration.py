"""Plausible compositions from common oxidation states."""

import numpy as np
import pytest

from agd.chem.elements import SYMBOLS, common_states
from agd.chem.enumeration import charge_balanced
from agd.chem.formula import identify
from agd.chem.onehot import is_encodable
from agd.chem.validity import assess
from agd.errors import InputError


def test_formulas_are_distinct_reduced_and_balanced() -> None:
    counts = charge_balanced(20_000, seed=1)
    names = identify(counts)
    assert (names.counts == counts).all()
    assert len(set(names.reduced_formula)) == 20_000
    assert set(names.n_elements.tolist()) == {2, 3, 4}
    assert is_encodable(counts, max_count=12).all()
    verdicts = assess(counts)
    assert verdicts.is_charge_neutral.all()
    assert verdicts.is_electronegativity_balanced.all()
    assert set(np.nonzero(counts.any(axis=0))[0]) >= {SYMBOLS.index(symbol) for symbol in ("Li", "Sr", "Y", "O", "F")}


def test_binaries_are_neutral_in_common_states() -> None:
    for row in charge_balanced(600, seed=2, max_elements=2):
        one, other = np.nonzero(row)[0]
        assert any(
            row[one] * first + row[other] * second == 0
            for first in common_states()[one]
            for second in common_states()[other]
        )


def test_a_seed_names_its_formulas() -> None:
    assert (charge_balanced(500, seed=3) == charge_balanced(500, seed=3)).all()
    assert (charge_balanced(500, seed=3) != charge_balanced(500, seed=4)).any()


def test_limits_are_kept_and_named() -> None:
    counts = charge_balanced(2000, seed=5, max_elements=3, max_count=4)
    assert counts.max() == 4
    assert np.count_nonzero(counts, axis=1).max() == 3
    with pytest.raises(
        InputError, match=r"found \d+ of 100000 formulas .* raise max_elements \(2\) or max_count \(4\)"
    ):
        charge_balanced(100_000, seed=0, max_elements=2, max_count=4)
    with pytest.raises(InputError, match="max_elements must be 2 to 6"):
        charge_balanced(1, seed=0, max_elements=1)
    assert charge_balanced(0, seed=0).shape == (0, 103)
