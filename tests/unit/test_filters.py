import inspect
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.hhi import HHIModel
from pymatgen.core import Composition

from agd import key_values
from agd.chem.analogues import Analogues
from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.cli.screen import screen
from agd.errors import InputError
from agd.filters import N_SAMPLED, PUBLISHED_TRIMS, VALID, Filter, FilterOptions, Refused, Rule, Sieve
from agd.steps.screening.screening import ScreeningPlan
from agd.types import Counts

FORMULAS = ["NaCl", "O2", "Na2Cl3", "SrYF5", "Al2(SO4)3", "NaClO12", "KNaLiRbCsF5", "SiO2F", "H", "Fe3O4"]


def counts_of(formulas: list[str]) -> Counts:
    counts, problems = parse_formulas(formulas)
    assert not problems
    return identify(counts).counts


@given(
    st.lists(st.sampled_from(FORMULAS), min_size=1, max_size=12),
    st.tuples(*[st.none() | st.integers(1, n) for n in (6, 20, 12)]),
)
def test_trims_are_those_of_the_reduced_formula(
    formulas: list[str], most: tuple[int | None, int | None, int | None]
) -> None:
    trims = FilterOptions(**dict(zip(("max_elements", "max_atoms", "max_count"), most, strict=True)))
    judged = Filter(trims).judge(counts_of(formulas))
    for formula, is_let_through, reason in zip(formulas, judged.mask.tolist(), judged.reasons, strict=True):
        reduced = Composition(Composition(formula).reduced_formula)
        sizes = (len(reduced), reduced.num_atoms, max(reduced.values()))
        too_large = [size for size, limit in zip(sizes, most, strict=True) if limit is not None and size > limit]
        assert is_let_through is (not too_large)
        assert (reason is None) is is_let_through


@pytest.mark.parametrize(
    ("rule", "reasons"),
    [
        (Filter(), [None, None, None, None]),
        (VALID, [None, "not charge neutral", None, None]),
        (Filter(FilterOptions(is_smact_valid=True)), [None, "not valid by SMACT's rule", None, None]),
        (
            Filter(FilterOptions(is_charge_neutral=True, max_elements=2, max_atoms=3, max_count=1)),
            [None, "not charge neutral", "more than 2 elements", "more than 3 atoms"],
        ),
        (
            Filter(FilterOptions(max_atoms=3, max_count=1)),
            [None, "more than 3 atoms", "more than 3 atoms", "more than 3 atoms"],
        ),
        (
            Filter(FilterOptions(max_count=2)),
            [None, "an element more than 2 times", None, "an element more than 2 times"],
        ),
    ],
)
def test_the_first_that_was_not_passed_is_the_reason(rule: Filter, reasons: list[str | None]) -> None:
    judged = rule.judge(counts_of(["NaCl", "Na2Cl3", "SiO2F", "Ni3Al"]))
    assert judged.reasons == reasons
    assert judged.mask.tolist() == [reason is None for reason in reasons]


_ASKING: dict[str, Any] = {
    **dict.fromkeys(FilterOptions.model_fields, True),
    "elements_allowed": ("Na", "Cl"),
    "elements_denied": ("F",),
    "must_contain": ("Na",),
    "max_hhi": 2500,
    "max_radius_ratio": 1.42,
    **PUBLISHED_TRIMS.given(),
}


def test_nothing_is_judged_of_nothing() -> None:
    rule = Filter(FilterOptions(**_ASKING), Analogues.of(counts_of(["NaCl"])))
    judged = rule.judge(np.zeros((0, 103), np.int32))
    assert (judged.mask.tolist(), judged.reasons) == ([], [])
    assert len(judged.asked) == len(FilterOptions.model_fields)


def test_a_screening_trims_as_published_unless_told_otherwise() -> None:
    plan = ScreeningPlan("campaign", "pool")
    assert {key: getattr(plan, key) for key in PUBLISHED_TRIMS.given()} == PUBLISHED_TRIMS.given()
    defaults = inspect.signature(screen).parameters
    assert {key: defaults[key].default for key in PUBLISHED_TRIMS.given()} == PUBLISHED_TRIMS.given()


@pytest.mark.parametrize(
    ("rule", "let_through"),
    [
        (Filter(FilterOptions(elements_allowed=("Na", "Cl", "O"))), ["NaCl", "O2"]),
        (Filter(FilterOptions(elements_denied=("F", "O"))), ["NaCl", "PbS"]),
        (Filter(FilterOptions(must_contain=("Na", "Cl"))), ["NaCl"]),
        (Filter(FilterOptions(has_metal=True)), ["NaCl", "SrYF5", "LiNiF6", "PbS"]),
        (Filter(FilterOptions(is_neutral_in_common_states=True)), ["NaCl", "SrYF5", "O2", "HBO2", "PbS"]),
        (Filter(FilterOptions(has_even_electrons=True)), ["NaCl", "SrYF5", "O2", "HBO2", "PbS"]),
        (Filter(FilterOptions(max_hhi=2000)), ["NaCl", "O2", "LiNiF6"]),
        (Filter(FilterOptions(is_known_or_analogue=True), Analogues.of(counts_of(["KCl", "SnS"]))), ["NaCl", "PbS"]),
        (Filter(FilterOptions(max_radius_ratio=1.42), Analogues.of(counts_of(["KCl", "SiS"]))), ["NaCl"]),
    ],
)
def test_what_a_chemist_says_first(rule: Filter, let_through: list[str]) -> None:
    formulas = ["NaCl", "SrYF5", "O2", "HBO2", "LiNiF6", "SiF3", "PbS"]
    judged = rule.judge(counts_of(formulas))
    found = [formula for formula, is_let in zip(formulas, judged.mask.tolist(), strict=True) if is_let]
    assert found == let_through
    assert [reason is None for reason in judged.reasons] == judged.mask.tolist()


def test_each_option_of_the_filter_has_one_rule_and_asks_nothing_by_default() -> None:
    for name, field in FilterOptions.model_fields.items():
        assert [type(one) for one in field.metadata].count(Rule) == 1, name
    assert (list(FilterOptions().rules()), FilterOptions().given()) == ([], {})


def test_the_production_of_elements_is_weighed_as_pymatgen_does() -> None:
    for formula in ("SrYF5", "NaCl", "GaAs", "NdFe14B"):
        index = HHIModel().get_hhi_production(formula)
        for factor, is_let in ((0.999, False), (1.001, True)):
            assert Filter(FilterOptions(max_hhi=factor * index)).judge(counts_of([formula])).mask.tolist() == [is_let]


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["max_elements=4", "has_metal=true"], {"max_elements": 4, "has_metal": True}),
        (["elements_denied=F,Cl"], {"elements_denied": ["F", "Cl"]}),
        (['must_contain=["O"]', "max_hhi=2500"], {"must_contain": ["O"], "max_hhi": 2500.0}),
    ],
)
def test_a_filter_is_said_in_words(words: list[str], given: dict[str, object]) -> None:
    assert key_values.parse(FilterOptions, words, flag="--filter", owner="the filter").given() == given


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["max_element=4"], "--filter max_element=4: the filter has no option 'max_element': did you mean"),
        (["max_elements"], "--filter max_elements: write key=value, for instance --filter elements_allowed=1"),
        (["max_elements=0"], "--filter max_elements: input should be greater than 0, not 0"),
        (["has_metal=yes"], "--filter has_metal: input should be a valid boolean, not 'yes'"),
        (["elements_denied=Xx"], "--filter elements_denied: 'Xx' is no element from H to Lr"),
        (["has_metal=true", "has_metal=true"], "--filter has_metal=true: option 'has_metal' is given twice"),
        (["must_contain=F", "elements_denied=F"], "--filter: must_contain asks for F, which the filter refuses"),
    ],
)
def test_a_wrong_word_is_named(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        key_values.parse(FilterOptions, words, flag="--filter", owner="the filter")


def test_a_sample_of_the_refused_is_the_same_in_whatever_order_they_come() -> None:
    formulas = [f"{metal}{n}{anion}" for metal in ("Na", "K", "Ca") for n in range(1, 12) for anion in ("Cl", "O", "F")]
    counts = counts_of(formulas)
    whole, parts = Refused(), Refused()
    whole.add("why", counts)
    for part in np.array_split(np.random.default_rng(3).permutation(len(counts)), 9):
        parts.add("why", counts[part])
        parts.add("why", counts[part[:2]])
    assert sorted(whole.rows()) == sorted(parts.rows())
    assert len(whole.rows()) == N_SAMPLED < len(counts)
    assert {formula for _, formula in whole.rows()} <= set(identify(counts).reduced_formula)
    assert Refused().rows() == []


def test_a_sieve_counts_and_keeps_what_each_rule_refuses_first() -> None:
    sieve = Sieve(Filter(FilterOptions(must_contain=("Na",), is_charge_neutral=True)))
    assert sieve(counts_of(["NaCl", "KCl", "KF"])).tolist() == [True, False, False]
    assert sieve(counts_of(["Na2Cl3", "K2Cl3"])).tolist() == [False, False]
    assert sieve.stages() == [("without: holds no Na", 2), ("without: not charge neutral", 1)]
    refused = [
        ("holds no Na", "K2Cl3"),
        ("holds no Na", "KCl"),
        ("holds no Na", "KF"),
        ("not charge neutral", "Na2Cl3"),
    ]
    assert sorted(sieve.refused.rows()) == refused
