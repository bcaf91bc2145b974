"""The rule of SMACT's `smact_validity`, by hand and by trying everything."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd.chem import smact_validity
from agd.chem.elements import (
    N_ELEMENTS,
    SYMBOLS,
    smact_electronegativities,
    smact_icsd24_states,
    smact_metals,
)
from agd.chem.formula import parse_formulas
from agd.chem.smact_validity import assess
from agd.types import Counts


def by_trying_everything(row: Counts) -> tuple[bool, bool]:
    """Apply the rule to one composition word by word."""
    columns = np.nonzero(row)[0]
    if len(columns) == 1 or smact_metals()[columns].all():
        return True, True
    electronegativities = smact_electronegativities()[columns]
    is_neutral = is_balanced = False
    for states in itertools.product(*(smact_icsd24_states()[column] for column in columns)):
        if np.dot(states, row[columns]) == 0:
            is_neutral = True
            signs = np.sign(states)
            cations, anions = electronegativities[signs > 0], electronegativities[signs < 0]
            is_balanced |= not np.isnan(electronegativities).any() and bool(cations.max() < anions.min())
    return is_neutral, is_balanced


def verdicts(counts: Counts) -> list[tuple[bool, bool]]:
    found = assess(counts)
    return list(zip(found.is_charge_neutral.tolist(), found.is_electronegativity_balanced.tolist(), strict=True))


def agrees(counts: Counts) -> bool:
    return verdicts(counts) == [by_trying_everything(row) for row in counts]


def judge(formulas: list[str]) -> list[tuple[bool, bool]]:
    counts, problems = parse_formulas(formulas)
    assert problems == []
    return verdicts(counts)


def test_tables_are_those_of_the_rule() -> None:
    states = dict(zip(SYMBOLS, smact_icsd24_states(), strict=True))
    assert states["F"] == (-1,)
    assert states["O"] == (-2, -1, 2)
    assert states["Na"] == (1,)
    assert states["Fe"] == (-4, 1, 2, 3, 4, 5, 6)
    stateless = {symbol for symbol in SYMBOLS if not states[symbol]}
    assert stateless == {"He", "Ne", "Ar", "At", "Rn", "Fr", "Fm", "Md", "No", "Lr"}
    assert not any(0 in listed for listed in states.values())
    electronegativities = dict(zip(SYMBOLS, smact_electronegativities().tolist(), strict=True))
    assert electronegativities["Pb"] == 1.8
    without = {symbol for symbol in SYMBOLS if np.isnan(electronegativities[symbol])}
    assert without == {"He", "Ne", "Ar", "Pm", "Rn", "Lr"}
    metals = {symbol for symbol, is_metal in zip(SYMBOLS, smact_metals(), strict=True) if is_metal}
    assert len(metals) == 79
    assert {"Li", "Ge", "Sb", "Fm"} <= metals
    assert metals.isdisjoint({"H", "B", "Si", "As", "Te", "Pm", "Lr"})


def test_the_rule_says_what_it_was_set_to() -> None:
    assert (smact_validity.RULE, smact_validity.RULE_VERSION) == ("smact-validity-icsd24", 1)
    assert smact_validity.OPTIONS["oxidation_states_set"] == "icsd24"
    assert json.loads(json.dumps(smact_validity.OPTIONS)) == smact_validity.OPTIONS


@pytest.mark.parametrize(
    ("formula", "is_neutral", "is_valid"),
    [
        ("NaCl", True, True),  # +1 -1
        ("SiO2", True, True),  # +4 -2
        ("NaCl2", False, False),  # chlorine has -1 alone below zero
        ("Na2F", False, False),
        ("Na2O2", True, True),  # oxygen -1
        ("Na2Cl2", True, True),  # not reduced
        ("Fe3O4", False, False),  # one state for all of the iron: 8/3
        ("OF2", True, True),  # oxygen +2
        ("O2F2", False, False),  # no oxygen +1
        ("He", True, True),  # an element alone
        ("O3", True, True),
        ("NaK", True, True),  # an alloy
        ("GeSb", True, True),  # metals too
        ("FmMd", True, True),  # an alloy, whatever its states
        ("FmO", False, False),  # without states
        ("CsHeO", False, False),
        ("FePm", False, False),  # promethium is not on the list of metals, and has only +3
        ("PmN", True, False),  # neutral, without an electronegativity
        ("PmO", False, False),
        ("CSe2", True, False),  # equally electronegative, whichever is the cation
        ("PtH2", True, False),  # platinum and hydrogen both 2.2
        ("RhH", True, True),  # rhodium -1 is above hydrogen +1
        ("SeS", True, True),  # selenium +2
        ("ClBr", True, True),  # bromine +1
        ("XeKrF6", True, True),  # +4 +2 -1
        ("KrF4", False, False),  # no krypton +4
        ("Fe5C2", False, False),  # carbon would need -5
    ],
)
def test_known_verdicts(*, formula: str, is_neutral: bool, is_valid: bool) -> None:
    assert judge([formula]) == [(is_neutral, is_valid)]


def test_the_rule_speaks_of_any_number_of_elements() -> None:
    counts, _ = parse_formulas(["HLiBeBCNOF", "HLiBeBCNOFNa", "HLiBeBCNOFNaMgAlSi"])
    assert verdicts(counts) == [(True, True)] * 3
    assert assess(counts).is_applicable.all()
    assert not assess(np.zeros((1, N_ELEMENTS), np.int32)).is_applicable.any()
    assert verdicts(np.zeros((1, N_ELEMENTS), np.int32)) == [(False, False)]
    assert verdicts(np.zeros((0, N_ELEMENTS), np.int32)) == []


def test_a_multiple_of_a_formula_is_judged_like_it() -> None:
    formulas = ["NaCl", "CSe2", "Fe3O4", "HLiBeBCNOF", "PmN", "NaK", "CNSiPSClGe"]
    counts, _ = parse_formulas(formulas)
    assert verdicts(counts * 1000) == verdicts(counts)
    assert len(set(verdicts(counts))) == 3


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 60), min_size=1, max_size=4), min_size=1, max_size=8
    )
)
def test_any_formula_is_judged_as_by_trying_everything(table: list[dict[str, int]]) -> None:
    counts = np.zeros((len(table), N_ELEMENTS), np.int32)
    for row, amounts in zip(counts, table, strict=True):
        for symbol, amount in amounts.items():
            row[SYMBOLS.index(symbol)] = amount
    assert agrees(counts)


def test_wide_sums_are_judged_as_by_trying_everything() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros((400, N_ELEMENTS), np.int32)
    for row in counts:
        row[[SYMBOLS.index("N"), *rng.choice(N_ELEMENTS, 2, replace=False)]] = rng.integers(30, 200, 3)
    assert agrees(counts)


def test_real_formulas_are_judged_as_by_trying_everything(real_data: Path) -> None:
    with (real_data / "paper" / "Exp1_42k.csv").open() as file:
        counts, _ = parse_formulas([row["composition"] for row in csv.DictReader(file)])
    picked = np.random.default_rng(0).permutation(np.nonzero(np.count_nonzero(counts, axis=1) <= 4)[0])[:1500]
    assert agrees(counts[picked])
    assert assess(counts).is_electronegativity_balanced.mean() == pytest.approx(0.93668, abs=1e-5)
