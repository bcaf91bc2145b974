"""What every potential promises, checked on a few ionic crystals: seconds, where it is quick."""

import string
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from agd.errors import InputError
from agd.protocols import Potential
from agd.testing.crystals import rock_salt
from agd.testing.plugins import PluginContract, other_global_randomness
from agd.testing.promises import once, promised, require, require_array, require_finite, require_same
from agd.types import Relaxed, Structure

_SHIFT_ANGSTROM = 0.02
_GPA_PER_EV_PER_CUBIC_ANGSTROM = 160.21766208
_CHECKPOINT = (
    "keep the geometry and the optimiser's own state in one file that is replaced at once (agd.writing.whole_file)"
)


class PotentialContract(PluginContract):
    """The contract of a potential; it is asked for rock salt, strained and with an atom out of place."""

    group: ClassVar[str] = "agd.potentials"
    protocol: ClassVar[type] = Potential
    is_random: ClassVar[bool] = False

    tolerance: ClassVar[float] = 0.05
    """How far forces and stress may be from differences of energies, as a share of the largest: single precision."""

    @classmethod
    def crystal(cls) -> Structure:
        """A crystal not far from where it would relax to, without symmetry."""
        salt = rock_salt("Na", "Cl", 5.7)
        displaced = np.array([[0.0, 0.0, 0.0], [0.02, -0.01, 0.03]])
        strain = np.array([[1.01, 0.01, 0.0], [0.0, 0.99, 0.02], [0.0, 0.0, 1.02]])
        return Structure(salt.lattice @ strain, salt.species, salt.frac + displaced)

    @classmethod
    @once
    def potential(cls) -> Any:
        """The potential, loaded once for all checks."""
        return cls.plugin_class()(cls.chosen())

    @promised("it tells its version, and the sha256 of its weights", cure="hash the file of weights, or the parameters")
    def test_version_and_weights_are_told(self) -> None:
        """What it computed is known by them."""
        potential = self.potential()
        require(isinstance(potential.version, str) and potential.version, f"its version is {potential.version!r}")
        digest = potential.weights_sha256
        is_hash = isinstance(digest, str) and len(digest) == 64 and set(digest) <= set(string.hexdigits.lower())  # noqa: PLR2004  # in hexadecimals
        require(is_hash, f"its weights_sha256 is {digest!r}")
        require(self.plugin_class()(self.chosen()).weights_sha256 == digest, "another instance tells another hash")

    @promised("energies, forces and stress are finite, of their shapes, and the same each time", cure="draw nothing")
    def test_answers_have_their_shapes(self) -> None:
        """eV/atom, eV/Å and GPa."""
        crystal, potential = self.crystal(), self.potential()
        with other_global_randomness():
            energies = [potential.energy(crystal) for _ in range(2)]
        require(all(isinstance(one, float) for one in energies), f"an energy is a {type(energies[0]).__name__}")
        require_array(potential.forces(crystal), (len(crystal.species), 3), "float64", "forces")
        require_array(potential.stress(crystal), (6,), "float64", "stress")
        require_same(potential.forces(crystal), potential.forces(crystal), "forces differ for the same crystal")
        require(np.isfinite(energies).all() and energies[0] == energies[1], f"energies of one crystal: {energies}")

    @promised("the energy is one of an atom, whatever the cell", cure="divide by the number of atoms")
    def test_the_energy_does_not_depend_on_the_cell(self) -> None:
        """Twice the cell has the same energy of an atom."""
        one = self.crystal()
        frac = np.concatenate([one.frac * [0.5, 1.0, 1.0], one.frac * [0.5, 1.0, 1.0] + [0.5, 0.0, 0.0]])
        double = Structure(one.lattice * [[2.0], [1.0], [1.0]], one.species * 2, frac)
        energies = self.potential().energy(one), self.potential().energy(double)
        require(abs(energies[0] - energies[1]) < 1e-3, f"{energies[0]:.5f} and {energies[1]:.5f} eV/atom")  # noqa: PLR2004  # single precision

    @promised(
        "forces and stress are the slopes of the energy", cure="eV/Å; GPa with tension positive, xx yy zz yz xz xy"
    )
    def test_forces_and_stress_are_slopes(self) -> None:
        """Otherwise a relaxation goes nowhere."""
        crystal, potential = self.crystal(), self.potential()
        n_atoms, volume = len(crystal.species), float(abs(np.linalg.det(crystal.lattice)))
        forces = np.zeros((n_atoms, 3))
        for site in range(n_atoms):
            for axis in range(3):
                step = np.zeros((n_atoms, 3))
                step[site, axis] = _SHIFT_ANGSTROM
                moved = step @ np.linalg.inv(crystal.lattice)
                forces[site, axis] = -self._slope(
                    lambda sign, moved=moved: Structure(crystal.lattice, crystal.species, crystal.frac + sign * moved),  # type: ignore[misc]  # the default binds it
                    _SHIFT_ANGSTROM,
                )
        self._require_near(potential.forces(crystal), n_atoms * forces, "forces")
        stress = np.zeros(6)
        for position, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
            strain = np.zeros((3, 3))
            strain[i, j] += 0.005
            strain[j, i] += 0.005
            slope = self._slope(
                lambda sign, strain=strain: Structure(  # type: ignore[misc]  # same
                    crystal.lattice @ (np.eye(3) + sign * strain), crystal.species, crystal.frac
                ),
                0.01,
            )
            stress[position] = n_atoms * slope / volume * _GPA_PER_EV_PER_CUBIC_ANGSTROM
        self._require_near(potential.stress(crystal), stress, "stress")

    @promised(
        "relax gives agd.types.Relaxed: lower than before, the same each time, and the start is left as it was",
        cure="return Relaxed with reason = None where it converged, and copy the arrays of the start",
    )
    def test_relaxing_goes_down(self) -> None:
        """The end is where its own energy says it is."""
        start, potential = self.crystal(), self.potential()
        relaxed = potential.relax(start)
        require(isinstance(relaxed, Relaxed), f"it gives a {type(relaxed).__name__}")
        require(relaxed.reason is None, f"it gives up on a crystal that is nearly relaxed: {relaxed.reason}")
        require_same(start.frac, self.crystal().frac, "the start was moved")
        require(relaxed.energy_ev_per_atom <= potential.energy(start), "the end is higher than the start")
        energy = potential.energy(relaxed.structure)
        is_its = abs(energy - relaxed.energy_ev_per_atom) < 1e-4  # noqa: PLR2004  # single precision
        require(is_its, f"it tells {relaxed.energy_ev_per_atom:.5f} eV/atom of a structure that has {energy:.5f}")
        ratio = abs(np.linalg.det(relaxed.structure.lattice) / np.linalg.det(start.lattice))
        require(abs(ratio - relaxed.volume_ratio) < 1e-6, f"a volume ratio of {relaxed.volume_ratio}, not {ratio}")  # noqa: PLR2004  # of sums
        self._require_equal(relaxed, potential.relax(start), "relaxed again")

    @promised("a relaxation that was stopped goes on from its checkpoint to the same bits", cure=_CHECKPOINT)
    def test_a_stopped_relaxation_goes_on(self) -> None:
        """A worker may be killed after any step."""
        start, potential = self.crystal(), self.potential()
        whole = potential.relax(start)
        for n_steps in {1, max(whole.n_steps // 2, 1)}:
            with tempfile.TemporaryDirectory() as folder:
                checkpoint = Path(folder, "checkpoint")
                try:
                    potential.relax(start, checkpoint=checkpoint, progress=_StopAfter(n_steps))
                except _StoppedError:
                    require(checkpoint.is_file(), "it was stopped after a step, and there is no checkpoint")
                self._require_equal(whole, potential.relax(start, checkpoint=checkpoint), f"stopped after {n_steps}")

    @promised(
        "what flies apart is told as a reason, and raises nothing",
        cure="return Relaxed with the reason and what there is",
    )
    def test_what_cannot_relax_has_a_reason(self) -> None:
        """A template may be far too large, or have atoms on top of each other."""
        salt = rock_salt("Na", "Cl", 5.7)
        close = Structure(salt.lattice, salt.species, np.array([[0.0, 0.0, 0.0], [0.01, 0.0, 0.0]]))
        for what, start in (("a tenfold cell", rock_salt("Na", "Cl", 57.0)), ("atoms in one place", close)):
            relaxed = self.potential().relax(start)
            is_told = relaxed.reason is None or (isinstance(relaxed.reason, str) and "\n" not in relaxed.reason)
            require(is_told, f"{what}: its reason is {relaxed.reason!r}")
            is_sound = relaxed.reason is not None or np.isfinite(relaxed.energy_ev_per_atom)
            require(is_sound, f"{what}: no reason, and an energy of {relaxed.energy_ev_per_atom}")

    @promised(
        "an element that it does not know is refused by name", cure="raise InputError in energy; a reason in relax"
    )
    def test_unknown_elements_are_refused(self) -> None:
        """A potential that knows every element has nothing to refuse."""
        unknown = rock_salt("Lr", "Cl", 6.0)
        relaxed = self.potential().relax(unknown)
        if relaxed.reason is not None and "Lr" in relaxed.reason:
            try:
                self.potential().energy(unknown)
            except InputError as error:
                require("Lr" in str(error), f"the error does not name the element: {error}")
            else:
                require(is_kept=False, found="relax does not know Lr, and energy does")

    def _slope(self, moved: Callable[[int], Structure], step: float) -> float:
        return float((self.potential().energy(moved(1)) - self.potential().energy(moved(-1))) / (2.0 * step))

    def _require_near(self, found: Any, expected: Any, what: str) -> None:
        require_finite(np.asarray(found), what)
        off, largest = np.abs(found - expected).max(), np.abs(expected).max()
        require(off <= self.tolerance * largest + 1e-3, f"{what}: {off:.3g} off, where the largest is {largest:.3g}")

    def _require_equal(self, one: Relaxed, other: Relaxed, what: str) -> None:
        require_same(one.structure.lattice, other.structure.lattice, f"{what}: lattices differ")
        require_same(one.structure.frac, other.structure.frac, f"{what}: places differ")
        require(one.n_steps == other.n_steps, f"{what}: {other.n_steps} steps, not {one.n_steps}")
        is_same = np.array_equal(one.energy_ev_per_atom, other.energy_ev_per_atom, equal_nan=True)
        require(is_same, f"{what}: energies differ by {other.energy_ev_per_atom - one.energy_ev_per_atom:.3g} eV/atom")


class _StoppedError(Exception):
    """Raised where a relaxation is to stop."""


class _StopAfter:
    """Progress that ends a relaxation after some steps."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Raise once so many steps are done."""
        del total, note
        if done >= self.n_steps:
            raise _StoppedError
