"""VASP's files: what goes in by the paper's settings, what comes out, and what is said where potentials are missing."""

import gzip
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from agd.errors import InputError
from agd.plugins.dft_engines import vasp_files
from agd.plugins.dft_engines.vasp import Vasp, VaspOptions
from agd.plugins.dft_engines.vasp_files import Harvest
from agd.recipes import Launch
from agd.testing.crystals import rock_salt

SALT = rock_salt("Na", "Cl", 5.64)
STAND_IN = Path(__file__).parents[1] / "fixtures" / "vasp" / "vasp_stand_in.py"


@pytest.fixture(autouse=True)
def no_potentials(monkeypatch: pytest.MonkeyPatch) -> None:
    from pymatgen.core import SETTINGS

    monkeypatch.delenv("PMG_VASP_PSP_DIR", raising=False)
    monkeypatch.delitem(SETTINGS, "PMG_VASP_PSP_DIR", raising=False)


def test_inputs_have_the_settings_of_the_paper(tmp_path: Path) -> None:
    from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar

    engine = Vasp(VaspOptions(incar={"ALGO": "Fast"}))
    engine.write(SALT, engine.recipe("relax"), tmp_path)
    incar = Incar.from_file(tmp_path / "INCAR")
    expected = {"ENCUT": 400, "EDIFF": 1e-5, "EDIFFG": -0.01, "ISIF": 3, "ISPIN": 1, "NSW": 60, "ALGO": "Fast"}
    assert {name: incar[name] for name in expected} == expected
    assert not {"LDAU", "LASPH", "MAGMOM", "KSPACING"} & incar.keys()
    kpoints = Kpoints.from_file(tmp_path / "KPOINTS")
    assert (str(kpoints.style), kpoints.kpts[0]) == ("Gamma", (4, 4, 4))
    sites = Poscar.from_file(tmp_path / "POSCAR").structure
    assert np.allclose(sites.lattice.matrix, SALT.lattice, atol=1e-12)
    assert (tmp_path / "POTCAR.spec").read_text().split() == ["Na_pv", "Cl"]
    assert not (tmp_path / "POTCAR").exists()


def test_open_shells_are_polarised(tmp_path: Path) -> None:
    engine = Vasp(VaspOptions())
    engine.write(rock_salt("Fe", "O", 4.3), engine.recipe("static"), tmp_path)
    assert "MAGMOM = 1*5.0 1*0.6" in (tmp_path / "INCAR").read_text()
    assert "ISPIN = 2" in (tmp_path / "INCAR").read_text()


def test_a_missing_potential_is_named_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Vasp(VaspOptions())
    assert engine.refusal(SALT, engine.recipe("static")) is None
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path / "potentials"))
    refusal = engine.refusal(SALT, engine.recipe("static"))
    assert refusal == f"VASP's potentials Na_pv, Cl (PBE_54) are not in PMG_VASP_PSP_DIR {tmp_path / 'potentials'}"
    with pytest.raises(InputError, match="Na_pv, Cl"):
        engine.write(SALT, engine.recipe("static"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    engine = Vasp(VaspOptions())
    engine.write(SALT, engine.recipe("static"), tmp_path)
    with subprocess.Popen(
        engine.command(Launch(2, "no-such-vasp -n {cores}")), cwd=tmp_path, stdin=subprocess.PIPE
    ) as process:
        assert process.wait(60) == 1
    found = engine.read(tmp_path)
    assert (found.state, found.failure) == ("failed", "program")
    assert str(found.reason).startswith("there is no program no-such-vasp: say in AGD_VASP_COMMAND how")
    assert "PMG_VASP_PSP_DIR" in str(found.reason)
    assert engine.mend(tmp_path, 1) is None


@pytest.mark.skipif(find_spec("ase") is None, reason="ASE, which brings an output of VASP, is not installed")
def test_an_output_of_vasp_itself_is_read(tmp_path: Path) -> None:
    import ase

    data = Path(ase.__file__).parent / "test" / "testdata" / "vasp"
    for packed in (False, True):
        raw = (data / "vasprun_pstress.xml").read_bytes()
        (tmp_path / vasp_files.OUTPUT).write_bytes(gzip.decompress(gzip.compress(raw)) if packed else raw)
    harvest = Harvest.of(tmp_path)
    assert harvest.version.startswith("vasp 6.")
    assert harvest.is_electronic
    step = harvest.steps[-1]
    assert step.forces_ev_per_angstrom.shape == (len(step.structure.species), 3)
    assert step.stress_gpa is not None
    whole = (tmp_path / vasp_files.OUTPUT).read_text()
    (tmp_path / vasp_files.OUTPUT).write_text(whole[: len(whole) // 10])
    assert not Harvest.of(tmp_path).steps


@pytest.mark.slow
@pytest.mark.skipif(find_spec("custodian") is None, reason="custodian is not installed: it comes with the extra vasp")
def test_what_custodian_mends_is_told(tmp_path: Path) -> None:
    from agd.testing.crystals import caesium_chloride

    engine = Vasp(VaspOptions())
    engine.write(caesium_chloride("Cu", "Au", 3.2), engine.recipe("static"), tmp_path)
    command = engine.command(Launch(command=f"{sys.executable} {STAND_IN} emt unsteady"))
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE) as process:
        assert process.wait(120) == 0
    found = engine.read(tmp_path)
    assert (found.state, found.corrections) == ("done", ["UnconvergedErrorHandler: Unconverged"])
