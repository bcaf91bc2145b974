from collections.abc import Sequence

import numpy as np
import pytest

from agd.chem import orderings
from agd.chem.formula import parse_formula, parse_formulas
from agd.chem.symmetry import type_of
from agd.chem.templates import Library
from agd.plugins.templates.ordering import Ordering, OrderingOptions
from agd.testing.crystals import perovskite, rock_salt
from agd.types import Structure, TemplateProposal


def _rutile(cation: str, anion: str) -> Structure:
    u = 0.305
    frac = [[0, 0, 0], [0.5, 0.5, 0.5], [u, u, 0], [-u, -u, 0], [0.5 + u, 0.5 - u, 0.5], [0.5 - u, 0.5 + u, 0.5]]
    return Structure(np.diag([4.6, 4.6, 2.95]), (cation, cation, anion, anion, anion, anion), np.array(frac))


def _proposed(formula: str, known: Structure, known_formula: str) -> Sequence[TemplateProposal]:
    library = Library(parse_formulas([known_formula])[0], np.full(1, np.nan), [known])
    return Ordering(OrderingOptions()).propose(parse_formula(formula)[0], library, 20)


@pytest.mark.parametrize(
    ("formula", "charges"),
    [
        ("RbSr2ClF4", {"Rb": 1, "Sr": 2, "Cl": -1, "F": -1}),
        ("TaNO", {"Ta": 5, "N": -3, "O": -2}),
        ("SiO2F", {}),
        ("Fe", {}),
    ],
)
def test_charges_are_common_ones_that_make_it_neutral(formula: str, charges: dict[str, int]) -> None:
    assert orderings.likely_charges(parse_formula(formula)[0]) == charges


def test_elements_share_a_site_where_their_charges_are_of_one_sign() -> None:
    found = list(orderings.merged(parse_formula("RbSr2ClF4")[0]))
    assert [(keeper, shares) for _, keeper, shares in found] == [("F", {"F": 4, "Cl": 1}), ("Sr", {"Sr": 2, "Rb": 1})]
    assert all(one.sum() == 8 for one, _, _ in found)


def test_two_cations_of_rock_salt_order_in_its_conventional_cell() -> None:
    (found,) = _proposed("NaKCl2", rock_salt("K", "Cl", 6.3), "KCl")
    assert dict(found.mapping) == {"K": ("Na", "K"), "Cl": ("Cl",)}
    assert sorted(found.structure.species) == sorted(["Na", "Na", "K", "K", *["Cl"] * 4])
    assert type_of(found.structure).space_group == 123
    assert abs(np.linalg.det(found.structure.lattice)) < 6.3**3  # sodium takes less room


def test_orderings_that_symmetry_joins_are_one() -> None:
    assert len(_proposed("LaTiO2N", perovskite("Sr", "Ti", "O", 3.9), "SrTiO3")) == 1
    found = _proposed("TaNO", _rutile("Ti", "O"), "TiO2")
    assert len(found) == 2  # of the six ways to choose two of four
    assert len({type_of(one.structure) for one in found}) == 2


def test_orderings_come_by_their_electrostatic_energy() -> None:
    charges = {"Ta": 5, "N": -3, "O": -2}
    found = orderings.ordered(_rutile("Ta", "O"), "O", {"N": 1, "O": 1}, charges, n=20)
    energies = [orderings._ewald_ev(one, charges) for one in found]
    assert energies == sorted(energies)
    assert energies[-1] - energies[0] > 0.1
    assert len(orderings.ordered(_rutile("Ta", "O"), "O", {"N": 1, "O": 1}, charges, n=2)) == 2


def test_there_may_be_none() -> None:
    assert not _proposed("NaKCl2", perovskite("Sr", "Ti", "O", 3.9), "SrTiO3")
    assert not orderings.ordered(rock_salt("Na", "Cl", 5.6), "Na", {"Na": 6, "K": 1}, {}, n=20)
