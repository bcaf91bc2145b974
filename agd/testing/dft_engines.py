"""What every engine of calculations from first principles promises, checked on a small crystal."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from agd.errors import InputError
from agd.protocols import DftEngine
from agd.recipes import FAILURES, Calculated, Launch, Recipe
from agd.testing.crystals import caesium_chloride
from agd.testing.plugins import PluginContract
from agd.testing.promises import once, promised, require, require_array, require_error, require_finite
from agd.types import Structure

_GO_ON = "keep each step in the folder, whole or not at all, and begin at the last one"


class DftEngineContract(PluginContract):
    """The contract of an engine: a subclass names a crystal that takes seconds, and options that make it fail."""

    group: ClassVar[str] = "agd.dft_engines"
    protocol: ClassVar[type] = DftEngine
    is_random: ClassVar[bool] = False

    kinds: ClassVar[Sequence[str]] = ("relax", "static", "gap")
    """The kinds of recipes that it has."""

    hopeless: ClassVar[Mapping[str, Any]] = {"max_steps": 1, "max_force": 1e-9}
    """Options with which a relaxation fails, and goes on failing."""

    launch: ClassVar[Launch] = Launch()
    tolerance_ev_per_atom: ClassVar[float] = 1e-3
    patience_s: ClassVar[float] = 600.0

    @classmethod
    def crystal(cls) -> Structure:
        """A crystal whose cell is not relaxed yet."""
        return caesium_chloride("Cu", "Au", 3.2)

    @classmethod
    def refused(cls) -> tuple[Structure, str] | None:
        """A crystal that it has no potential for, and the element; None where it has one for each."""
        return caesium_chloride("Lr", "Cl", 4.0), "Lr"

    @classmethod
    def engine(cls, **changed: object) -> Any:
        """The engine with the contract's options, and some changed."""
        return cls.plugin_class()(cls.chosen(**changed))

    @promised(
        "recipes are plain values that keep their hash, and other options give another one",
        cure="put every option into Recipe.inputs by options.model_dump(mode='json')",
    )
    def test_recipes_are_data(self) -> None:
        """A recipe is kept as JSON, and a calculation is known by its hash."""
        engine = self.engine()
        hashes = set()
        for kind in self.kinds:
            recipe = engine.recipe(kind)
            require(isinstance(recipe, Recipe), f"recipe({kind!r}) is a {type(recipe).__name__}")
            require(recipe.kind == kind and recipe.method == engine.method, f"it says {recipe.kind}, {recipe.method}")
            again = Recipe.of_values(json.loads(json.dumps(recipe.as_values(), allow_nan=False)))
            require(again.sha256 == recipe.sha256, f"the recipe {kind!r} comes back with another hash")
            require(self.engine().recipe(kind).sha256 == recipe.sha256, "another instance has another recipe")
            hashes |= {recipe.sha256, self.engine(**self.hopeless).recipe(kind).sha256}
        require(len(hashes) == 2 * len(self.kinds), "two recipes that differ have one hash")
        require_error(InputError, lambda: engine.recipe("no such kind"), "a kind that does not exist")

    @promised("its size is atoms and k-points, told without running it", cure="count the points that symmetry leaves")
    def test_size_is_told(self) -> None:
        """Estimates rest on it."""
        n_atoms, n_points = self.engine().size(self.crystal(), self.engine().recipe(self.kinds[-1]))
        require(n_atoms == len(self.crystal().species) and n_points >= 1, f"it says {n_atoms} atoms, {n_points} points")

    @promised("what it cannot compute is refused by name, before anything is written", cure="see refusal and write")
    def test_unknown_elements_are_refused(self) -> None:
        """A missing potential is known before a job waits for hours."""
        engine, recipe = self.engine(), self.engine().recipe(self.kinds[0])
        require(engine.refusal(self.crystal(), recipe) is None, f"refused: {engine.refusal(self.crystal(), recipe)}")
        refused = self.refused()
        if refused is None:
            return
        structure, element = refused
        require(element in str(engine.refusal(structure, recipe)), f"it does not name {element}")
        with _folder() as folder:
            require_error(InputError, lambda: engine.write(structure, recipe, folder), "it", {"the element": element})
            require(not list(folder.iterdir()), "it wrote something all the same")

    @promised(
        "a folder that nothing ran in is unfinished, and so is an empty one",
        cure="return Calculated('unfinished', ...)",
    )
    def test_what_has_not_begun_is_unfinished(self) -> None:
        """Whoever comes by reads it."""
        engine = self.engine()
        with _folder() as folder:
            require(engine.read(folder).state == "unfinished", "an empty folder is not unfinished")
            engine.write(self.crystal(), engine.recipe(self.kinds[0]), folder)
            found = engine.read(folder)
            require(found.state == "unfinished" and not found.steps, f"it is {found.state}, {len(found.steps)} steps")
            require(engine.mend(folder, 1) is None, "it mends what has not failed")

    @promised("what it computes is told with its shapes and units, and run again it stays", cure="see Calculated")
    def test_it_computes(self) -> None:
        """Each kind, and a second run of each."""
        for kind in self.kinds:
            found = self.computed(kind)
            require(found.state == "done", f"{kind} is {found.state}: {found.failure}, {found.reason}")
            require(found.code_version, "it does not say which version it is")
            require(len(found.steps) >= 1, f"{kind} has no steps")
            n_atoms = len(self.crystal().species)
            for step in found.steps:
                require_array(step.forces_ev_per_angstrom, (n_atoms, 3), "floating", "forces")
                require_finite(step.forces_ev_per_angstrom, "forces")
                require(np.isfinite(step.energy_ev_per_atom), "an energy is not finite")
                require(sorted(step.structure.species) == sorted(self.crystal().species), "other atoms than asked for")
            if kind == "gap":
                require(found.bands is not None and found.bands.gap_ev >= 0, "a gap without its bands")
        if "relax" in self.kinds:
            steps = self.computed("relax").steps
            require(len(steps) > 1, "a relaxation keeps one step: each one is kept")
            require(steps[-1].energy_ev_per_atom <= steps[0].energy_ev_per_atom, "relaxed, it is higher than before")

    @promised("a program that was killed goes on from its last geometry", cure=_GO_ON)
    def test_killed_it_goes_on(self) -> None:
        """By kill -9, after a step."""
        if "relax" not in self.kinds:
            return
        engine = self.engine()
        with _folder() as folder:
            engine.write(self.crystal(), engine.recipe("relax"), folder)
            with self.begun(folder) as process:
                self._await_step(folder, process)
                process.kill()
            n_kept = len(engine.read(folder).steps)
            require(n_kept >= 1, "nothing is left of its steps")
            self.run(folder)
            found, whole = engine.read(folder), self.computed("relax")
            require(found.state == "done", f"it is {found.state}: {found.reason}")
            off = abs(found.last.energy_ev_per_atom - whole.last.energy_ev_per_atom)
            require(off <= self.tolerance_ev_per_atom, f"it ends {off:.2g} eV/atom from where it ends undisturbed")

    @promised("it ends with whoever holds its standard input", cure="read it in a thread, and leave when it ends")
    def test_it_outlives_nobody(self) -> None:
        """Otherwise what was given up goes on computing."""
        engine = self.engine()
        with _folder() as folder:
            engine.write(self.crystal(), engine.recipe(self.kinds[0]), folder)
            with self.begun(folder) as process:
                assert process.stdin is not None  # noqa: S101  a pipe was asked for
                process.stdin.close()
                try:
                    process.wait(self.patience_s)
                except subprocess.TimeoutExpired:
                    require(is_kept=False, found="it goes on")

    @promised("a failure has its class and reason, and is mended in steps until nothing is left", cure="see mend")
    def test_failures_are_told_and_mended(self) -> None:
        """None says that it is given up."""
        if "relax" not in self.kinds:
            return
        engine = self.engine(**self.hopeless)
        with _folder() as folder:
            engine.write(self.crystal(), engine.recipe("relax"), folder)
            for attempt in range(1, 20):
                self.run(folder)
                found = engine.read(folder)
                require(found.state == "failed", f"it is {found.state}, where it has one step")
                require(found.failure in FAILURES, f"the class of the failure is {found.failure!r}")
                require(found.reason and "\n" not in found.reason, f"its reason is {found.reason!r}")
                words = engine.mend(folder, attempt)
                if words is None:
                    require(engine.read(folder).state == "failed", "given up, it is not failed any more")
                    return
                again = engine.read(folder)
                require(again.state == "unfinished", f"mended, it is {again.state}")
                require(list(again.corrections)[-1:] == [words], f"it says {again.corrections}, not {words!r} at last")
            require(is_kept=False, found="it is mended for ever")

    @classmethod
    @once
    def folders(cls) -> dict[str, Calculated]:
        """What was computed of each kind, once for all checks."""
        found = {}
        for kind in cls.kinds:
            engine = cls.engine()
            with _folder() as folder:
                engine.write(cls.crystal(), engine.recipe(kind), folder)
                cls.run(folder)
                found[kind] = engine.read(folder)
                if len(found) > 1:
                    continue
                cls.run(folder)
                again = engine.read(folder)
                require(len(again.steps) == len(found[kind].steps), "run again after it is done, it computes more")
        return found

    @classmethod
    def computed(cls, kind: str) -> Calculated:
        """What was computed of a kind."""
        return cls.folders()[kind]

    @classmethod
    @contextmanager
    def begun(cls, folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
        """The program at work in a folder, begun as whoever dispatches it does; it ends with the block."""
        words = list(cls.engine().command(cls.launch))
        with (folder / "said.txt").open("ab") as said:
            process = subprocess.Popen(  # noqa: S603  the plug-in's own program
                words, cwd=folder, stdin=subprocess.PIPE, stdout=said, stderr=said, start_new_session=True
            )
        with process:
            try:
                yield process
            finally:
                process.kill()

    @classmethod
    def run(cls, folder: Path) -> None:
        """Run the program until it ends."""
        with cls.begun(folder) as process:
            process.wait(cls.patience_s)

    def _await_step(self, folder: Path, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + self.patience_s
        while not self.engine().read(folder).steps and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="agd-dft-", ignore_cleanup_errors=sys.platform != "linux") as folder:
        yield Path(folder)
