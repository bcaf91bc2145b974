"""Formulas that were probably meant as something else."""

import csv
import gzip
from pathlib import Path

import pytest

from agd.chem.doubts import doubts, is_doubtful
from agd.chem.formula import parse_formulas


@pytest.mark.parametrize(
    "word", ["UNKNOWN", "UNCO", "BINS", "PHYSICS", " BONUS ", "UNKNOWN12", "No", "OK", "MnIVO2", "CrVIO3"]
)
def test_a_word_is_doubtful(word: str) -> None:
    assert parse_formulas([word])[1] == []
    assert is_doubtful(word)


@pytest.mark.parametrize(
    "slip",
    [
        "Al203",
        "Fe304",
        "MgAl204",
        "Y3Al5012",
        "H20",
        "Li20",
        "CuSO45H2O",
        "Na2CO310H2O",
        "(CuSO4)5H2O",
        "TiO2(B)",
        "NaCl (B)",
    ],
)
def test_a_slip_is_doubtful(slip: str) -> None:
    assert parse_formulas([slip])[1] == []
    assert is_doubtful(slip)


@pytest.mark.parametrize(
    "formula", ["Al2O3", "H2O", "C60", "K49Tl108", "Ca(OH)2", "C10H20", "Mg17Al12", "Fe(CO)5", "CH3OH"]
)
def test_an_amount_is_not(formula: str) -> None:
    assert not is_doubtful(formula)


@pytest.mark.parametrize(
    "formula", ["NaN", "CO", "NO", "HF", "InSb", "CoNi", "SiC", "KCNO", "HCOOH", "KVOF4", "VInPt", "AlVIr", "CsVI3"]
)
def test_a_compound_is_not(formula: str) -> None:
    assert not is_doubtful(formula)


@pytest.mark.parametrize(
    "table", ["paper/mpid_formula_sp.csv", "pool/oqmd_formulas.csv.gz", "structures/mp_index.csv.gz"]
)
def test_no_real_formula_is_doubtful(real_data: Path, table: str) -> None:
    path = real_data / table
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        found = [row.get("formula") or row["pretty_formula"] for row in csv.DictReader(file)]
    assert [formula for formula in found if is_doubtful(formula)] == []


def said(*formulas: str) -> list[str]:
    return doubts("notes", formulas, range(2, 2 + len(formulas)), parse_formulas(formulas)[1])


def test_what_is_said_of_a_column() -> None:
    assert said("NaCl", "KCl", "Li0.5O") == []
    assert said("NaCl", "UNKNOWN", "KCl") == [
        "1 formula reads like a word, an oxidation state or a slip: check line 3 'UNKNOWN'"
    ]
    assert said("NaCl", "UNKNOWN", "good one", "BINS", "?") == [
        "2 formulas read like a word, an oxidation state or a slip: check line 3 'UNKNOWN', line 5 'BINS'",
        "4 of 5 rows of column 'notes' do not look like formulas: is it the right one? (--formula-column)",
    ]
    assert said("NIO", "NACL", "CUO") == [
        "no formula of column 'notes' has a small letter: line 2 'NIO' is read letter by letter; copper is Cu"
    ]
