"""What engines settle before anything runs, and what they read of what ran."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from agd import key_values
from agd.errors import InputError
from agd.plugins.dft_engines import folders, settings
from agd.plugins.dft_engines.bands import TooFewBandsError, band_edges
from agd.plugins.dft_engines.gpaw import Gpaw, GpawOptions
from agd.plugins.dft_engines.settings import DftOptions
from agd.recipes import IonicStep, Launch, Recipe
from agd.testing.crystals import caesium_chloride, rock_salt
from agd.types import Structure

SALT = rock_salt("Na", "Cl", 5.64)


def test_the_hash_of_a_recipe_minds_its_values_and_not_their_order() -> None:
    one = Recipe("gpaw", "gpaw-pbe", "static", {"a": 1, "b": [1, 2]})
    assert one.sha256 == Recipe("gpaw", "gpaw-pbe", "static", {"b": [1, 2], "a": 1}).sha256
    others = [Recipe("vasp", "gpaw-pbe", "static", one.inputs), Recipe("gpaw", "x", "static", one.inputs)]
    others += [Recipe("gpaw", "gpaw-pbe", "gap", one.inputs), Recipe("gpaw", "gpaw-pbe", "static", {"a": 1})]
    assert len({one.sha256, *(other.sha256 for other in others)}) == 5
    assert one.sha256 == "aa3478e0bd4c03a83dce99c7f9eaf582f27e65a1e41ad11dfe7ae11910002155"


def test_hard_elements_take_the_larger_cutoff() -> None:
    options = DftOptions()
    assert settings.cutoff_ev(SALT, options) == 400.0
    assert settings.cutoff_ev(rock_salt("Mg", "O", 4.21), options) == 600.0
    assert settings.cutoff_ev(rock_salt("Mg", "O", 4.21), DftOptions(hard_cutoff_ev=400.0)) == 400.0


@pytest.mark.parametrize(
    ("structure", "options", "expected"),
    [
        (SALT, {}, (4, 4, 4)),
        (SALT, {"mesh": (3, 3, 1)}, (3, 3, 1)),
        (caesium_chloride("Cs", "Cl", 4.1), {}, (4, 4, 4)),
        (Structure(np.diag([4.0, 6.0, 12.0]), ("Na",), np.zeros((1, 3))), {}, (4, 2, 1)),
    ],
)
def test_meshes_are_even_or_one(structure: Structure, options: dict[str, object], expected: tuple[int, ...]) -> None:
    assert settings.mesh(structure, DftOptions.model_validate(options)) == expected


def test_open_shells_are_polarised() -> None:
    options = DftOptions()
    assert settings.moments(SALT, options) is None
    assert settings.moments(rock_salt("Fe", "O", 4.3), options) == [5.0, 0.6]
    assert settings.moments(rock_salt("N", "O", 4.3), options) == [0.6, 0.6]  # 15 electrons
    assert settings.moments(rock_salt("Fe", "O", 4.3), DftOptions(spin="never")) is None
    assert settings.moments(SALT, DftOptions(spin="always")) == [0.6, 0.6]


def test_edges_of_bands() -> None:
    points = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]])
    eigenvalues = np.array([[[-5.0, 0.0, 4.0], [-5.0, -1.0, 2.0]]])
    edges = band_edges(eigenvalues, eigenvalues <= 0.5, points)
    assert (edges.gap_ev, edges.direct_gap_ev, edges.is_direct) == (2.0, 3.0, False)
    assert (edges.valence_at, edges.conduction_at) == ((0.0, 0.0, 0.0), (0.5, 0.0, 0.0))
    direct = np.array([[[-5.0, 0.0, 2.0], [-5.0, 0.0, 4.0]]])
    assert band_edges(direct, direct <= 0.5, points).is_direct
    metal = np.array([[[-5.0, 0.0, 4.0], [-5.0, 1.0, 2.0]]])
    assert band_edges(metal, metal <= 0.5, points).gap_ev == 0.0
    spins = np.array([[[-5.0, 0.0], [-5.0, -0.5]], [[-3.0, 3.0], [-3.0, 2.5]]])  # one closes what the other leaves open
    occupied = np.array([[[True, False]] * 2] * 2)
    assert band_edges(spins, occupied, points).gap_ev == pytest.approx(2.5)
    with pytest.raises(TooFewBandsError):
        band_edges(direct, direct <= 9.0, points)


def test_steps_survive_a_line_that_was_cut_off(tmp_path: Path) -> None:
    def step(energy: float) -> IonicStep:
        return IonicStep(SALT, energy, np.zeros((2, 3)), np.zeros(6))

    folders.append_step(tmp_path, 0, step(-1.0))
    folders.append_step(tmp_path, 1, step(-2.0))
    path = tmp_path / folders.STEPS
    path.write_bytes(path.read_bytes()[:-40])
    assert [one.energy_ev_per_atom for one in folders.read_steps(tmp_path)] == [-1.0]
    folders.append_step(tmp_path, 1, step(-2.5))
    folders.append_step(tmp_path, 2, step(-3.0))
    assert [one.energy_ev_per_atom for one in folders.read_steps(tmp_path)] == [-1.0, -2.5, -3.0]


def test_relaxing_by_gpaw_takes_the_cutoff_that_stress_needs() -> None:
    engine = Gpaw(GpawOptions())
    assert engine.plan(SALT, engine.recipe("relax"))["cutoff_ev"] == 700.0
    assert engine.plan(SALT, engine.recipe("gap"))["cutoff_ev"] == 400.0
    assert engine.size(SALT, engine.recipe("gap")) == (2, 8)
    assert engine.command(Launch(2, "mpiexec -n {cores} python"))[:4] == ["mpiexec", "-n", "2", "python"]


def test_failures_of_gpaw_are_mended_in_steps(tmp_path: Path) -> None:
    engine = Gpaw(GpawOptions())
    folders.write_input(tmp_path, SALT, engine.recipe("static"), engine.plan(SALT, engine.recipe("static")))
    words = []
    for attempt in range(1, 6):
        folders.write_result(tmp_path, state="failed", failure="electronic", reason="no", code_version="gpaw 0")
        words.append(engine.mend(tmp_path, attempt))
    assert words == ["a careful mixer", "smearing of 0.2 eV", "half as many bands again", None, None]
    plan = json.loads((tmp_path / folders.INPUT).read_text())["plan"]
    assert (plan["n_cycles"], plan["smearing_ev"], plan["bands"]) == (400, 0.2, "300%")
    found = engine.read(tmp_path)
    assert (found.state, found.failure, found.reason) == ("failed", "electronic", "no")
    assert list(found.corrections) == words[:3]


def test_a_mesh_is_three_numbers_between_commas() -> None:
    given = key_values.parse(DftOptions, ["mesh=4,4,2"], flag="-o", owner="gpaw")
    assert given.mesh == (4, 4, 2)
    assert key_values.parse(DftOptions, ["mesh=null"], flag="-o", owner="gpaw").mesh is None
    with pytest.raises(InputError, match="-o mesh"):
        key_values.parse(DftOptions, ["mesh=4"], flag="-o", owner="gpaw")


_WITHIN = """
import sys, time
from pathlib import Path
from agd.plugins.dft_engines import leash
leash._PATIENCE_S = float(sys.argv[1])
with leash.alone_in(Path.cwd()):
    print("alone", flush=True)
    time.sleep(30)
"""


def test_two_never_work_in_one_folder(tmp_path: Path) -> None:
    def begin(patience_s: float) -> "subprocess.Popen[str]":
        words = [sys.executable, "-c", _WITHIN, str(patience_s)]
        return subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    with begin(1.0) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "alone\n"
        with begin(0.2) as second:
            said = second.communicate(timeout=30)[1]
            assert second.returncode == 75
            assert "another program is at work" in said
        first.kill()
    with begin(1.0) as third:
        assert third.stdout is not None
        assert third.stdout.readline() == "alone\n"
        third.kill()
