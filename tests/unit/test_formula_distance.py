import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from agd.chem.elements import N_ELEMENTS, modified_pettifor
from agd.chem.formula import parse_formulas
from agd.chem.formula_distance import FormulaDistances
from agd.errors import InputError
from agd.types import Counts

_COMPOSITIONS = st.dictionaries(st.integers(0, N_ELEMENTS - 1), st.integers(1, 12), min_size=1, max_size=6)


def _counts(*formulas: str) -> Counts:
    counts, problems = parse_formulas(formulas)
    assert not problems
    return counts


def test_a_neighbour_on_the_scale_costs_its_share() -> None:
    sr, ca, ba = _counts("SrTiO3", "CaTiO3", "BaTiO3")
    assert FormulaDistances.of(np.stack([ca, ba, sr])).to(sr) == pytest.approx([0.2, 0.2, 0.0])


def test_amounts_alone_do_not_matter_but_shares_do() -> None:
    one, twice, other = _counts("TiO2", "Ti2O4", "Ti2O3")
    near, far = FormulaDistances.of(np.stack([twice, other])).to(one)
    assert near == 0.0
    assert far > 0.0


@given(_COMPOSITIONS, _COMPOSITIONS)
def test_it_is_the_distance_that_transport_has(one: dict[int, int], other: dict[int, int]) -> None:
    counts = np.zeros((2, N_ELEMENTS), np.int32)
    for row, of in zip(counts, (one, other), strict=True):
        for element, amount in of.items():
            row[element] = amount
    places = modified_pettifor()
    expected = wasserstein_distance(
        places[list(one)], places[list(other)], u_weights=list(one.values()), v_weights=list(other.values())
    )
    assert FormulaDistances.of(counts[1:]).to(counts[0])[0] == pytest.approx(expected, abs=1e-9)


def test_a_row_without_atoms_is_named() -> None:
    with pytest.raises(InputError, match="row 1 of the counts is empty"):
        FormulaDistances.of(np.concatenate([_counts("NaCl"), np.zeros((1, N_ELEMENTS), np.int32)]))
