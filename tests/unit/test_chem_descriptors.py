"""Magpie descriptors."""

import csv
from pathlib import Path

import numpy as np
import pytest

from agd.chem.descriptors import MAGPIE_FEATURES, magpie
from agd.chem.elements import MAGPIE_PROPERTIES, N_ELEMENTS, SYMBOLS, magpie_properties
from agd.chem.formula import parse_formula, parse_formulas
from agd.errors import InputError


def feature(formula: str, name: str) -> float:
    return float(magpie(parse_formula(formula))[0, MAGPIE_FEATURES.index(f"MagpieData {name}")])


def test_features_are_named_as_in_matminer() -> None:
    assert len(MAGPIE_FEATURES) == len(set(MAGPIE_FEATURES)) == 132
    assert MAGPIE_FEATURES[:7] == (
        "MagpieData minimum Number",
        "MagpieData maximum Number",
        "MagpieData range Number",
        "MagpieData mean Number",
        "MagpieData avg_dev Number",
        "MagpieData mode Number",
        "MagpieData minimum MendeleevNumber",
    )
    assert MAGPIE_FEATURES[-1] == "MagpieData mode SpaceGroupNumber"


@pytest.mark.parametrize(
    ("formula", "name", "value"),
    [
        ("NaCl", "mean Number", 14.0),
        ("NaCl", "avg_dev Number", 3.0),
        ("NaCl", "mode Number", 11.0),
        ("NaCl", "range Electronegativity", 2.23),
        ("NaCl", "mean NpValence", 2.5),
        ("NaCl", "minimum MeltingT", 171.6),
        ("SrTiO3", "mean Number", (38 + 22 + 3 * 8) / 5),
        ("SrTiO3", "avg_dev Number", (21.2 + 5.2 + 3 * 8.8) / 5),
        ("SrTiO3", "mode Number", 8.0),
        ("SrTiO3", "maximum AtomicWeight", 87.62),
        ("SrTiO3", "mean NUnfilled", (0 + 8 + 3 * 2) / 5),
        ("Fe2O3", "mean NdValence", 2.4),
        ("Si", "range GSbandgap", 0.0),
        ("Si", "mean SpaceGroupNumber", 227.0),
    ],
)
def test_hand_computed_values(formula: str, name: str, value: float) -> None:
    assert feature(formula, name) == pytest.approx(value, rel=1e-12)


def test_statistics_against_a_plain_computation() -> None:
    counts, _ = parse_formulas(["SrTiO3", "Al2(SO4)3", "SrYF5", "CsSnI3", "H2O"])
    table = magpie_properties()
    for row, features in zip(counts, magpie(counts), strict=True):
        present = np.nonzero(row)[0]
        weights = row[present] / row.sum()
        for position in range(len(MAGPIE_PROPERTIES)):
            values = table[present, position]
            mean = np.average(values, weights=weights)
            deviation = np.average(abs(values - mean), weights=weights)
            mode = values[row[present] == row.max()].min()
            expected = [values.min(), values.max(), np.ptp(values), mean, deviation, mode]
            np.testing.assert_allclose(features[6 * position : 6 * position + 6], expected, rtol=1e-12, atol=1e-12)


def test_a_missing_value_is_the_mean_of_the_known_ones() -> None:
    lacking = [SYMBOLS[z] for z in np.nonzero(np.isnan(magpie_properties()).any(axis=1))[0]]
    assert lacking == ["He", "Ne", "Ar", "At", "Rn", "Fr", "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr"]
    assert feature("He", "mean MeltingT") == pytest.approx(1296.471485148515, rel=1e-12)
    assert feature("Ar", "mode Electronegativity") == pytest.approx(1.7151020408163267, rel=1e-12)
    assert np.isfinite(magpie(np.eye(N_ELEMENTS, dtype=np.int32))).all()


def test_each_row_stands_alone(real_data: Path) -> None:
    with (real_data / "paper" / "Exp1_42k.csv").open() as file:
        formulas = [row["composition"] for row in csv.DictReader(file)]
    counts, _ = parse_formulas(formulas)
    features = magpie(counts)
    assert np.isfinite(features).all()
    picked = np.random.default_rng(0).permutation(len(counts))[:300]
    assert (magpie(counts[picked]) == features[picked]).all()
    assert (magpie(3 * counts[picked]) == features[picked]).all()
    assert magpie(counts[picked], np.float32).dtype == np.float32


def test_a_row_without_atoms_has_no_descriptors() -> None:
    with pytest.raises(InputError, match="row 0 of the counts has no atoms"):
        magpie(np.zeros((2, N_ELEMENTS), np.int32))
    assert magpie(np.zeros((0, N_ELEMENTS), np.int32)).shape == (0, 132)
