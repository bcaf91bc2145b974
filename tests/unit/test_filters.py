import inspect
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from agd.chem.analogues import Analogues
from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.cli.screen import screen
from agd.filters import PUBLISHED_TRIMS, VALID, Filter, Trims
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
    judged = Trims(*most).judge(counts_of(formulas))
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
        (Filter(is_smact_valid=True), [None, "not valid by SMACT's rule", None, None]),
        (
            Filter(is_charge_neutral=True, trims=Trims(max_elements=2, max_atoms=3, max_count=1)),
            [None, "not charge neutral", "more than 2 elements", "more than 3 atoms"],
        ),
        (
            Filter(trims=Trims(max_atoms=3, max_count=1)),
            [None, "more than 3 atoms", "more than 3 atoms", "more than 3 atoms"],
        ),
        (
            Filter(trims=Trims(max_count=2)),
            [None, "an element more than 2 times", None, "an element more than 2 times"],
        ),
    ],
)
def test_the_first_that_was_not_passed_is_the_reason(rule: Filter, reasons: list[str | None]) -> None:
    judged = rule.judge(counts_of(["NaCl", "Na2Cl3", "SiO2F", "Ni3Al"]))
    assert judged.reasons == reasons
    assert judged.mask.tolist() == [reason is None for reason in reasons]


def test_nothing_is_judged_of_nothing() -> None:
    judged = Filter(trims=PUBLISHED_TRIMS).judge(np.zeros((0, 103), np.int32))
    assert (judged.mask.tolist(), judged.reasons) == ([], [])


def test_a_screening_trims_as_published_unless_told_otherwise() -> None:
    plan = ScreeningPlan("campaign", "pool")
    assert {key: getattr(plan, key) for key in asdict(PUBLISHED_TRIMS)} == asdict(PUBLISHED_TRIMS)
    defaults = inspect.signature(screen).parameters
    assert {key: defaults[key].default for key in asdict(PUBLISHED_TRIMS)} == asdict(PUBLISHED_TRIMS)


@pytest.mark.parametrize(
    ("rule", "let_through"),
    [
        (Filter(elements_allowed=("Na", "Cl", "O")), ["NaCl", "O2"]),
        (Filter(elements_denied=("F", "O")), ["NaCl", "PbS"]),
        (Filter(must_contain=("Na", "Cl")), ["NaCl"]),
        (Filter(has_metal=True), ["NaCl", "SrYF5", "LiNiF6", "PbS"]),
        (Filter(is_neutral_in_common_states=True), ["NaCl", "SrYF5", "O2", "HBO2", "PbS"]),
        (Filter(analogues=Analogues.of(counts_of(["KCl", "SnS"]))), ["NaCl", "PbS"]),
    ],
)
def test_what_a_chemist_says_first(rule: Filter, let_through: list[str]) -> None:
    formulas = ["NaCl", "SrYF5", "O2", "HBO2", "LiNiF6", "SiF3", "PbS"]
    judged = rule.judge(counts_of(formulas))
    found = [formula for formula, is_let in zip(formulas, judged.mask.tolist(), strict=True) if is_let]
    assert found == let_through
    assert [reason is None for reason in judged.reasons] == judged.mask.tolist()
