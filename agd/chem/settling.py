"""Sites let go in a cell that is held, by whatever tells their forces."""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from agd.errors import StepError
from agd.recipes import IonicStep
from agd.types import Floats, Structure

Evaluate: TypeAlias = Callable[[Structure], IonicStep]
"""Energy, forces and stress of a cell, by a potential or a program of first principles."""

_STIFFNESS_EV_PER_SQUARE_ANGSTROM: Final = 70.0
_LARGEST_STEP_A: Final = 0.2


def settled(evaluate: Evaluate, start: Structure, max_force_ev_per_angstrom: float, max_steps: int) -> IonicStep:
    """The last step, where every force is below the largest that is allowed; BFGS, which asks for forces alone.

    Raises:
        StepError: they are not after so many steps.
    """
    step = evaluate(start)
    hessian = _STIFFNESS_EV_PER_SQUARE_ANGSTROM * np.eye(3 * len(start.species))
    for _ in range(max_steps):
        if _largest(step.forces_ev_per_angstrom) <= max_force_ev_per_angstrom:
            return step
        moved = _bounded(hessian, step.forces_ev_per_angstrom.ravel())
        frac = step.structure.frac + np.linalg.solve(start.lattice.T, moved.T).T
        after = evaluate(Structure(start.lattice, start.species, frac))
        _learn(hessian, moved.ravel(), (step.forces_ev_per_angstrom - after.forces_ev_per_angstrom).ravel())
        step = after
    force = _largest(step.forces_ev_per_angstrom)
    if force > max_force_ev_per_angstrom:
        raise StepError(f"the sites of a strained cell come to no rest within {max_steps} steps: {force:.3g} eV/Å left")
    return step


def _bounded(hessian: Floats, forces: Floats) -> Floats:
    """The step `[n, 3]` down the quadratic surface, none of the sites going farther than is sensible."""
    values, vectors = np.linalg.eigh(hessian)
    step = (vectors @ (vectors.T @ forces / np.abs(values))).reshape(-1, 3)
    longest = np.linalg.norm(step, axis=1).max()
    return np.asarray(step * min(1.0, _LARGEST_STEP_A / longest), dtype=np.float64)


def _learn(hessian: Floats, moved: Floats, pulled: Floats) -> None:
    """What a step taught of the second derivatives, into them."""
    along = hessian @ moved
    if abs(moved @ pulled) > 1e-12:  # noqa: PLR2004  nothing moved, nothing is learned
        hessian += np.outer(pulled, pulled) / (moved @ pulled) - np.outer(along, along) / (moved @ along)


def _largest(forces: Floats) -> float:
    return float(np.linalg.norm(forces, axis=1).max())
