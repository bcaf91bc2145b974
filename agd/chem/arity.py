"""Tables of compositions cut into dense groups with the same number of elements."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agd.types import Counts


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Rows `[m]` of the table that have k elements; their columns and amounts, `[k, m]` each, columns ascending."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    amounts: NDArray[np.int64]


def by_arity(counts: Counts, block: int = 16_384) -> Iterator[Group]:
    """Yield every non-empty row of `[n, 103]` once, in groups of at most `block` rows."""
    for start in range(0, len(counts), block):
        part = counts[start : start + block]
        rows, columns = np.nonzero(part)
        amounts = part[rows, columns].astype(np.int64)
        n_elements = np.bincount(rows, minlength=len(part))
        for arity in np.unique(n_elements[n_elements > 0]).tolist():
            members = np.nonzero(n_elements == arity)[0]
            cells = n_elements[rows] == arity
            yield Group(
                rows=members + start,
                columns=np.ascontiguousarray(columns[cells].reshape(-1, arity).T),
                amounts=np.ascontiguousarray(amounts[cells].reshape(-1, arity).T),
            )
