import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agd.target import Bounds, Target, on_front

ONE_OR_TWO = st.tuples(st.none() | st.floats(-9, 9), st.none() | st.floats(-9, 9)).filter(
    lambda pair: pair != (None, None) and (None in pair or pair[0] <= pair[1])
)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("band_gap > 6 eV", math.nextafter(6.0, 7.0), None),
        ("band_gap >= 6.5 eV", 6.5, None),
        ("band_gap<1eV", None, math.nextafter(1.0, 0.0)),
        ("2 eV <= band_gap <= 4 eV", 2.0, 4.0),
        ("0 eV < band_gap <= 4 eV", math.nextafter(0.0, 1.0), 4.0),
        ("formation_energy <= -1.5 eV/atom", None, -1.5),
    ],
)
def test_targets(text: str, low: float | None, high: float | None) -> None:
    target = Target.parse(text)
    assert (target.low, target.high) == (low, high)
    assert str(target) == text
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize("text", ["4 eV < band_gap < 2 eV", "2 eV < band_gap < 4 meV", "band_gap > eV", ""])
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(ValueError, match="is no target"):
        Target.parse(text)


@pytest.mark.parametrize(
    ("low", "high", "held", "objective", "depth"),
    [
        (2.0, None, [False, True, True], [1.0, 3.0, 6.0], [1.0, 3.0, 6.0]),
        (None, 4.0, [True, True, False], [-1.0, -3.0, -6.0], [-1.0, -3.0, -6.0]),
        (2.0, 4.0, [False, True, False], [-1.0, 0.0, -2.0], [-1.0, 1.0, -2.0]),
    ],
)
def test_what_bounds_say_of_values(
    low: float | None, high: float | None, held: list[bool], objective: list[float], depth: list[float]
) -> None:
    bounds, values = Bounds(low=low, high=high), np.array([1.0, 3.0, 6.0])
    assert bounds.holds(values).tolist() == held
    assert bounds.objective(values).tolist() == objective
    assert bounds.depth(values).tolist() == depth
    assert bounds.holds(np.array([np.nan, 3.0, 3.0]), np.array([0.0, 1.0, 1.5])).tolist() == [False, True, False]


@given(ONE_OR_TWO, st.lists(st.floats(-10, 10), min_size=2))
def test_what_lies_within_is_never_ordered_behind_what_does_not(
    pair: tuple[float | None, float | None], listed: list[float]
) -> None:
    bounds, values = Bounds(low=pair[0], high=pair[1]), np.array(listed)
    is_in, objective = bounds.holds(values), bounds.objective(values)
    assert not is_in.any() or is_in.all() or objective[is_in].min() > objective[~is_in].max()
    assert None in pair or ((bounds.depth(values) >= 0) == is_in).all()


def test_the_front_is_what_nothing_beats() -> None:
    objectives = np.array([[1.0, 5.0], [3.0, 3.0], [2.0, 4.0], [2.0, 3.0], [3.0, 3.0], [0.0, 5.0]])
    assert on_front(objectives).tolist() == [True, True, True, False, True, False]
    assert on_front(objectives[:, :1]).tolist() == [False, True, False, False, True, False]
    assert on_front(np.zeros((0, 2))).tolist() == []
