"""VASP's files: what goes in, by pymatgen's sets, and what comes out of `vasprun.xml`, whole or cut off."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from agd.plugins.dft_engines.bands import TooFewBandsError, band_edges
from agd.recipes import BandEdges, IonicStep
from agd.types import Structure

OUTPUT = "vasprun.xml"
_LOG = "custodian.json"
_GPA_PER_KBAR = 0.1

_PARSED = {"parse_potcar_file": False, "parse_dos": False, "exception_on_bad_xml": False}


@dataclass(frozen=True, slots=True, eq=False)
class Harvest:
    """What VASP has written: its version, each ionic step, the bands, and what it says has converged."""

    version: str = ""
    steps: Sequence[IonicStep] = ()
    bands: BandEdges | None = None
    is_electronic: bool = False
    is_ionic: bool = False

    @classmethod
    def of(cls, folder: Path) -> Self:
        """What is in a folder's `vasprun.xml`; nothing where none is, or no step of it is whole."""
        path = folder / OUTPUT
        if not path.is_file() or not path.stat().st_size:
            return cls()
        with _quiet():
            from pymatgen.io.vasp.outputs import Vasprun

            try:
                run = Vasprun(str(path), **_PARSED)
                steps = [step for one in run.ionic_steps if (step := _step(one)) is not None]
            except Exception:  # noqa: BLE001  a file that is cut off in its head makes pymatgen raise anything
                return cls()
            if not steps:
                return cls()
            return cls(
                f"vasp {run.vasp_version}",
                steps,
                _bands(run),
                bool(run.converged_electronic),
                bool(run.converged_ionic),
            )


def write_inputs(
    structure: Structure, incar: Mapping[str, Any], mesh: Sequence[int], potentials: str, folder: Path
) -> None:
    """Write INCAR, KPOINTS, POSCAR, and POTCAR or, where the site has told of no potentials, POTCAR.spec."""
    with _quiet():
        from pymatgen.core.lattice import Lattice
        from pymatgen.core.structure import Structure as Sites
        from pymatgen.io.vasp.inputs import Kpoints
        from pymatgen.io.vasp.sets import MPRelaxSet

        sites = Sites(Lattice(structure.lattice), list(structure.species), structure.frac)
        of_set = {name: None for name in MPRelaxSet.CONFIG["INCAR"] if name not in incar}
        plain = {name: value for name, value in incar.items() if name != "MAGMOM"}
        if "MAGMOM" in incar:
            sites.add_site_property("magmom", list(incar["MAGMOM"]))
        made = MPRelaxSet(
            sites,
            user_incar_settings={**of_set, **plain},
            user_kpoints_settings=Kpoints.gamma_automatic((mesh[0], mesh[1], mesh[2])),  # type: ignore[arg-type]  # taken
            user_potcar_functional=potentials,  # type: ignore[arg-type]  # any other is refused there
            sort_structure=False,
        )
        made.write_input(str(folder), potcar_spec=potentials_folder() is None)


def potential_names(species: Sequence[str]) -> dict[str, str | None]:
    """By element, which of its potentials is taken: MPRelaxSet's choice; None where there is none."""
    with _quiet():
        from pymatgen.io.vasp.sets import MPRelaxSet

        chosen = MPRelaxSet.CONFIG["POTCAR"]
    return {symbol: chosen.get(symbol) for symbol in dict.fromkeys(species)}


def missing_potentials(names: Sequence[str], functional: str) -> tuple[list[str], str | None]:
    """Which potentials are not in the folder that the site has told of, and that folder; none where it told of none."""
    folder = potentials_folder()
    if folder is None:
        return [], None
    with _quiet():
        from pymatgen.io.vasp.inputs import PotcarSingle

        missing = []
        for name in names:
            try:
                PotcarSingle.from_symbol_and_functional(name, functional)
            except (OSError, ValueError, KeyError):
                missing.append(name)
    return missing, folder


def potentials_folder() -> str | None:
    """Where the site keeps VASP's potentials: PMG_VASP_PSP_DIR of the environment, or of pymatgen's own settings."""
    from pymatgen.core import SETTINGS

    told = os.environ.get("PMG_VASP_PSP_DIR") or SETTINGS.get("PMG_VASP_PSP_DIR")
    if told:
        SETTINGS["PMG_VASP_PSP_DIR"] = told
    return told or None


def corrections(folder: Path) -> list[str]:
    """What custodian has mended so far, in words, oldest first."""
    try:
        runs = json.loads((folder / _LOG).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    return [_words(one) for run in runs for one in run.get("corrections", [])]


def _words(correction: Mapping[str, Any]) -> str:
    handler = correction.get("handler")
    name = handler.get("@class", "custodian") if isinstance(handler, Mapping) else str(handler)
    return f"{name}: {', '.join(map(str, correction.get('errors', ())))}"


def _step(one: Mapping[str, Any]) -> IonicStep | None:
    sites = one.get("structure")
    if sites is None or "forces" not in one or "e_0_energy" not in one:
        return None
    structure = Structure(
        np.array(sites.lattice.matrix), tuple(site.specie.symbol for site in sites), np.array(sites.frac_coords)
    )
    stress = None
    if "stress" in one:  # VASP's is of the other sign
        tensor = -_GPA_PER_KBAR * np.array(one["stress"])
        stress = tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return IonicStep(structure, float(one["e_0_energy"]) / len(sites), np.array(one["forces"]), stress)


def _bands(run: Any) -> BandEdges | None:
    """By the occupations that VASP says."""
    if not run.eigenvalues:
        return None
    values = np.array([run.eigenvalues[spin] for spin in sorted(run.eigenvalues, key=lambda spin: -spin.value)])
    full = 2.0 if values[..., 1].max() > 1.5 else 1.0  # noqa: PLR2004  between one electron in a state and two
    try:
        return band_edges(values[..., 0], values[..., 1] > full / 2, np.array(run.actual_kpoints))
    except TooFewBandsError:
        return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave unsaid what pymatgen says of its own affairs, such as of potentials that are not there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
