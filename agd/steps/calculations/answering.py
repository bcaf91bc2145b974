"""Who answers for a cell: a potential, or a program of first principles in a folder for each cell."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from agd import methods as kinds
from agd import plugin_faults, registry
from agd.chem.settling import Evaluate
from agd.config import load_settings
from agd.db.connection import Transaction
from agd.db.record import calculations, jobs, methods
from agd.errors import InputError, StepError
from agd.protocols import DftEngine
from agd.recipes import IonicStep, Launch, Recipe
from agd.steps.calculations.dft import LOOK_S, folder_of
from agd.steps.calculations.dft_plans import GROUP as DFT_GROUP
from agd.steps.calculations.programs import last_words, run
from agd.steps.structures.relaxing import GROUP, Potential, potential_named
from agd.types import Structure
from agd.work.workspace import Workspace

_TIGHT: Final = {"max_force": 0.005, "max_steps": 300}
"""Of the relaxation before: forces that are left stand beside those of a displacement, 0.05 eV/Å and more."""

_MAX_DEATHS: Final = 3


@dataclass(frozen=True, slots=True)
class Answering:
    """What answers for cells: `potential` is one that relaxes them before; else they are taken as they are.

    `method` is what the energies of a program are by, and `static` its recipe for one energy.
    """

    name: str
    version: str
    group: str
    evaluate: Evaluate
    potential: Potential | None = None
    method: str | None = None
    static: Recipe | None = None

    def recipe(self, kind: str, inputs: Mapping[str, Any]) -> calculations.Recipe:
        """The recipe of a kind; of a program with all that it is told for each cell."""
        if self.potential is not None:
            key = (self.potential.name, self.potential.version, self.potential.weights_sha256)
            return calculations.Recipe(self.name, kind, inputs, potential=key)
        static = {} if self.static is None else {"static": dict(self.static.inputs)}
        return calculations.Recipe(self.name, kind, {**inputs, **static}, method=self.method)

    def keep(self, tx: Transaction, recipe: calculations.Recipe, activity_id: int) -> int:
        """The id of a recipe, inserted where it is new, with the method that it is by."""
        if self.method is not None:
            values = {"kind": "dft", "fidelity": kinds.FIDELITIES["dft"], "description": f"by the engine {self.name}"}
            methods.store(tx, {"name": self.method, **values}, activity_id)
        return calculations.keep_recipe(tx, recipe, None if self.potential is None else self.potential.id, activity_id)


def answering(workspace: Workspace, name: str, n_cores: int = 1) -> Answering:
    """The potential of that name, which will relax tightly, or the engine of first principles.

    Raises:
        NotFoundError: neither is installed.
    """
    if name in registry.names(DFT_GROUP) and name not in registry.names(GROUP):
        return _program(workspace, name, n_cores)
    potential = _tight(potential_named(workspace, name))
    plugin = potential.plugin

    def evaluate(cell: Structure) -> IonicStep:
        with plugin_faults.blamed(GROUP, name, "forces"):
            return IonicStep(cell, plugin.energy(cell), plugin.forces(cell), plugin.stress(cell))

    return Answering(name, potential.version, GROUP, evaluate, potential)


def _program(workspace: Workspace, name: str, n_cores: int) -> Answering:
    kind = registry.load(DFT_GROUP, name)
    with plugin_faults.blamed(DFT_GROUP, name, "load"):
        engine: DftEngine = kind(kind.options_type())
        static, version = engine.recipe("static"), engine.version

    def evaluate(cell: Structure) -> IonicStep:
        return _computed(workspace, name, engine, static, cell, n_cores)

    return Answering(name, version, DFT_GROUP, evaluate, None, kind.method, static)


def _tight(potential: Potential) -> Potential:
    """The same potential with a relaxation that goes on longer, where its options have it."""
    kind = type(potential.plugin)
    options = kind.options_type(**{name: _TIGHT[name] for name in _TIGHT if name in kind.options_type.model_fields})
    return replace(potential, settings=options.model_dump(mode="json"), plugin=kind(options))


def _computed(
    workspace: Workspace, name: str, engine: DftEngine, recipe: Recipe, cell: Structure, n_cores: int
) -> IonicStep:
    """One cell by a program, mended while that helps; its folder is gone on with, and goes when it is done.

    Raises:
        InputError: the engine refuses the cell.
        StepError: it is given up; its folder stays.
    """
    if (reason := engine.refusal(cell, recipe)) is not None:
        raise InputError(f"{name} cannot compute this: {reason}")
    numbers = np.concatenate([cell.lattice.ravel(), cell.frac.ravel()]).tobytes()
    folder = folder_of(
        workspace, jobs.key_of("cell", hashlib.sha256(numbers).hexdigest(), list(cell.species), recipe.sha256)
    )
    if not folder.is_dir():
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        with plugin_faults.blamed(DFT_GROUP, name, "write"):
            engine.write(cell, recipe, part)
        part.rename(folder)
    words = engine.command(Launch(n_cores, getattr(load_settings(), f"{name}_command", None)))
    n_failed = n_died = 0
    while True:
        ended = run(words, folder, lambda: None, LOOK_S)
        with plugin_faults.blamed(DFT_GROUP, name, "read"):
            found = engine.read(folder)
        if found.state == "done":
            shutil.rmtree(folder, ignore_errors=True)
            return found.last
        if found.state == "failed":
            n_failed += 1
            if engine.mend(folder, n_failed) is None:
                raise StepError(f"{name} in {folder}: {found.failure}: {found.reason}")
        else:
            n_died += 1
            if n_died >= _MAX_DEATHS:
                raise StepError(f"{name} in {folder} died, exit code {ended.exit_code}: {last_words(folder)!r}")
