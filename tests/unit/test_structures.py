"""One cell for each crystal, by its numbers."""

import numpy as np
import pytest

from agd.chem.structures import canonical, counts_of, lattice_from_parameters, volume_a3
from agd.errors import InputError
from agd.types import Structure

ROCK_SALT = Structure(
    np.array([[0.0, 2.82, 2.82], [2.82, 0.0, 2.82], [2.82, 2.82, 0.0]]),
    ("Na", "Cl"),
    np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]),
)
RUTILE = Structure(
    np.diag([4.594, 4.594, 2.959]),
    ("Ti", "Ti", "O", "O", "O", "O"),
    np.array(
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0], [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]]
    ),
)


def conventional(lattice: float) -> Structure:
    """Rock salt in its cubic cell."""
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    return Structure(np.eye(3) * lattice, ("Cl",) * 4 + ("Na",) * 4, np.concatenate([corners + 0.5, corners]))


def test_the_cell_is_primitive_and_sorted() -> None:
    found = canonical(conventional(5.64))
    assert found.space_group == 225
    assert found.structure.species == ("Na", "Cl")
    assert volume_a3(found.structure) == pytest.approx(5.64**3 / 4, rel=1e-3)
    assert found.cell_sha256 == canonical(ROCK_SALT).cell_sha256


@pytest.mark.parametrize("structure", [ROCK_SALT, RUTILE])
def test_axes_order_and_supercell_do_not_count(structure: Structure) -> None:
    hashes = {canonical(structure).cell_sha256}
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    hashes.add(canonical(Structure(structure.lattice @ turn, structure.species, structure.frac)).cell_sha256)
    order = np.arange(len(structure.species))[::-1]
    species = tuple(structure.species[i] for i in order)
    hashes.add(canonical(Structure(structure.lattice, species, structure.frac[order])).cell_sha256)
    doubled = np.concatenate([structure.frac * [0.5, 1, 1], structure.frac * [0.5, 1, 1] + [0.5, 0, 0]])
    larger = Structure(structure.lattice * [[2.0], [1.0], [1.0]], structure.species * 2, doubled)
    hashes.add(canonical(larger).cell_sha256)
    assert len(hashes) == 1


def test_another_lattice_is_another_cell() -> None:
    assert canonical(conventional(5.64)).cell_sha256 != canonical(conventional(5.65)).cell_sha256


def test_what_is_no_crystal_is_refused() -> None:
    flat = np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 0]])
    for structure, words in (
        (Structure(flat, ("Na",), np.zeros((1, 3))), "in one plane"),
        (Structure(np.eye(3) * 4, (), np.zeros((0, 3))), "without atoms"),
        (Structure(np.eye(3) * 4, ("Xx",), np.zeros((1, 3))), "'Xx' is no element"),
        (Structure(np.eye(3) * 4, ("Na",), np.full((1, 3), np.nan)), "not a finite number"),
    ):
        with pytest.raises(InputError, match=words):
            canonical(structure)


def test_lattice_from_parameters() -> None:
    lattice = lattice_from_parameters([3.0, 4.0, 5.0], [80.0, 95.0, 100.0])
    assert np.linalg.norm(lattice, axis=1) == pytest.approx([3, 4, 5])
    angle = np.degrees(np.arccos(lattice[0] @ lattice[1] / 12))
    assert angle == pytest.approx(100)
    with pytest.raises(InputError, match="no cell has"):
        lattice_from_parameters([3.0, 4.0, 5.0], [10.0, 95.0, 170.0])


def test_counts() -> None:
    assert counts_of([ROCK_SALT]).sum() == 2
