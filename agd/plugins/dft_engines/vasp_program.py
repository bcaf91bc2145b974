"""What `vasp` runs in a folder: VASP under custodian's eyes, `python -m agd.plugins.dft_engines.vasp_program COMMAND`.

Each ionic step of every run is kept; what was cut off goes on from the last geometry.
"""

import logging
import shutil
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agd.plugins.dft_engines import folders, vasp_files
from agd.plugins.dft_engines.ase_engine import first_line
from agd.plugins.dft_engines.leash import LEASHED, alone_in, hold_leash
from agd.plugins.dft_engines.vasp_files import Harvest

if TYPE_CHECKING:
    import subprocess

    from agd.recipes import Failure

_MAX_CORRECTIONS = 5
_LOOK_S = 1
_MONITOR_EVERY = 10


def main(arguments: list[str]) -> int:
    """Work in the current folder; 0 where that is done, 1 where it failed and the folder says why."""
    if LEASHED in arguments:
        hold_leash()
    folder = Path.cwd()
    with alone_in(folder):
        return work([word for word in arguments if word != LEASHED], folder)


def work(command: list[str], folder: Path) -> int:
    """Have VASP do what a folder asks for, unless that is done."""
    result = folders.read_json(folder / folders.RESULT)
    if result is not None and result["state"] == "done":
        return 0
    warnings.simplefilter("ignore")  # this process is pymatgen's and custodian's alone
    logging.getLogger("custodian").setLevel(logging.CRITICAL)
    go_on(folder)
    trouble: str | None = None
    if shutil.which(command[0]) is None:
        trouble = f"there is no program {command[0]}: say in AGD_VASP_COMMAND how this site starts VASP"
    else:
        try:
            _custodian(command, folder).run()
        except Exception as error:  # noqa: BLE001  whatever custodian gives up with, the folder says it
            trouble = first_line(error)
    return _conclude(folder, trouble)


def go_on(folder: Path) -> None:
    """Keep the steps of a run that was cut off, and begin where it ended."""
    harvest = Harvest.of(folder)
    if harvest.steps:
        _keep(folder, harvest)
        asked = folders.read_json(folder / folders.INPUT)
        if asked is not None and asked["plan"]["kind"] == "relax":
            _write_poscar(folder, harvest)
    (folder / vasp_files.OUTPUT).unlink(missing_ok=True)


def _custodian(command: list[str], folder: Path) -> Any:
    """VASP with custodian's handlers, each of its runs harvested before the next one overwrites it."""
    from custodian.custodian import Custodian
    from custodian.vasp import handlers
    from custodian.vasp.jobs import VaspJob
    from custodian.vasp.validators import VaspFilesValidator, VasprunXMLValidator

    class Harvested(VaspJob):  # type: ignore[misc]  # the library has no types
        """VASP, whose steps are kept whatever becomes of it."""

        def run(self, directory: str = "./") -> "subprocess.Popen[bytes]":
            """Keep what is there, and start it."""
            _keep(folder, Harvest.of(folder))
            (folder / vasp_files.OUTPUT).unlink(missing_ok=True)
            started: subprocess.Popen[bytes] = super().run(directory)
            return started

    watched = [
        *(handlers.VaspErrorHandler(), handlers.StdErrHandler(), handlers.FrozenJobErrorHandler()),
        *(handlers.NonConvergingErrorHandler(), handlers.PotimErrorHandler(), handlers.PositiveEnergyErrorHandler()),
        *(handlers.UnconvergedErrorHandler(), handlers.MeshSymmetryErrorHandler(), handlers.LargeSigmaHandler()),
    ]
    return Custodian(
        watched,
        [Harvested(command, auto_gamma=False)],
        validators=[VasprunXMLValidator(), VaspFilesValidator()],
        max_errors=_MAX_CORRECTIONS,
        polling_time_step=_LOOK_S,
        monitor_freq=_MONITOR_EVERY,
        directory=str(folder),
    )


def _conclude(folder: Path, trouble: str | None) -> int:
    """Say how it ended, by what VASP wrote last."""
    harvest = Harvest.of(folder)
    _keep(folder, harvest)
    asked = folders.read_json(folder / folders.INPUT) or {"plan": {}}
    said = {
        "code_version": harvest.version or "vasp",
        "settings": asked["plan"],
        "corrections": vasp_files.corrections(folder),
    }
    is_relaxed = asked["plan"].get("kind") != "relax" or _is_relaxed(harvest, asked["plan"])
    if trouble is None and harvest.steps and harvest.is_electronic and is_relaxed:
        folders.write_result(folder, state="done", bands=harvest.bands, **said)
        return 0
    failure: Failure = "program"
    if harvest.steps and not harvest.is_electronic:
        failure = "electronic"
    elif harvest.steps and not is_relaxed:
        failure = "ionic"
    reason = trouble or "VASP ended without converging, and said nothing"
    if not (folder / "POTCAR").is_file():
        reason += "; there is no POTCAR: say in PMG_VASP_PSP_DIR where VASP's potentials are"
    folders.write_result(folder, state="failed", failure=failure, reason=reason, **said)
    return 1


def _is_relaxed(harvest: Harvest, plan: Mapping[str, Any]) -> bool:
    """Whether forces are small: of one step alone pymatgen says in any case that it has converged."""
    if not harvest.steps or not harvest.is_ionic:
        return False
    force = np.linalg.norm(harvest.steps[-1].forces_ev_per_angstrom, axis=1).max()
    return bool(plan["incar"]["NSW"] > 1 or force <= -plan["incar"]["EDIFFG"])


def _keep(folder: Path, harvest: Harvest) -> None:
    """Add steps to those that are kept, but for those that are there."""
    there = {one.structure.frac.tobytes() + one.structure.lattice.tobytes() for one in folders.read_steps(folder)}
    number = len(there)
    for step in harvest.steps:
        if step.structure.frac.tobytes() + step.structure.lattice.tobytes() not in there:
            folders.append_step(folder, number, step)
            number += 1


def _write_poscar(folder: Path, harvest: Harvest) -> None:
    """Begin where the last whole step was; what CONTCAR says may have been cut off within."""
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure
    from pymatgen.io.vasp.inputs import Poscar

    last = harvest.steps[-1].structure
    Poscar(Structure(Lattice(last.lattice), list(last.species), last.frac)).write_file(
        str(folder / "POSCAR"), significant_figures=16
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
