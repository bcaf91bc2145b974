"""What it takes to go on with a relaxation to the same bits: the geometry and the optimiser's state, in one file."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from agd.writing import whole_file

if TYPE_CHECKING:
    from ase import Atoms

_VERSION = 1


class Checkpoint:
    """The last step of a relaxation, in a file that is whole or not there; without a path nothing is kept.

    Geometry and the matrix of second derivatives belong together: one of them alone leads elsewhere. ASE's optimiser
    writes its own to a file of its choosing; it is kept beside the geometry as it stands, digit for digit.
    """

    def __init__(self, path: Path | None, folder: Path) -> None:
        """`folder` is one that is gone afterwards."""
        self.path = path
        self._optimizer_file = folder / "optimizer.json"

    @classmethod
    @contextmanager
    def at(cls, path: Path | None) -> Iterator[Self]:
        """The checkpoint in that file, which may be there already."""
        with tempfile.TemporaryDirectory(prefix="agd-relax-") as folder:
            yield cls(path, Path(folder))

    @property
    def optimizer_file(self) -> str | None:
        """Where ASE's optimiser keeps its state, and reads it from if it is there."""
        return None if self.path is None else str(self._optimizer_file)

    def restore(self, atoms: "Atoms") -> int:
        """Put cell and atoms where they were, and the optimiser's state where it looks for it; steps done so far.

        A file that another version wrote, or of other atoms, counts for nothing.
        """
        if self.path is None or not self.path.is_file():
            return 0
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            cell, positions = np.array(kept["cell"], dtype=np.float64), np.array(kept["positions"], dtype=np.float64)
            is_same = kept["version"] == _VERSION and kept["species"] == atoms.get_chemical_symbols()
            n_steps, optimizer = int(kept["n_steps"]), str(kept["optimizer"])
        except (ValueError, KeyError, TypeError):
            return 0
        if not is_same or n_steps == 0:
            return 0
        atoms.set_cell(cell)
        atoms.set_positions(positions)
        self._optimizer_file.write_text(optimizer, encoding="utf-8")
        return n_steps

    def keep(self, atoms: "Atoms", n_steps: int) -> None:
        """Replace the file by this step's; before the first there is nothing worth keeping."""
        if self.path is None or n_steps == 0:
            return
        kept = {
            "version": _VERSION,
            "species": atoms.get_chemical_symbols(),
            "n_steps": n_steps,
            "cell": atoms.cell.array.tolist(),
            "positions": atoms.positions.tolist(),
            "optimizer": self._optimizer_file.read_text(encoding="utf-8"),
        }
        with whole_file(self.path, replaces=True) as file:
            file.write(json.dumps(kept).encode())
