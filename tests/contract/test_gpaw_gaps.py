"""Gaps by GPAW through its engine: known values, one of them far off where empty bands are not minded."""

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agd.plugins.dft_engines.gpaw import Gpaw, GpawOptions
from agd.plugins.dft_engines.vasp import Vasp, VaspOptions
from agd.recipes import Calculated, Launch
from agd.testing.crystals import rock_salt
from agd.types import Structure

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("gpaw") is None, reason="GPAW is not installed: `make gpaw`"),
]

STAND_IN = Path(__file__).parents[1] / "fixtures" / "vasp" / "vasp_stand_in.py"


@pytest.fixture
def compute(tmp_path: Path) -> Callable[..., Calculated]:
    def compute(structure: Structure, kind: str, **options: Any) -> Calculated:
        engine = Gpaw(GpawOptions(**options))
        engine.write(structure, engine.recipe(kind), tmp_path)
        with subprocess.Popen(engine.command(Launch()), cwd=tmp_path, stdin=subprocess.PIPE) as process:
            process.wait(280)
        return engine.read(tmp_path)

    return compute


@pytest.mark.parametrize(
    ("cation", "anion", "a_angstrom", "gap_ev"),
    [("Na", "Cl", 5.64, 5.12), ("Li", "F", 4.03, 9.07), ("Mg", "O", 4.21, 4.59), ("Ca", "S", 5.7048, 2.39)],
)
def test_gaps_at_400_ev(
    cation: str, anion: str, a_angstrom: float, gap_ev: float, compute: Callable[..., Calculated]
) -> None:
    found = compute(rock_salt(cation, anion, a_angstrom), "static", mesh=(4, 4, 4), hard_cutoff_ev=400.0)
    assert found.state == "done", found.reason
    assert found.bands is not None
    assert found.bands.gap_ev == pytest.approx(gap_ev, abs=0.03)
    assert found.bands.valence_at == (0.0, 0.0, 0.0)
    assert found.bands.is_direct == (cation != "Ca")


@pytest.mark.skipif(find_spec("custodian") is None, reason="custodian is not installed: it comes with the extra vasp")
@pytest.mark.parametrize(
    ("cation", "anion", "a_angstrom", "gap_ev"),
    [("Na", "Cl", 5.64, 5.12), ("Li", "F", 4.03, 9.07), ("Mg", "O", 4.21, 4.59), ("Ca", "S", 5.7048, 2.39)],
)
def test_the_same_gaps_through_the_files_of_vasp(
    cation: str, anion: str, a_angstrom: float, gap_ev: float, tmp_path: Path
) -> None:
    engine = Vasp(VaspOptions(mesh=(4, 4, 4)))
    engine.write(rock_salt(cation, anion, a_angstrom), engine.recipe("static"), tmp_path)
    command = engine.command(Launch(command=f"{sys.executable} {STAND_IN} gpaw"))
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE) as process:
        process.wait(280)
    found = engine.read(tmp_path)
    assert found.state == "done", found.reason
    assert found.bands is not None
    assert found.bands.gap_ev == pytest.approx(gap_ev, abs=0.03)
    assert found.code_version == "vasp 6.3.0"


def test_what_cannot_converge_is_mended_in_steps_and_given_up(tmp_path: Path) -> None:
    engine = Gpaw(GpawOptions(mesh=(1, 1, 1), cutoff_ev=200.0, n_cycles=1))
    engine.write(rock_salt("Na", "Cl", 5.64), engine.recipe("static"), tmp_path)
    with subprocess.Popen(engine.command(Launch()), cwd=tmp_path, stdin=subprocess.PIPE) as process:
        assert process.wait(280) == 1
    failed = engine.read(tmp_path)
    assert (failed.state, failed.failure) == ("failed", "electronic")
    assert engine.mend(tmp_path, 1) == "a careful mixer"
    with subprocess.Popen(engine.command(Launch()), cwd=tmp_path, stdin=subprocess.PIPE) as process:
        assert process.wait(280) == 0
    assert engine.read(tmp_path).corrections == ["a careful mixer"]
