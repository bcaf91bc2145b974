"""Elastic constants from stresses, and sites that come to rest."""

import numpy as np
import pytest

from agd.chem.elasticity import CORNER, fitted, strained, strains_of
from agd.chem.settling import settled
from agd.errors import InputError, StepError
from agd.recipes import IonicStep
from agd.testing.crystals import caesium_chloride
from agd.types import Floats, Structure

TRICLINIC = Structure(
    np.array([[4.0, 0.0, 0.0], [0.3, 4.5, 0.0], [0.5, 0.7, 5.0]]), ("Na", "Cl"), np.array([[0, 0, 0], [0.4, 0.3, 0.6]])
)
CUBIC = caesium_chloride("Cs", "Cl", 4.1)


def symmetric(seed: int) -> Floats:
    drawn = np.random.default_rng(seed).normal(scale=5.0, size=(6, 6))
    return drawn + drawn.T + 60.0 * np.eye(6)


def test_all_21_constants_come_back_with_what_was_left_in_the_cell() -> None:
    stiffness, left = symmetric(0), np.array([1.0, -2.0, 0.5, 0.1, 0.2, 0.3])
    strains = strains_of([-0.01, 0.005])
    found = fitted(TRICLINIC, strains, strains @ stiffness + left)
    np.testing.assert_allclose(found.stiffness_gpa, stiffness, atol=1e-8)
    assert found.compliance_per_gpa is not None
    np.testing.assert_allclose(found.compliance_per_gpa @ stiffness, np.eye(6), atol=1e-9)
    assert found.residual_gpa < 1e-10
    assert found.is_born_stable
    assert len(found.stiffness_gpa[CORNER]) == 21


def test_symmetry_leaves_three_of_a_cubic_crystal() -> None:
    strains = strains_of([-0.01, 0.01])
    found = fitted(CUBIC, strains, strains @ symmetric(1)).stiffness_gpa
    kept = [(found[0, 0], found[1, 1]), (found[0, 1], found[1, 2]), (found[3, 3], found[5, 5])]
    assert all(one == pytest.approx(other) for one, other in kept)
    assert found[0, 3:] == pytest.approx(np.zeros(3), abs=1e-9)


def test_a_crystal_that_gives_way_is_not_stable() -> None:
    strains = strains_of([-0.01, 0.01])
    found = fitted(TRICLINIC, strains, strains @ np.diag([50.0, 50.0, 50.0, 10.0, 10.0, -1.0]))
    assert (found.is_born_stable, found.min_eigenvalue_gpa) == (False, pytest.approx(-1.0))
    flat = fitted(TRICLINIC, strains, strains @ np.diag([50.0, 50.0, 50.0, 10.0, 10.0, 0.0]))
    assert flat.compliance_per_gpa is None


def test_strains_that_tell_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="nor beyond"):
        strains_of([0.01, 0.2])
    with pytest.raises(InputError, match="none of them 0"):
        strains_of([])
    one_way = strains_of([0.01])
    with pytest.raises(InputError, match="both ways"):
        fitted(TRICLINIC, one_way, np.zeros((6, 6)))


def test_a_shear_strain_is_twice_its_component() -> None:
    cell = strained(CUBIC, np.array([0.01, 0.0, 0.0, 0.0, 0.0, 0.02]))
    np.testing.assert_allclose(cell.lattice, 4.1 * np.array([[1.01, 0.01, 0], [0.01, 1, 0], [0, 0, 1]]))
    assert (cell.frac == CUBIC.frac).all()


def test_sites_come_to_rest_or_it_is_said() -> None:
    rest = TRICLINIC.frac @ TRICLINIC.lattice + np.array([[0.0, 0.0, 0.0], [0.3, -0.2, 0.1]])
    springs = np.array([[5.0, 1.0, 0.0], [1.0, 30.0, 2.0], [0.0, 2.0, 90.0]])

    def evaluate(cell: Structure) -> IonicStep:
        apart = cell.frac @ cell.lattice - rest
        return IonicStep(cell, 0.0, -apart @ springs, np.zeros(6))

    found = settled(evaluate, TRICLINIC, 1e-6, 50)
    np.testing.assert_allclose(found.structure.frac @ TRICLINIC.lattice, rest, atol=1e-6)
    assert (found.structure.lattice == TRICLINIC.lattice).all()
    with pytest.raises(StepError, match="no rest within 1 steps"):
        settled(evaluate, TRICLINIC, 1e-6, 1)
