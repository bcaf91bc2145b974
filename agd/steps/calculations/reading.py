"""Reading what calculations left, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agd.db.record import calculations
from agd.errors import NotFoundError
from agd.types import Floats
from agd.work.workspace import Workspace


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Phonons as they are drawn: along a path `[p]`, `[p, modes]`, and on a mesh `[q]`, `[q, modes]`, in THz."""

    path_distances: Floats
    path_labels: Sequence[str]
    path_frequencies_thz: Floats
    mesh_weights: NDArray[np.int64]
    mesh_frequencies_thz: Floats


def spectrum_of(workspace: Workspace, calculation_id: int) -> Curves:
    """The frequencies of a calculation of phonons.

    Raises:
        NotFoundError: it is none, or not done.
    """
    with workspace.database.read() as tx:
        row = calculations.spectrum_of(tx, calculation_id)
    if row is None:
        raise NotFoundError(f"calculation {calculation_id} has no phonons")
    n_points, n_mesh = len(row.path_distances), len(row.mesh_weights)
    return Curves(
        np.array(row.path_distances, dtype=np.float64),
        row.path_labels,
        np.array(row.path_frequencies_thz, dtype=np.float64).reshape(n_points, -1),
        np.array(row.mesh_weights, dtype=np.int64),
        np.array(row.mesh_frequencies_thz, dtype=np.float64).reshape(n_mesh, -1),
    )
