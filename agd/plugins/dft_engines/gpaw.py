"""GPAW, an open code: PBE with PAW sets and plane waves (10.1063/5.0182685); `make gpaw` installs it."""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from agd.plugins.dft_engines.ase_engine import MORE_STEPS, AseEngine, Mending, Plan, package_version
from agd.plugins.dft_engines.bands import TooFewBandsError, band_edges
from agd.plugins.dft_engines.settings import DftOptions
from agd.recipes import BandEdges, Failure, Recipe
from agd.types import Structure

_CURE = "`make gpaw` builds it, with a C++ compiler alone"


class GpawOptions(DftOptions):
    """Inputs of recipes of GPAW."""

    relax_cutoff_ev: float = Field(
        700.0, gt=0.0, description="Of a relaxation, in eV: the stress at 400 eV makes LiF and MgO collapse."
    )
    bands: str = Field("200%", pattern=r"^\d+%$", description="Bands, as a share of those that are occupied.")
    converged_above_ev: float = Field(
        1.0, ge=0.0, description="Bands converge up to so far above the gap; occupied ones alone leave CaS 0.7 eV off."
    )
    n_cycles: int = Field(200, ge=1, description="Cycles of self-consistency at most.")


class Gpaw(AseEngine):
    """GPAW as it is installed here, one core each."""

    options_type: ClassVar[type[GpawOptions]] = GpawOptions
    name: ClassVar[str] = "gpaw"
    method: ClassVar[str] = "gpaw-pbe"
    ladders: ClassVar[Mapping[Failure, Sequence[Mending]]] = {
        "electronic": (
            Mending(
                "a careful mixer",
                lambda plan: {
                    "mixer": {"backend": "pulay", "beta": 0.02, "nmaxold": 8, "weight": 100},
                    "n_cycles": max(2 * int(plan["n_cycles"]), 400),
                },
            ),
            Mending("smearing of 0.2 eV", lambda _: {"smearing_ev": 0.2}),
            Mending("half as many bands again", lambda plan: {"bands": _more(plan["bands"])}),
        ),
        "bands": (
            Mending("half as many bands again", lambda plan: {"bands": _more(plan["bands"])}),
            Mending("half as many bands again", lambda plan: {"bands": _more(plan["bands"])}),
        ),
        "ionic": (MORE_STEPS,),
    }

    @property
    def version(self) -> str:
        """GPAW and its PAW sets, without loading them."""
        return ", ".join(package_version(one, _CURE) for one in ("gpaw", "gpaw-data"))

    def plan(self, structure: Structure, recipe: Recipe) -> dict[str, Any]:
        """What all engines plan, and GPAW's own; a relaxation takes the larger cutoff."""
        plan, options = super().plan(structure, recipe), GpawOptions.model_validate(dict(recipe.inputs))
        if recipe.kind == "relax":
            plan["cutoff_ev"] = max(plan["cutoff_ev"], options.relax_cutoff_ev)
        own = {"bands": options.bands, "converged_above_ev": options.converged_above_ev, "n_cycles": options.n_cycles}
        return plan | own | {"mixer": None}

    @classmethod
    def unknown(cls, species: Sequence[str]) -> list[str]:
        """The elements without a PBE set in the folders where GPAW looks; none where no folder is known."""
        folders = _setup_folders()
        return [
            symbol
            for symbol in set(species)
            if folders
            and not any((folder / f"{symbol}.PBE{end}").is_file() for folder in folders for end in ("", ".gz"))
        ]

    @classmethod
    def make_calculator(cls, plan: Plan, folder: Path) -> Any:
        """GPAW's calculator; what it has to say it says in `gpaw.txt`, which goes on where it is there."""
        from gpaw import GPAW

        more = {} if plan["mixer"] is None else {"mixer": plan["mixer"]}
        return GPAW(
            mode={"name": "pw", "ecut": plan["cutoff_ev"]},
            xc="PBE",
            kpts={"size": plan["mesh"], "gamma": True},
            nbands=plan["bands"],
            convergence={"bands": f"CBM+{plan['converged_above_ev']}", "energy": plan["energy_ev"]},
            occupations={"name": "fermi-dirac", "width": plan["smearing_ev"]},
            maxiter=plan["n_cycles"],
            spinpol=plan["moments"] is not None,
            txt=(folder / "gpaw.txt").open("a", encoding="utf-8"),
            **more,
        )

    @classmethod
    def bands(cls, calculator: Any) -> BandEdges:
        """The edges on the mesh."""
        k_points = np.asarray(calculator.get_ibz_k_points())
        eigenvalues = np.array(
            [
                [calculator.get_eigenvalues(kpt=k, spin=spin) for k in range(len(k_points))]
                for spin in range(calculator.get_number_of_spins())
            ]
        )
        return band_edges(eigenvalues, eigenvalues <= calculator.get_fermi_level(), k_points)

    @classmethod
    def failure_of(cls, error: Exception) -> Failure:
        """By the names of GPAW's own errors."""
        name = type(error).__name__
        if isinstance(error, TooFewBandsError) or name == "TooFewBandsError":
            return "bands"
        if name in {"KohnShamConvergenceError", "ConvergenceError", "PoissonConvergenceError"}:
            return "electronic"
        if name in {"AtomsTooClose", "SymmetryBrokenError"}:
            return "structure"
        if isinstance(error, FileNotFoundError) and "PAW dataset" in str(error):
            return "element"
        return super().failure_of(error)


def _more(bands: str) -> str:
    return f"{int(bands.rstrip('%')) * 3 // 2}%"


def _setup_folders() -> list[Path]:
    """Where GPAW looks for PAW sets: those that the environment names, and the package of them."""
    named = [Path(one) for one in os.environ.get("GPAW_SETUP_PATH", "").split(os.pathsep) if one]
    spec = find_spec("gpaw_data")
    brought = [] if spec is None or not spec.submodule_search_locations else list(spec.submodule_search_locations)
    return [*named, *(Path(one, "setups") for one in brought)]
