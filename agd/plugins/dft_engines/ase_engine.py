"""What every engine with a calculator of ASE does: a folder with what is asked, a program that does it, a way back."""

import shlex
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from agd.chem.symmetry import n_irreducible_points
from agd.errors import AgdError, InputError, NotFoundError
from agd.plugins.dft_engines import folders, settings
from agd.plugins.dft_engines.leash import LEASHED
from agd.plugins.dft_engines.settings import DftOptions
from agd.recipes import KINDS, BandEdges, Calculated, Failure, Launch, Recipe
from agd.types import Structure

Plan = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mending:
    """One thing that is tried against a class of failures: what it is in words, and what it changes of a plan."""

    words: str
    changes: Callable[[Plan], Plan]


MORE_STEPS = Mending("as many steps again", lambda plan: {"max_steps": 2 * int(plan["max_steps"])})


class AseEngine(ABC):
    """An engine that computes by a calculator of ASE, in a process of its own.

    A subclass says how the calculator is made of a plan: the numbers that a recipe comes to for one structure.
    """

    options_type: ClassVar[type[DftOptions]] = DftOptions
    name: ClassVar[str]
    """What it is installed under."""
    method: ClassVar[str]
    kinds: ClassVar[Sequence[str]] = KINDS
    ladders: ClassVar[Mapping[Failure, Sequence[Mending]]] = {"ionic": (MORE_STEPS,)}
    """What is tried against failures of a class, one after the other."""

    def __init__(self, options: DftOptions) -> None:
        self.options = options

    @property
    @abstractmethod
    def version(self) -> str:
        """The program and its potentials, with their versions; raises NotFoundError where it is not installed."""

    @classmethod
    @abstractmethod
    def make_calculator(cls, plan: Plan, folder: Path) -> Any:
        """A calculator of ASE, whose own files go into the folder."""

    @classmethod
    def bands(cls, calculator: Any) -> BandEdges | None:  # noqa: ARG003  a subclass looks at it
        """Where the bands of what was computed last end; None where it knows no bands."""
        return None

    @classmethod
    def unknown(cls, species: Sequence[str]) -> list[str]:  # noqa: ARG003  same
        """The elements that it has no potential for."""
        return []

    @classmethod
    def failure_of(cls, error: Exception) -> Failure:
        """The class of what the calculator raised."""
        return "memory" if isinstance(error, MemoryError) else "program"

    def recipe(self, kind: str) -> Recipe:
        """The recipe of a kind by these options.

        Raises:
            InputError: there is none of that kind.
        """
        if kind not in self.kinds:
            raise InputError(f"{self.name} has no recipe {kind!r}: there is {', '.join(self.kinds)}")
        return Recipe(self.name, self.method, kind, self.options.model_dump(mode="json"))

    def plan(self, structure: Structure, recipe: Recipe) -> dict[str, Any]:
        """The numbers that a recipe comes to for a structure."""
        options = self.options.merged(recipe.inputs)
        return {
            "kind": recipe.kind,
            "cutoff_ev": settings.cutoff_ev(structure, options),
            "mesh": list(settings.mesh(structure, options)),
            "moments": settings.moments(structure, options),
            "energy_ev": options.energy_ev,
            "max_force": options.max_force,
            "max_steps": options.max_steps,
            "smearing_ev": options.smearing_ev,
        }

    def refusal(self, structure: Structure, recipe: Recipe) -> str | None:
        """Why this cannot be computed here; None where it can."""
        if recipe.engine != self.name or recipe.kind not in self.kinds:
            return f"{self.name} knows no recipe {recipe.kind!r} of {recipe.engine}"
        if unknown := sorted(self.unknown(structure.species)):
            return f"{self.name} has no potential for {', '.join(unknown)}"
        return None

    def size(self, structure: Structure, recipe: Recipe) -> tuple[int, int]:
        """How many atoms and k-points that is; each spin has its own."""
        plan = self.plan(structure, recipe)
        n_points = n_irreducible_points(structure, plan["mesh"])
        return len(structure.species), n_points * (1 if plan["moments"] is None else 2)

    def write(self, structure: Structure, recipe: Recipe, folder: Path) -> None:
        """Write what is asked for.

        Raises:
            InputError: the structure is refused.
        """
        if (reason := self.refusal(structure, recipe)) is not None:
            raise InputError(reason)
        folders.write_input(folder, structure, recipe, self.plan(structure, recipe))

    def command(self, launch: Launch) -> Sequence[str]:
        """This interpreter, or the one of the launch, with the program that goes on where the folder is."""
        python = (
            [sys.executable] if launch.command is None else shlex.split(launch.command.format(cores=launch.n_cores))
        )
        engine = f"{type(self).__module__}:{type(self).__qualname__}"
        return [*python, "-m", "agd.plugins.dft_engines.ase_program", engine, LEASHED]

    def read(self, folder: Path) -> Calculated:
        """What there is now."""
        version = ""
        with suppress(NotFoundError):  # a folder can be read where nothing can be computed
            version = self.version
        return folders.read_folder(folder, version)

    def mend(self, folder: Path, attempt: int) -> str | None:
        """Take the next thing that is tried against the failure of its class; None where there is none."""
        del attempt  # the folder knows what was tried
        result, asked = folders.read_json(folder / folders.RESULT), folders.read_json(folder / folders.INPUT)
        if result is None or asked is None or result["state"] != "failed":
            return None
        failure = result["failure"]
        n_tried = sum(one["failure"] == failure for one in asked["corrections"])
        left = self.ladders.get(failure, ())[n_tried:]
        if not left:
            return None
        asked["plan"] |= left[0].changes(asked["plan"])
        asked["corrections"].append({"failure": failure, "words": left[0].words})
        folders.write_json(folder / folders.INPUT, asked)
        (folder / folders.RESULT).unlink()
        return left[0].words


def package_version(package: str, cure: str) -> str:
    """An installed package with its version.

    Raises:
        NotFoundError: it is not installed.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        raise NotFoundError(f"the program {package} is not installed: {cure}") from None


def first_line(error: BaseException) -> str:
    """Class and first line of an error, or the words of one that is meant for a user."""
    words = str(error).strip().partition("\n")[0]
    return words if isinstance(error, AgdError) and words else f"{type(error).__name__}: {words}".rstrip(": ")
