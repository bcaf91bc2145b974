"""Analogues of known compositions, and the children that a search makes of them."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Element

from agd.chem.analogues import Analogues
from agd.chem.elements import N_ELEMENTS, SYMBOLS, ionic_radii, modified_pettifor
from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.plugins.samplers.children import ANY, COUNT, NEAR, Mutations, draw, operator
from agd.types import Counts

compositions = st.dictionaries(st.sampled_from(SYMBOLS[:12]), st.integers(1, 4), min_size=1, max_size=4)


def counts_of(formulas: list[str]) -> Counts:
    counts, problems = parse_formulas(formulas)
    assert not problems
    return identify(counts).counts


def table(rows: list[dict[str, int]]) -> Counts:
    counts = np.zeros((len(rows), N_ELEMENTS), np.int32)
    for i, row in enumerate(rows):
        for symbol, amount in row.items():
            counts[i, SYMBOLS.index(symbol)] = amount
    return identify(counts).counts


def is_analogue(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether one element in the place of another makes the one of the other."""
    differ = np.flatnonzero(one != other)
    if len(differ) != 2 or np.count_nonzero(one) < 2:
        return not len(differ)
    a, b = differ
    return bool({one[a], one[b]} == {other[a], other[b]} and 0 in {one[a], one[b]} and one[a] == other[b])


@given(st.lists(compositions, min_size=1, max_size=8), st.lists(compositions, min_size=1, max_size=8))
@settings(deadline=None)
def test_analogues_are_one_element_away(known: list[dict[str, int]], asked: list[dict[str, int]]) -> None:
    known_, asked_ = table(known), table(asked)
    expected = [any(is_analogue(row, other) for other in known_) for row in asked_]
    analogues = Analogues.of(known_)
    assert analogues.holds(asked_).tolist() == expected
    assert (analogues.holds(asked_, max_radius_ratio=1.3) <= np.array(expected)).all()


@pytest.mark.parametrize(
    ("known", "asked", "expected"),
    [
        ("LiCaAlF6", "LiCaGaF6", True),
        ("LiCaAlF6", "LiCaBF6", False),  # B3+ is too small for six neighbours
        ("NaCl", "NaF", True),
        ("NaCl", "CsCl", True),  # Na+ 1.16, Cs+ 1.81: one swap too far, but KCl is known, too
        ("MgF2", "BaF2", False),
        ("NaF", "NaH", True),  # no radius of H is listed: nothing is said against it
        ("NaCl", "NaCl", True),
    ],
)
def test_an_analogue_of_a_size_holds_ions_of_similar_radii(known: str, asked: str, *, expected: bool) -> None:
    analogues = Analogues.of(counts_of([known, "KCl"]))
    assert analogues.holds(counts_of([asked]), max_radius_ratio=1.42).tolist() == [expected]


def test_radii_are_those_of_pymatgen() -> None:
    for symbol, radii in zip(SYMBOLS, ionic_radii(), strict=True):
        assert radii == pytest.approx({int(state): float(r) for state, r in Element(symbol).ionic_radii.items()})


def test_what_nobody_knows_has_no_analogues() -> None:
    nothing = np.zeros((0, N_ELEMENTS), np.int32)
    assert Analogues.of(nothing).holds(counts_of(["NaCl", "C"])).tolist() == [False, False]
    assert Analogues.of(counts_of(["NaCl"])).holds(nothing).tolist() == []
    assert Analogues.of(counts_of(["Si"])).holds(counts_of(["C", "Si"])).tolist() == [False, True]


def test_the_scale_is_that_of_its_package() -> None:
    package = find_spec("elementembeddings")  # found and not imported: its modules are slow to load
    assert package is not None
    assert package.submodule_search_locations is not None
    folder = Path(package.submodule_search_locations[0]) / "data" / "element_representations"
    theirs = json.loads((folder / "mod_petti.json").read_text())
    assert modified_pettifor().tolist() == [theirs[symbol] for symbol in SYMBOLS]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (Mutations(7.0, 0.0, 0.0, 0.0), {NEAR}),
        (Mutations(7.0, 1.0, 0.0, 0.5), {ANY}),
        (Mutations(7.0, 0.0, 1.0, 1.0), {COUNT}),
        (Mutations(2.0, 0.3, 0.3, 0.3), {NEAR, ANY, COUNT}),
    ],
)
def test_children_differ_as_they_say(how: Mutations, words: set[str]) -> None:
    parents = np.repeat(counts_of(["NaCl", "SrYF5", "Al2(SO4)3"]), 200, axis=0)
    elements = parents.any(axis=0) | counts_of(["KBrI", "CaMgBa"]).any(axis=0)
    children, made = draw(parents, elements, how, np.random.default_rng(0))
    again, _ = draw(parents, elements, how, np.random.default_rng(0))
    assert np.array_equal(children, again)
    assert set(made) == words
    assert not children[:, ~elements].any()
    assert (children >= 0).all()
    alive = children.any(axis=1)
    assert alive.mean() > 0.1
    for parent, child, word in zip(parents[alive], children[alive], np.array(made)[alive], strict=True):
        differ = np.flatnonzero(parent != child)
        if word == COUNT:
            assert abs(int(child.sum()) - int(parent.sum())) == 1
        else:
            assert sorted(parent[parent > 0]) == sorted(child[child > 0])
        assert operator(parent, child, word).endswith(f"by {word}")
        assert len(differ) > 0 or word != COUNT


def test_operators_name_the_elements() -> None:
    parent, child = counts_of(["RbSr2Cl5", "RbSr2F5"])
    assert operator(parent, child, NEAR) == "Cl -> F by modified-Pettifor swap"
    parent, child = counts_of(["NaAlO2", "KGaO2"])
    assert operator(parent, child, ANY) == "Na, Al -> K, Ga by random swap"
    parent, child = counts_of(["SrF2", "SrF3"])
    assert operator(parent, child, COUNT) == "F: 2 -> 3 by count"
