"""What an engine with a calculator of ASE runs in a folder: `python -m agd.plugins.dft_engines.ase_program ENGINE`.

It does what the folder asks for, keeps each step, and goes on from the last one where it was cut off.
"""

import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agd.plugins.ase_checkpoints import Checkpoint
from agd.plugins.dft_engines import folders
from agd.plugins.dft_engines.ase_engine import AseEngine, Plan, first_line
from agd.plugins.dft_engines.leash import LEASHED, alone_in, hold_leash
from agd.recipes import Failure, IonicStep
from agd.types import Structure

if TYPE_CHECKING:
    from ase import Atoms

_CHECKPOINT = "checkpoint.json"

_SYMMETRY_A = 2e-3
"""What a cell kept to 10⁻⁴ may have lost of its symmetry, in Å: no displacement that anybody means."""

_GPA_PER_EV_PER_CUBIC_ANGSTROM = 160.21766208


class UnconvergedError(Exception):
    """A relaxation has taken all its steps."""


def main(engine: type[AseEngine], arguments: list[str]) -> int:
    """Work in the current folder; 0 where that is done, 1 where it failed and the folder says why."""
    if LEASHED in arguments:
        hold_leash()
    folder = Path.cwd()
    with alone_in(folder):
        return _work(engine, folder)


def _work(engine: type[AseEngine], folder: Path) -> int:
    """Do what a folder asks for, unless that is done."""
    result = folders.read_json(folder / folders.RESULT)
    if result is not None and result["state"] == "done":
        return 0
    asked = folders.read_json(folder / folders.INPUT)
    if asked is None:
        print(f"{folder} asks for nothing: it has no {folders.INPUT}", file=sys.stderr)  # noqa: T201  for whoever runs it by hand
        return 2
    plan = asked["plan"]
    version = engine(engine.options_type()).version
    said = {"code_version": version, "settings": plan}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what libraries say of their own affairs
            calculator = _compute(engine, folders.structure_of(asked["structure"]), plan, folder)
            bands = engine.bands(calculator)
    except Exception as error:  # noqa: BLE001  whatever it is, the folder says it
        failure: Failure = "ionic" if isinstance(error, UnconvergedError) else engine.failure_of(error)
        reason = str(error) if isinstance(error, UnconvergedError) else first_line(error)
        folders.write_result(folder, state="failed", failure=failure, reason=reason, **said)
        return 1
    folders.write_result(folder, state="done", bands=bands, **said)
    return 0


def _compute(engine: type[AseEngine], structure: Structure, plan: Plan, folder: Path) -> Any:
    """Compute what is asked for, step by step; the calculator as it stands afterwards."""
    from ase import Atoms
    from ase.spacegroup.symmetrize import refine_symmetry

    atoms = Atoms(list(structure.species), cell=structure.lattice, scaled_positions=structure.frac, pbc=True)
    refine_symmetry(atoms, symprec=_SYMMETRY_A)
    if plan["moments"] is not None:
        atoms.set_initial_magnetic_moments(plan["moments"])
    atoms.calc = engine.make_calculator(plan, folder)
    if plan["kind"] == "relax":
        _relax(atoms, plan, folder)
    else:
        folders.append_step(folder, 0, _step(atoms, has_stress=False))
    return atoms.calc


def _relax(atoms: "Atoms", plan: Plan, folder: Path) -> None:
    """Let cell and sites go, within their symmetry, until the forces are small.

    Raises:
        UnconvergedError: that takes more steps than it may.
    """
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    atoms.set_constraint(FixSymmetry(atoms, symprec=_SYMMETRY_A, verbose=False))
    cell = FrechetCellFilter(atoms)  # before a checkpoint is read: its origin is the cell at the start
    with Checkpoint.at(folder / _CHECKPOINT) as kept:
        n_done = kept.restore(atoms)
        optimizer = BFGS(cell, restart=kept.optimizer_file, logfile=None)
        optimizer.nsteps = n_done
        for _ in optimizer.irun(fmax=plan["max_force"], steps=max(plan["max_steps"] - n_done, 0)):
            kept.keep(atoms, optimizer.nsteps)
            folders.append_step(folder, optimizer.nsteps, _step(atoms, has_stress=True))
        force = float(np.sqrt((cell.get_forces() ** 2).sum(axis=1).max()))
    if force > plan["max_force"]:
        raise UnconvergedError(f"not converged within {plan['max_steps']} steps: {force:.3g} eV/Å are left")


def _step(atoms: "Atoms", *, has_stress: bool) -> IonicStep:
    structure = Structure(
        np.array(atoms.cell.array, dtype=np.float64),
        tuple(atoms.get_chemical_symbols()),
        np.asarray(atoms.get_scaled_positions(wrap=False), dtype=np.float64),
    )
    stress = None
    if has_stress:
        stress = np.asarray(atoms.get_stress(voigt=True), dtype=np.float64) * _GPA_PER_EV_PER_CUBIC_ANGSTROM
    energy = float(atoms.get_potential_energy()) / len(atoms)
    return IonicStep(structure, energy, np.asarray(atoms.get_forces(), dtype=np.float64), stress)


def _engine(spec: str) -> type[AseEngine]:
    module, _, name = spec.partition(":")
    found: type[AseEngine] = getattr(import_module(module), name)
    return found


if __name__ == "__main__":
    sys.exit(main(_engine(sys.argv[1]), sys.argv[2:]))
