"""What every potential must do, and what those of agd do besides."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from agd.nets.threads import limited_threads
from agd.testing import PotentialContract
from agd.testing.crystals import rock_salt
from agd.types import Relaxed, Structure

needs_ase = pytest.mark.skipif(
    find_spec("ase") is None, reason="ASE is not installed: it comes with the extra sevennet"
)
if find_spec("ase") is not None:
    from agd.plugins.potentials.ase_potential import AsePotential, RelaxationOptions

    class Springs(AsePotential):
        """A stranger's potential: a Lennard-Jones crystal, which costs nothing."""

        elements: ClassVar[frozenset[str]] = frozenset({"Na", "Cl"})

        @property
        def version(self) -> str:
            return "springs 1"

        @property
        def weights_sha256(self) -> str:
            return hashlib.sha256(b"springs").hexdigest()

        @classmethod
        def make_calculator(cls) -> Any:
            from ase.calculators.lj import LennardJones

            return LennardJones(sigma=2.5, epsilon=0.3, rc=8.0, smooth=True)

    class TestSprings(PotentialContract):
        plugin = Springs
        tolerance = 0.05

    def _relaxed(start: Structure, **options: float) -> Relaxed:
        with limited_threads(1):
            return Springs(RelaxationOptions.model_validate(options)).relax(start)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sevenn") is None, reason="the extra sevennet is not installed")
class TestSevenNet(PotentialContract):
    plugin = "sevennet"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("chgnet") is None, reason="the extra chgnet is not installed")
class TestChgNet(PotentialContract):
    plugin = "chgnet"


def test_each_has_a_contract(has_all: Callable[[str, Iterable[object]], None]) -> None:
    has_all("agd.potentials", (TestSevenNet, TestChgNet))


@needs_ase
@pytest.mark.parametrize(
    ("start", "options", "reason"),
    [
        (rock_salt("Na", "Cl", 9.0), {}, "the cell collapsed: its volume is 0.5"),
        (rock_salt("Na", "Cl", 4.3), {"max_volume_ratio": 1.2}, "the cell flew apart: its volume is 1.3"),
        (rock_salt("Na", "Cl", 5.4), {"max_steps": 1, "max_force": 1e-6}, "not converged within 1 steps"),
        (rock_salt("Na", "K", 5.0), {}, "the potential does not know K"),
    ],
)
def test_what_is_refused_has_its_reason(start: Structure, options: dict[str, float], reason: str) -> None:
    relaxed = _relaxed(start, **options)
    assert relaxed.reason is not None
    assert reason in relaxed.reason


@needs_ase
def test_an_element_may_grow_more_than_a_compound() -> None:
    sodium = rock_salt("Na", "Na", 4.3)
    grown = _relaxed(sodium, max_volume_ratio=1.01)
    assert grown.reason is None
    assert grown.volume_ratio > 1.01
    assert "flew apart" in str(_relaxed(sodium, max_elemental_volume_ratio=1.01).reason)


@needs_ase
def test_atoms_without_neighbours_and_on_top_of_each_other_are_no_crystal() -> None:
    from agd.plugins.potentials.guards import torn

    salt = rock_salt("Na", "Cl", 5.64)
    assert torn(salt, salt) is None
    close = Structure(salt.lattice, salt.species, np.array([[0.0, 0.0, 0.0], [0.1, 0.1, 0.1]]))
    assert "of the sum of their covalent radii apart" in str(torn(salt, close))
    assert "Na at site 1 lost its neighbours" in str(torn(salt, rock_salt("Na", "Cl", 9.0)))


_RELAX = """
import sys, time
from pathlib import Path
import numpy as np
from agd import registry
from agd.nets.threads import limited_threads
from agd.types import Structure

name, checkpoint, out = sys.argv[1:]
lattice = np.array([[4.3, 0.1, 0.0], [0.0, 4.9, 0.2], [0.3, 0.0, 7.4]])
frac = np.array([[0, 0, 0], [0.48, 0.5, 0.53], [0.5, 0.05, 0.2], [0.02, 0.5, 0.3], [0.5, 0.0, 0.8], [0.0, 0.55, 0.72]])
start = Structure(lattice, ("Mg", "Mg", "F", "F", "F", "F"), frac)
kind = registry.load("agd.potentials", name)

def slowly(done, total, note=""):
    print(done, flush=True)
    time.sleep(0.05)

with limited_threads(1):
    relaxed = kind(kind.options_type()).relax(start, checkpoint=Path(checkpoint), progress=slowly)
end = relaxed.structure
np.savez(out, lattice=end.lattice, frac=end.frac, energy=relaxed.energy_ev_per_atom, n_steps=relaxed.n_steps,
         reason=str(relaxed.reason))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "package"), [("sevennet", "sevenn"), ("chgnet", "chgnet")])
def test_a_killed_relaxation_goes_on_to_the_same_bits(name: str, package: str, tmp_path: Path) -> None:
    if find_spec(package) is None:
        pytest.skip(f"the extra {name} is not installed")

    def begin(checkpoint: str, out: str) -> "subprocess.Popen[str]":
        arguments = [sys.executable, "-c", _RELAX, name, str(tmp_path / checkpoint), str(tmp_path / out)]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)

    whole = begin("whole", "whole.npz")
    whole.communicate(timeout=200)
    for kill_at in (2, 6):
        killed = begin("killed", "killed.npz")
        assert killed.stdout is not None
        for line in killed.stdout:
            if int(line) >= kill_at:
                break
        time.sleep(0.02)
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate()
    resumed = begin("killed", "killed.npz")
    steps = resumed.communicate(timeout=200)[0].split()
    assert int(steps[0]) >= 6
    one, other = np.load(tmp_path / "whole.npz"), np.load(tmp_path / "killed.npz")
    for key in one.files:
        assert one[key].tobytes() == other[key].tobytes(), key
    assert int(one["n_steps"]) > 6
