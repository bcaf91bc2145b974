"""Charge neutrality and electronegativity balance."""

import csv
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agd.chem.elements import N_ELEMENTS, SYMBOLS, common_states, pauling_electronegativities, smact_states
from agd.chem.formula import identify, parse_formulas
from agd.chem.validity import Verdicts, assess, can_be_neutral


def by_trying_everything(amounts: dict[str, int]) -> tuple[bool, bool]:
    """Apply the rule to a reduced formula word by word."""
    if len(amounts) == 1:
        return True, True
    columns = [SYMBOLS.index(symbol) for symbol in amounts]
    electronegativities = pauling_electronegativities()[columns]
    is_neutral = is_balanced = False
    for states in itertools.product(*(smact_states()[column] for column in columns)):
        if sum(state * amount for state, amount in zip(states, amounts.values(), strict=True)) == 0:
            is_neutral = True
            charged = list(zip(states, electronegativities, strict=True))
            highest_cation = max(value for state, value in charged if state > 0)
            lowest_anion = min(value for state, value in charged if state < 0)
            is_balanced |= not np.isnan(electronegativities).any() and bool(highest_cation < lowest_anion)
    return is_neutral, is_balanced


def agrees(counts: np.ndarray) -> bool:
    verdicts = assess(counts)
    expected = [
        by_trying_everything({SYMBOLS[column]: int(row[column]) for column in np.nonzero(row)[0]}) for row in counts
    ]
    found = zip(verdicts.is_charge_neutral.tolist(), verdicts.is_electronegativity_balanced.tolist(), strict=True)
    return list(found) == expected


def judge(formulas: list[str]) -> Verdicts:
    counts, problems = parse_formulas(formulas)
    assert problems == []
    return assess(counts)


def column(path: Path, name: str) -> list[str]:
    with path.open() as file:
        return [row[name] for row in csv.DictReader(file)]


def test_states_are_those_of_the_published_rule() -> None:
    listed = dict(zip(SYMBOLS, smact_states(), strict=True))
    assert listed["F"] == (-1,)
    assert listed["O"] == (-2, -1, 1, 2)
    assert listed["Cl"] == (-1, 1, 2, 3, 4, 5, 6, 7)
    assert listed["C"] == listed["Si"] == (-4, -3, -2, -1, 1, 2, 3, 4)
    assert listed["H"] == listed["Rb"] == (-1, 1)
    assert listed["Sr"] == (1, 2)
    assert listed["He"] == ()


@pytest.mark.parametrize(
    ("formula", "is_neutral", "is_balanced"),
    [
        ("NaCl", True, True),
        ("SiO2F", True, True),
        ("NaCl2", False, False),
        ("LiNa", True, False),
        ("Na2O2", True, True),
        ("Na2Cl2", False, False),
        ("NaF2", False, False),
        ("HeF", False, False),
        ("O2", True, True),
        ("O3", True, True),
        ("OF2", True, True),
        ("CsHeO", False, False),
    ],
)
def test_known_verdicts(*, formula: str, is_neutral: bool, is_balanced: bool) -> None:
    verdicts = judge([formula])
    assert verdicts.is_charge_neutral.tolist() == [is_neutral]
    assert verdicts.is_electronegativity_balanced.tolist() == [is_balanced]


def test_the_rule_is_silent_beyond_eight_elements() -> None:
    verdicts = judge(["HLiBeBCNOF", "HLiBeBCNOFNa"])
    assert verdicts.is_applicable.tolist() == [True, False]
    assert not verdicts.is_charge_neutral[1]
    assert not assess(np.zeros((1, N_ELEMENTS), np.int32)).is_applicable.any()
    assert assess(np.zeros((0, N_ELEMENTS), np.int32)).is_applicable.shape == (0,)


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
            row[SYMBOLS.index(symbol)] = amount // math.gcd(*amounts.values())
    assert agrees(identify(counts).counts)


def test_wide_sums_are_judged_as_by_trying_everything() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros((400, N_ELEMENTS), np.int32)
    for row in counts:
        row[[SYMBOLS.index("O"), *rng.choice(N_ELEMENTS, 2, replace=False)]] = rng.integers(30, 200, 3)
    assert agrees(identify(counts).counts)


def test_real_formulas_are_judged_as_by_trying_everything(real_data: Path) -> None:
    counts, _ = parse_formulas(column(real_data / "paper" / "Exp1_42k.csv", "composition"))
    counts = identify(counts).counts
    picked = np.random.default_rng(0).permutation(np.nonzero(np.count_nonzero(counts, axis=1) <= 5)[0])[:2000]
    assert agrees(counts[picked])


def test_published_candidates_pass(real_data: Path) -> None:
    folder = real_data / "paper"
    sizes = []
    for file in [*folder.glob("roost_simple_candidate_*.csv"), folder / "inverse_design_candidates.csv"]:
        verdicts = judge(column(file, "composition"))
        assert verdicts.is_charge_neutral.all()
        assert verdicts.is_electronegativity_balanced.all()
        sizes.append(len(verdicts.is_applicable))
    assert sorted(sizes) == [33, 74, 81, 102, 123, 171]


def test_published_shares(real_data: Path) -> None:
    exp1 = real_data / "paper" / "Exp1_42k.csv"
    verdicts = judge(column(exp1, "composition"))
    is_wide_gap = np.array(column(exp1, "Eg"), np.float64) > 6
    assert verdicts.is_applicable.all()
    assert verdicts.is_charge_neutral[is_wide_gap].mean() == pytest.approx(0.987, abs=5e-4)
    assert verdicts.is_electronegativity_balanced[is_wide_gap].mean() == pytest.approx(0.976, abs=5e-4)
    assert verdicts.is_charge_neutral.mean() == pytest.approx(0.928, abs=0.01)
    assert verdicts.is_electronegativity_balanced.mean() == pytest.approx(0.904, abs=0.01)

    sample = (real_data / "paper" / "matgan_icsd_sample_data.csv").read_text().split()
    assert len(sample) == 1775
    verdicts = assess(identify(parse_formulas(sample)[0]).counts)
    assert verdicts.is_charge_neutral.mean() == pytest.approx(0.830, abs=5e-4)
    assert verdicts.is_electronegativity_balanced.mean() == pytest.approx(0.727, abs=5e-4)


@given(st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 40), min_size=1, max_size=4))
@settings(deadline=None)
def test_neutral_in_common_states_is_what_trying_all_of_them_says(amounts: dict[str, int]) -> None:
    counts = np.zeros((1, N_ELEMENTS), np.int32)
    for symbol, amount in amounts.items():
        counts[0, SYMBOLS.index(symbol)] = amount
    choices = itertools.product(*(common_states()[SYMBOLS.index(symbol)] for symbol in amounts))
    sums = [sum(state * amount for state, amount in zip(one, amounts.values(), strict=True)) for one in choices]
    assert can_be_neutral(counts, common_states()).tolist() == [len(amounts) == 1 or 0 in sums]
