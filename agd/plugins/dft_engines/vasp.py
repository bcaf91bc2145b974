"""VASP, with the settings of the paper (arXiv 2103.00608): PBE, PAW, 400 eV; custodian watches and mends it.

A site has VASP and its potentials, or not: inputs are written without them, and say which potentials they want.
"""

import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from agd.chem.symmetry import n_irreducible_points
from agd.errors import InputError, NotFoundError
from agd.installing import pip_install_extra
from agd.plugins.dft_engines import folders, settings, vasp_files
from agd.plugins.dft_engines.ase_engine import package_version
from agd.plugins.dft_engines.leash import LEASHED
from agd.plugins.dft_engines.settings import DftOptions
from agd.recipes import KINDS, Calculated, Launch, Recipe
from agd.types import Structure

DEFAULT_COMMAND = "vasp_std"


class VaspOptions(DftOptions):
    """Inputs of recipes of VASP; the defaults are the paper's, where it states them."""

    hard_cutoff_ev: float = Field(400.0, gt=0.0, description="The same where one of the hard elements is present.")
    n_cycles: int = Field(100, ge=1, description="Cycles of self-consistency at most (NELM).")
    potentials: str = Field(
        "PBE_54", description="Set of potentials, as pymatgen names it; which of it, as MPRelaxSet."
    )
    incar: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="More of INCAR, or other than the rest says."
    )


class Vasp:
    """VASP as the site starts it."""

    options_type: ClassVar[type[VaspOptions]] = VaspOptions
    name: ClassVar[str] = "vasp"
    method: ClassVar[str] = "vasp-pbe"

    def __init__(self, options: VaspOptions) -> None:
        self.options = options

    @property
    def version(self) -> str:
        """What watches it: which VASP it is, its own output says."""
        return package_version("custodian", pip_install_extra("vasp"))

    def recipe(self, kind: str) -> Recipe:
        """The recipe of a kind by these options.

        Raises:
            InputError: there is none of that kind.
        """
        if kind not in KINDS:
            raise InputError(f"{self.name} has no recipe {kind!r}: there is {', '.join(KINDS)}")
        return Recipe(self.name, self.method, kind, self.options.model_dump(mode="json"))

    def refusal(self, structure: Structure, recipe: Recipe) -> str | None:
        """Why this cannot be computed here: an element without a potential; None where it can."""
        if recipe.engine != self.name or recipe.kind not in KINDS:
            return f"{self.name} knows no recipe {recipe.kind!r} of {recipe.engine}"
        options = VaspOptions.model_validate(dict(recipe.inputs))
        wanted = vasp_files.potential_names(structure.species)
        if unknown := sorted(symbol for symbol, name in wanted.items() if name is None):
            return f"{self.name} has no potential for {', '.join(unknown)}"
        missing, folder = vasp_files.missing_potentials([str(name) for name in wanted.values()], options.potentials)
        if missing:
            return f"VASP's potentials {', '.join(missing)} ({options.potentials}) are not in PMG_VASP_PSP_DIR {folder}"
        return None

    def size(self, structure: Structure, recipe: Recipe) -> tuple[int, int]:
        """How many atoms and k-points that is; each spin has its own."""
        options = VaspOptions.model_validate(dict(recipe.inputs))
        n_points = n_irreducible_points(structure, settings.mesh(structure, options))
        return len(structure.species), n_points * (1 if settings.moments(structure, options) is None else 2)

    def write(self, structure: Structure, recipe: Recipe, folder: Path) -> None:
        """Write INCAR, KPOINTS, POSCAR and POTCAR, or POTCAR.spec where the site has told of no potentials.

        Raises:
            InputError: the structure is refused.
        """
        if (reason := self.refusal(structure, recipe)) is not None:
            raise InputError(reason)
        options = VaspOptions.model_validate(dict(recipe.inputs))
        incar = self._incar(structure, recipe.kind, options)
        mesh = settings.mesh(structure, options)
        vasp_files.write_inputs(structure, incar, mesh, options.potentials, folder)
        folders.write_input(folder, structure, recipe, {"kind": recipe.kind, "mesh": list(mesh), "incar": incar})

    def command(self, launch: Launch) -> Sequence[str]:
        """The watcher, and after it the site's own command, `vasp_std` where the site has told none."""
        words = shlex.split((launch.command or DEFAULT_COMMAND).format(cores=launch.n_cores))
        return [sys.executable, "-m", "agd.plugins.dft_engines.vasp_program", LEASHED, *words]

    def read(self, folder: Path) -> Calculated:
        """What there is now; of a run at work the steps that VASP has written so far."""
        version = ""
        with suppress(NotFoundError):
            version = self.version
        found = folders.read_folder(folder, version)
        if found.state != "unfinished":
            return found
        corrections = vasp_files.corrections(folder)
        steps = [*found.steps, *vasp_files.Harvest.of(folder).steps]
        return Calculated("unfinished", version, steps, corrections=corrections, settings=found.settings)

    def mend(self, folder: Path, attempt: int) -> str | None:
        """Nothing: what custodian could not mend in five steps is given up."""
        del folder, attempt
        return None

    def _incar(self, structure: Structure, kind: str, options: VaspOptions) -> dict[str, Any]:
        moments = settings.moments(structure, options)
        incar: dict[str, Any] = {
            "PREC": "Accurate",
            "ALGO": "Normal",
            "LREAL": False,
            "LWAVE": False,
            "LCHARG": False,
            "ENCUT": settings.cutoff_ev(structure, options),
            "EDIFF": options.energy_ev,
            "NELM": options.n_cycles,
            "ISMEAR": 0,
            "SIGMA": options.smearing_ev,
            "ISPIN": 1 if moments is None else 2,
            "NSW": 0,
            "IBRION": -1,
            "ISIF": 2,
        }
        if moments is not None:
            incar["MAGMOM"] = moments
        if kind == "relax":
            incar |= {"NSW": options.max_steps, "IBRION": 2, "ISIF": 3, "EDIFFG": -options.max_force}
        return incar | options.incar
