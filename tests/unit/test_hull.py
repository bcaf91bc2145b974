"""Formation energies and the hull: by hand, at its edges, and for a thousand known compounds."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from agd.chem.hull import Hull, Phase, formation_energy_ev_per_atom
from agd.errors import InputError, NotFoundError


def _phase(formula: str, energy: float, method: str = "PBE", scheme: str = "mp2018") -> Phase:
    return Phase(formula, energy, method, scheme)


SYSTEM = [_phase("SrF2", -4.0), _phase("YF3", -4.2), _phase("SrF2", -3.9), _phase("Sr", 0.02)]


def test_a_ternary_stands_above_its_binaries_by_what_it_lacks() -> None:
    hull = Hull.of_formation_energies(SYSTEM)
    found = hull.distance(_phase("SrYF5", -4.0))
    assert found.hull_ev_per_atom == pytest.approx((3 * -4.0 + 4 * -4.2) / 7)
    assert found.e_above_hull_ev_per_atom == pytest.approx(4 * 0.2 / 7)
    assert [one.phase for one in found.products] == [SYSTEM[1], SYSTEM[0]]
    assert [one.atomic_fraction for one in found.products] == pytest.approx([4 / 7, 3 / 7])


def test_what_lies_below_the_hull_of_the_others_is_negative() -> None:
    hull = Hull.of_formation_energies(SYSTEM)
    assert hull.distance(_phase("SrYF5", -4.3)).e_above_hull_ev_per_atom < -0.1
    assert hull.distance(_phase("Sr", 0.02)).e_above_hull_ev_per_atom == pytest.approx(0.02)
    assert hull.distance(_phase("YF3", -4.2)).e_above_hull_ev_per_atom == 0.0


def test_total_energies_are_taken_from_the_lowest_phase_of_each_element() -> None:
    phases = [_phase("Na", -1.3), _phase("Na2", -1.2), _phase("Cl2", -1.8), _phase("NaCl", -3.4)]
    hull = Hull.of_energies(phases)
    found = hull.distance(_phase("NaCl", -3.35))
    assert found.e_form_ev_per_atom == pytest.approx(-3.35 + (1.3 + 1.8) / 2)
    assert found.e_above_hull_ev_per_atom == pytest.approx(0.05)
    assert formation_energy_ev_per_atom("Na3Cl", -2.0, hull.references) == pytest.approx(-2.0 + 0.75 * 1.3 + 0.25 * 1.8)


def test_an_element_without_an_energy_is_named() -> None:
    hull = Hull.of_energies([_phase("Na", -1.3), _phase("NaCl", -3.4)])
    with pytest.raises(NotFoundError, match="NaCl: no energy of Cl by this method"):
        hull.distance(_phase("NaCl", -3.4))


def test_energies_of_different_methods_never_stand_on_one_hull() -> None:
    with pytest.raises(InputError, match=r"one method, not of PBE \(SrF2\), sevennet \(YF3\): name the one"):
        Hull.of_formation_energies([_phase("SrF2", -4.0), _phase("YF3", -4.2, "sevennet")])
    with pytest.raises(InputError, match=r"one correction scheme, not of mp2018 \(SrF2\), mp2020 \(YF3\)"):
        Hull.of_formation_energies([_phase("SrF2", -4.0), _phase("YF3", -4.2, scheme="mp2020")])
    hull = Hull.of_formation_energies(SYSTEM)
    with pytest.raises(InputError, match=r"one method, not of PBE \(the phases\), chgnet \(SrYF5\)"):
        hull.distance(_phase("SrYF5", -4.0, "chgnet"))
    with pytest.raises(InputError, match="no phases"):
        Hull.of_energies([])


def test_sodium_nitride_is_a_formula() -> None:
    phases = [_phase("NaN", 0.3), _phase("Na3N", 0.1), _phase("Cl", 0.0)]
    hull = Hull.of_formation_energies(phases)
    assert [phase.formula for phase in hull.within(["N", "Na"])] == ["NaN", "Na3N"]
    assert hull.distance(_phase("NaN", 0.3)).hull_ev_per_atom == 0.0


@pytest.mark.slow
def test_a_thousand_known_compounds_stand_where_the_index_has_them(real_data: Path) -> None:
    with gzip.open(real_data / "hull" / "matbench_mp_e_form.csv.gz", "rt") as file:
        hull = Hull.of_formation_energies(_phase(row["formula"], float(row["target"])) for row in csv.DictReader(file))
    with gzip.open(real_data / "structures" / "mp_index.csv.gz", "rt") as file:
        labelled = [row for row in csv.DictReader(file) if row["e_hull_eV_atom"]]
    drawn = np.random.default_rng(20261201).choice(len(labelled), 1000, replace=False)
    differences = []
    for row in (labelled[i] for i in drawn.tolist()):
        found = hull.distance(_phase(row["formula"], float(row["e_form_eV_atom"])))
        differences.append(abs(found.e_above_hull_ev_per_atom - float(row["e_hull_eV_atom"])))
    assert np.mean(np.array(differences) <= 0.010) >= 0.95
    assert float(np.median(differences)) <= 0.001
