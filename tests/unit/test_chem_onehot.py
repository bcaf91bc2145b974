"""The autoencoder's vocabulary."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agd.chem.elements import AUTOENCODER_COLUMNS, AUTOENCODER_ELEMENTS, N_ELEMENTS
from agd.chem.formula import parse_formula, parse_formulas
from agd.chem.onehot import from_one_hot, is_encodable, one_hot, pairs
from agd.errors import InputError


def test_the_published_corpus_sizes(real_data: Path) -> None:
    with (real_data / "paper" / "mpid_formula_sp.csv").open() as file:
        formulas = sorted({row["pretty_formula"] for row in csv.DictReader(file)})
    counts, _ = parse_formulas(formulas)
    is_nan = np.array(formulas) == "NaN"
    assert is_nan.sum() == 1
    for max_count, n_published in ((8, 62_382), (20, 82_906)):
        is_inside = is_encodable(counts, max_count)
        assert is_inside[~is_nan].sum() == n_published
        assert is_inside.sum() == n_published + 1


@settings(deadline=None)
@given(hnp.arrays(np.int32, (3, len(AUTOENCODER_ELEMENTS)), elements=st.integers(0, 8), fill=st.just(0)))
def test_a_round_trip_loses_nothing(inside: np.ndarray) -> None:
    inside[:, 7] = np.maximum(inside[:, 7], 1)
    counts = np.zeros((3, N_ELEMENTS), np.int32)
    counts[:, AUTOENCODER_COLUMNS] = inside
    matrix = one_hot(counts, max_count=8)
    assert matrix.shape == (3, 87, 8)
    assert matrix.dtype == np.uint8
    assert (from_one_hot(matrix) == counts).all()


def test_a_cell_stands_for_element_and_count() -> None:
    matrix = one_hot(parse_formula("SrYF5"))
    expected = [
        (0, AUTOENCODER_ELEMENTS.index(symbol), amount - 1) for symbol, amount in (("F", 5), ("Sr", 1), ("Y", 1))
    ]
    assert [tuple(cell) for cell in np.argwhere(matrix)] == expected
    cells = pairs(parse_formula("SrYF5"))
    assert list(zip(cells.rows, cells.elements, cells.counts - 1, strict=True)) == expected


def test_what_cannot_be_encoded_is_named() -> None:
    counts, _ = parse_formulas(["NaCl", "NaCl21", "ArF", "", "NaCl20"])
    assert is_encodable(counts).tolist() == [True, False, False, False, True]
    assert is_encodable(counts, max_count=8).tolist() == [True, False, False, False, False]
    with pytest.raises(InputError, match=r"row 1 \(Na1 Cl21\) cannot be encoded.* \(3 of 5 rows"):
        one_hot(counts)
    with pytest.raises(InputError, match=r"row 0 \(F1 Ar1\)"):
        pairs(counts[2:3])


def test_two_counts_of_an_element_are_refused() -> None:
    matrix = one_hot(parse_formula("NaCl"))
    matrix[0, AUTOENCODER_ELEMENTS.index("Cl"), 4] = 1
    with pytest.raises(InputError, match=r"row 0 .* more than one count of Cl"):
        from_one_hot(matrix)
    with pytest.raises(InputError, match=r"not \[87, 20\]"):
        from_one_hot(matrix[0])
