import math

import pytest

from agd.target import Target


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
