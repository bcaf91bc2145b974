"""The control that takes random rows of a dataset."""

import numpy as np
import pytest

from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.errors import ExhaustedError, InputError
from agd.plugins.samplers.pool import Pool, PoolOptions
from agd.types import History


def history(*candidates: str, seen: frozenset[str] = frozenset()) -> History:
    counts, _ = parse_formulas(candidates)
    return History(np.zeros((0, 2)), np.zeros(0), np.array([[0.0, 1.0]] * 2), seen=seen, candidates=counts)


def proposed(past: History, n: int) -> list[str]:
    proposals = Pool(PoolOptions()).suggest(past, n, seed=0)
    assert proposals.counts is not None
    assert all(
        np.isnan(measure).all() and measure.shape == (len(proposals.counts),)
        for measure in (proposals.posterior_mean, proposals.posterior_sd, proposals.acquisition)
    )
    return identify(proposals.counts).reduced_formula


def test_the_first_that_are_new_come_once_and_in_their_order() -> None:
    past = history("TiO2", "KF", "Ti2O4", "NaF", "LiF", "BaO", seen=frozenset({"KF"}))
    assert proposed(past, 3) == ["TiO2", "NaF", "LiF"]
    assert proposed(past, 9) == ["TiO2", "NaF", "LiF", "BaO"]


@pytest.mark.parametrize("past", [history(), history("KF", seen=frozenset({"KF"}))], ids=["empty", "all seen"])
def test_a_pool_is_spent_at_last(past: History) -> None:
    with pytest.raises(ExhaustedError, match="is spent"):
        proposed(past, 1)


def test_without_a_pool_there_is_nothing_to_draw() -> None:
    past = History(np.zeros((0, 2)), np.zeros(0), np.array([[0.0, 1.0]] * 2))
    with pytest.raises(InputError, match="needs candidates"):
        proposed(past, 1)
