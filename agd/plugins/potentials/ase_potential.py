"""What every potential with a calculator of ASE does: relaxing, with guards and checkpoints."""

import random
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from agd.errors import InputError
from agd.plugins.ase_checkpoints import Checkpoint
from agd.plugins.potentials import guards
from agd.progress import Progress, silent
from agd.protocols import Options
from agd.types import Floats, Relaxed, Structure

if TYPE_CHECKING:
    from ase import Atoms

_GPA_PER_EV_PER_CUBIC_ANGSTROM = 160.21766208


class RelaxationOptions(Options):
    """Where a relaxation stops, and what is refused."""

    max_force: float = Field(0.05, gt=0.0, description="It has converged below: forces in eV/Å, and the cell's alike.")
    max_steps: int = Field(100, ge=1, description="Steps of the optimiser at most.")
    min_volume_ratio: float = Field(0.6, gt=0.0, lt=1.0, description="Least volume, after to before.")
    max_volume_ratio: float = Field(1.6, gt=1.0, description="Largest volume, after to before.")
    max_elemental_volume_ratio: float = Field(
        3.0, gt=1.0, description="The same of an element: molecules such as Cl2 drift apart, their energy stays."
    )


class AsePotential(ABC):
    """A potential that answers by a calculator of ASE: a subclass says how that is made, and what its weights are."""

    options_type: ClassVar[type[Options]] = RelaxationOptions
    elements: ClassVar[frozenset[str] | None] = None
    """The elements it knows; None where that is every one."""

    def __init__(self, options: RelaxationOptions) -> None:
        self.options = options

    @property
    @abstractmethod
    def version(self) -> str:
        """The model and the package that brought it, with their versions."""

    @property
    @abstractmethod
    def weights_sha256(self) -> str:
        """The hash of its weights."""

    @classmethod
    @abstractmethod
    def make_calculator(cls) -> Any:
        """A calculator of ASE; it is asked once in a process."""

    def energy(self, structure: Structure) -> float:
        """The potential's own energy in eV/atom; raises InputError for an element that it does not know."""
        with _unwarned():
            return float(self._atoms(structure).get_potential_energy()) / len(structure.species)

    def forces(self, structure: Structure) -> Floats:
        """Forces `[n, 3]` on the sites in eV/Å; raises as `energy`."""
        with _unwarned():
            return np.asarray(self._atoms(structure).get_forces(), dtype=np.float64)

    def stress(self, structure: Structure) -> Floats:
        """The stress `[6]` in GPa, tension positive: xx, yy, zz, yz, xz, xy; raises as `energy`."""
        with _unwarned():
            stress = self._atoms(structure).get_stress(voigt=True)
        return np.asarray(stress, dtype=np.float64) * _GPA_PER_EV_PER_CUBIC_ANGSTROM

    def relax(self, start: Structure, *, checkpoint: Path | None = None, progress: Progress = silent) -> Relaxed:
        """Relax cell and sites by BFGS, which takes half the steps of FIRE, in FrechetCellFilter's coordinates.

        A cell that leaves the range of volumes is given up there and then.
        """
        from ase.filters import FrechetCellFilter
        from ase.optimize import BFGS

        options = self.options
        if unknown := self._unknown(start):
            return Relaxed(start, np.nan, np.nan, 1.0, 0, unknown)
        with _unwarned(), Checkpoint.at(checkpoint) as kept:
            atoms = self._atoms(start)
            cell = FrechetCellFilter(atoms)  # before a checkpoint is read: its origin is the cell at the start
            n_done = kept.restore(atoms)
            reason = guards.evaluable(atoms)
            if reason is None:
                optimizer = BFGS(cell, restart=kept.optimizer_file, logfile=None)
                optimizer.nsteps = n_done
                for _ in optimizer.irun(fmax=options.max_force, steps=options.max_steps - n_done):
                    n_done = optimizer.nsteps
                    kept.keep(atoms, n_done)
                    progress(n_done, options.max_steps, f"step {n_done}")
                    if (reason := self._strayed(start, atoms)) is not None:
                        break
            end = _structure(atoms)
            ratio = guards.volume_ratio(start, end)
            if reason is not None:
                return Relaxed(end, np.nan, np.nan, ratio, n_done, reason)
            force = float(np.sqrt((cell.get_forces() ** 2).sum(axis=1).max()))
            energy = float(atoms.get_potential_energy()) / len(atoms)
            if force > options.max_force:
                reason = f"not converged within {options.max_steps} steps: {force:.3g} eV/Å are left"
            return Relaxed(end, energy, force, ratio, n_done, reason or guards.torn(start, end))

    def _strayed(self, start: Structure, atoms: "Atoms") -> str | None:
        options = self.options
        is_element = len(set(start.species)) == 1
        largest = options.max_elemental_volume_ratio if is_element else options.max_volume_ratio
        ratio = guards.volume_ratio(start, _structure(atoms))
        return guards.evaluable(atoms) or guards.strayed(ratio, options.min_volume_ratio, largest)

    def _unknown(self, structure: Structure) -> str | None:
        if self.elements is None:
            return None
        unknown = sorted(set(structure.species) - self.elements)
        return f"the potential does not know {', '.join(unknown)}" if unknown else None

    def _atoms(self, structure: Structure) -> "Atoms":
        from ase import Atoms

        if unknown := self._unknown(structure):
            raise InputError(unknown)
        atoms = Atoms(list(structure.species), cell=structure.lattice, scaled_positions=structure.frac, pbc=True)
        atoms.calc = _calculator(type(self))
        return atoms


@cache
def _calculator(kind: type[AsePotential]) -> Any:
    """Loaded once, without a word, and without a trace in anybody's random numbers."""
    before = np.random.get_state(), random.getstate()  # noqa: NPY002  # the very thing that is to be left alone
    try:
        with _unwarned(), redirect_stdout(StringIO()):
            return kind.make_calculator()
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        random.setstate(before[1])


@contextmanager
def _unwarned() -> Iterator[None]:
    """Keep to themselves what libraries say of their own affairs, such as what torch will do otherwise one day."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _structure(atoms: "Atoms") -> Structure:
    return Structure(
        np.array(atoms.cell.array, dtype=np.float64),
        tuple(atoms.get_chemical_symbols()),
        np.asarray(atoms.get_scaled_positions(wrap=False), dtype=np.float64),
    )
