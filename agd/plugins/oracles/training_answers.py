"""What an oracle says of its own training compositions: never the word of a model that saw them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import N_ELEMENTS
from agd.chem.identity import reduce_counts
from agd.errors import InputError, ModelError
from agd.nets.arrays import checked, part, prefixed
from agd.types import Counts, Floats, Prediction, Tensors, TrainingTable

if TYPE_CHECKING:
    from agd.nets.calibration import OutOfFold

_PREFIX: Final = "training"
_KINDS: Final = {
    "n_elements": np.uint8,
    "column": np.uint8,
    "amount": np.int32,
    "value": np.float64,
    "uncertainty": np.float64,
}
_WHAT: Final = "the out-of-fold answers"


@dataclass(frozen=True, slots=True, eq=False)
class TrainingAnswers:
    """Out-of-fold values and uncertainties `[m]` of distinct compositions, reduced counts `[m, 103]`."""

    counts: Counts
    values: Floats
    uncertainties: Floats
    _rows: dict[bytes, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Index the compositions."""
        object.__setattr__(self, "_rows", {row.tobytes(): i for i, row in enumerate(self.counts)})

    def instead_of(self, prediction: Prediction, counts: Counts) -> Prediction:
        """Answer the rows of `[n, 103]` that are training compositions; the others keep the prediction."""
        found = np.array([self._rows.get(row.tobytes(), -1) for row in reduce_counts(counts)], dtype=np.intp)
        is_known = found >= 0
        values, uncertainties = prediction.values.copy(), prediction.uncertainties.copy()
        values[is_known] = self.values[found[is_known]]
        uncertainties[is_known] = self.uncertainties[found[is_known]]
        return Prediction(values, uncertainties)

    def to_tensors(self) -> Tensors:
        """Arrays named `training.`: the elements of each composition and their amounts, and the two answers."""
        rows, columns = np.nonzero(self.counts)
        arrays = {
            "n_elements": np.count_nonzero(self.counts, axis=1).astype(np.uint8),
            "column": columns.astype(np.uint8),
            "amount": self.counts[rows, columns].astype(np.int32),
            "value": self.values,
            "uncertainty": self.uncertainties,
        }
        return prefixed(_PREFIX, arrays)

    @classmethod
    def split(cls, tensors: Tensors) -> tuple[Self | None, Tensors]:
        """Take a model's tensors apart: these answers, None where it keeps none, and the rest.

        Raises:
            ModelError: the arrays have been altered.
        """
        own = part(_PREFIX, tensors)
        if not own:
            return None, tensors
        arrays = checked(own, _KINDS, _WHAT)
        n_elements, columns, amounts = arrays["n_elements"], arrays["column"], arrays["amount"]
        n = len(n_elements)
        is_broken = (
            n_elements.sum(dtype=np.int64) != len(columns)
            or len(columns) != len(amounts)
            or n != len(arrays["value"])
            or n != len(arrays["uncertainty"])
            or columns.max(initial=0) >= N_ELEMENTS
            or amounts.min(initial=1) < 1
            or arrays["uncertainty"].min(initial=1.0) <= 0.0
        )
        if is_broken:
            raise ModelError(f"{_WHAT} have been altered, or are of another architecture")
        counts = np.zeros((n, N_ELEMENTS), dtype=np.int32)
        counts[np.repeat(np.arange(n), n_elements), columns] = amounts
        answers = cls(counts, arrays["value"], arrays["uncertainty"])
        if not _are_compositions(counts, n_elements) or len(answers._rows) != n:
            raise ModelError(f"{_WHAT} have been altered: they are not of distinct reduced compositions")
        return answers, {name: array for name, array in tensors.items() if not name.startswith(f"{_PREFIX}.")}


@dataclass(frozen=True, slots=True, eq=False)
class SeenRows:
    """The rows of a table that a fit may see: `counts` `[n, 103]` and `values` `[n]`.

    `distinct` `[m, 103]` are their reduced compositions, and `groups` `[n]` tells which of them a row is.
    """

    counts: Counts
    values: Floats
    distinct: Counts
    groups: NDArray[np.intp]

    @classmethod
    def of(cls, table: TrainingTable, kind: str) -> Self:
        """Take them; raises InputError for a table without finite values, or with none to see."""
        if table.values is None or not np.isfinite(table.values).all():
            raise InputError(f"the oracle {kind} needs a finite value for every row of its training table")
        is_seen = ~table.is_held_out
        if not is_seen.any():
            raise InputError(f"the oracle {kind} needs at least one row that is not held out")
        counts = table.counts[is_seen]
        distinct, groups = np.unique(reduce_counts(counts), axis=0, return_inverse=True)
        return cls(counts, table.values[is_seen], distinct, groups.reshape(-1))

    def answers(self, out_of_fold: "OutOfFold") -> TrainingAnswers:
        """Keep what is said of each composition; its rows are told the same."""
        first = np.empty(len(self.distinct), dtype=np.intp)
        first[self.groups[::-1]] = np.arange(len(self.groups))[::-1]
        return TrainingAnswers(self.distinct, out_of_fold.values[first], out_of_fold.uncertainties[first])


def _are_compositions(counts: Counts, n_elements: NDArray[np.uint8]) -> bool:
    return bool((np.count_nonzero(counts, axis=1) == n_elements).all() and n_elements.min(initial=1) > 0) and bool(
        np.array_equal(reduce_counts(counts), counts)
    )
