"""Crystal graphs and the network on them."""

import numpy as np
import pytest
import torch

from agd.chem.neighbours import nearest
from agd.chem.structures import numbers_of
from agd.nets.gatgnn import Architecture, Crystals, Network, Recipe, element_shares, element_values, fit, predict
from agd.nets.training import Schedule
from agd.types import Structure

FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


def rock_salt(one: str, other: str, a: float) -> Structure:
    return Structure(FCC * a, (one, other), np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]))


def doubled(structure: Structure) -> Structure:
    """The same crystal in a cell twice as long, its sites in another order."""
    frac = np.concatenate([structure.frac * [0.5, 1, 1], structure.frac * [0.5, 1, 1] + [0.5, 0, 0]])
    order = np.arange(len(frac))[::-1]
    species = structure.species * 2
    return Structure(structure.lattice * [[2.0], [1.0], [1.0]], tuple(species[i] for i in order), frac[order])


def crystals(*structures: Structure) -> Crystals:
    return Crystals.of([numbers_of(each) for each in structures], [nearest(each) for each in structures])


def test_rock_salt_has_six_and_six_neighbours() -> None:
    found = nearest(rock_salt("Na", "Cl", 5.64))
    assert found.atoms[0].tolist() == [1] * 6 + [0] * 6
    assert found.distances[0] == pytest.approx([2.82] * 6 + [5.64 / np.sqrt(2)] * 6, abs=1e-3)


def test_a_lonely_atom_is_its_own_neighbour_far_off() -> None:
    found = nearest(Structure(np.eye(3) * 7.5, ("Ar",), np.zeros((1, 3))))
    assert found.distances[0] == pytest.approx([7.5] * 6 + [9.0] * 6)
    assert nearest(Structure(np.eye(3) * 20.0, ("Ar",), np.zeros((1, 3)))).distances[0] == pytest.approx([9.0] * 12)


def test_the_cell_in_which_a_crystal_is_written_does_not_count() -> None:
    one = rock_salt("Na", "Cl", 5.64)
    torch.manual_seed(0)
    network = Network(Architecture(n_node=16, n_heads=2, n_layers=2)).eval()
    values = predict(network, crystals(one, doubled(one), rock_salt("K", "Cl", 6.29)), np.arange(3))
    assert values[0] == pytest.approx(values[1], abs=1e-5)
    assert abs(values[0] - values[2]) > 1e-4


def test_each_crystal_by_itself() -> None:
    torch.manual_seed(0)
    network = Network(Architecture(n_node=16, n_heads=2, n_layers=2)).eval()
    many = crystals(rock_salt("Na", "Cl", 5.64), doubled(rock_salt("K", "F", 5.3)), rock_salt("K", "Cl", 6.29))
    together = predict(network, many, np.arange(3))
    alone = [predict(network, many, np.array([row]))[0] for row in range(3)]
    assert together == pytest.approx(alone, abs=1e-6)


def test_it_learns_and_a_seed_repeats_it() -> None:
    metals, others = ("Li", "Na", "K", "Rb", "Cs"), ("F", "Cl", "Br", "I")
    structures = [rock_salt(m, x, 4.0 + 0.4 * i + 0.5 * j) for i, m in enumerate(metals) for j, x in enumerate(others)]
    graphs, values = crystals(*structures), np.tile([-1.5, -0.5, 0.5, 1.5], 5)
    rows = np.arange(20)

    def trained() -> np.ndarray:
        torch.manual_seed(0)
        network = Network(Architecture(n_node=16, n_heads=2, n_layers=2))
        recipe = Recipe(Schedule(60, 1e-2, 1e-4, 60), batch=10)
        fit(network, graphs, values, training=rows, validation=rows, recipe=recipe, seed=1)
        return predict(network, graphs, rows)

    first = trained()
    assert np.abs(first - values).mean() < 0.3
    assert (trained() == first).all()


def test_what_elements_explain() -> None:
    graphs = crystals(rock_salt("Na", "Cl", 5.64), rock_salt("K", "Cl", 6.29), rock_salt("K", "F", 5.3))
    shares = element_shares(graphs)
    assert shares.sum(1) == pytest.approx(1)
    values = np.array([-2.0, -2.2, -2.9])
    assert shares @ element_values(shares, values) == pytest.approx(values, abs=0.02)
