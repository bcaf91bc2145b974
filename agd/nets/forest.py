"""Forests of regression trees kept as plain arrays, with an uncertainty calibrated on out-of-bag predictions.

Random forest: Breiman 2001, doi:10.1023/A:1010933404324. Extremely randomised trees: Geurts et al. 2006,
doi:10.1007/s10994-006-6226-1, here each grown on a bootstrap sample. Both are grown by scikit-learn.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from agd.errors import ModelError
from agd.nets.arrays import checked
from agd.nets.calibration import OutOfFold, calibrate, is_calibration, uncertainties
from agd.nets.threads import n_threads
from agd.nets.trees import TREE_ARRAYS, from_arrays, to_arrays
from agd.progress import Progress, silent
from agd.seeds import spawn_seeds
from agd.types import Floats, Tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sklearn.tree._tree import Tree

_WHAT: Final = "the forest"
_KINDS: Final = {**TREE_ARRAYS, "calibration": np.float64}
_GROWERS: Final = {"random_forest": RandomForestRegressor, "extra_trees": ExtraTreesRegressor}
_TREES_PER_REPORT = 10
_MOST_ANSWERS = 4_000_000
"""Answers of trees that are held at once."""
_N_SEEDS = 2**32
"""scikit-learn takes no larger ones."""

Answer: TypeAlias = Literal["mean", "median"]
"""How the answers of the trees become one: the median errs less in most places, the mean has the smaller squares."""


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees over `n_features` float32 features.

    `calibration` `[4]` holds the weights of 1, spread and |mean| in an uncertainty, and its floor.
    """

    trees: "Sequence[Tree]"
    n_features: int
    calibration: Floats
    answer: Answer = "mean"

    @classmethod
    def fit(
        cls,
        features: NDArray[np.floating],
        values: Floats,
        *,
        n_trees: int,
        max_features: float,
        min_samples_leaf: int,
        seed: int,
        grower: Literal["random_forest", "extra_trees"] = "random_forest",
        answer: Answer = "mean",
        groups: NDArray[np.intp] | None = None,
        progress: Progress = silent,
    ) -> tuple[Self, OutOfFold]:
        """Grow trees on `features` `[n, n_features]` and `values` `[n]`, the same ones on any number of threads.

        Also returned: what the trees that left a row out say of it, and of a row that none left out, all trees. Rows of
        one group `[n]` (each of its own, if None) are one composition: a tree has left out all of them or none.
        """
        features = np.ascontiguousarray(features, dtype=np.float32)
        regressor = _GROWERS[grower](  # type: ignore[no-untyped-call]  # scikit-learn ships no types
            max_features=max_features,
            min_samples_leaf=min_samples_leaf,
            bootstrap=True,
            random_state=seed if seed < _N_SEEDS else spawn_seeds(seed, 1)[0],
            n_jobs=n_threads(),
            warm_start=True,
        )
        for done in range(_TREES_PER_REPORT, n_trees + _TREES_PER_REPORT, _TREES_PER_REPORT):
            regressor.n_estimators = min(done, n_trees)
            regressor.fit(features, values)
            progress(min(done, n_trees), n_trees, "trees")
        trees = [estimator.tree_ for estimator in regressor.estimators_]
        groups = np.arange(len(values)) if groups is None else groups
        is_out = _left_out(regressor.estimators_samples_, groups)
        said, spread, n_asked = _asked(trees, features, answer, is_out)
        is_judged, is_seen_by_all = n_asked > 1.0, n_asked == 0.0
        calibration = calibrate(
            [spread[is_judged], np.abs(said[is_judged])],
            np.abs(values[is_judged] - said[is_judged]),
            float(values.std()),
        )
        forest = cls(trees, features.shape[1], calibration, answer)
        sigmas = uncertainties(calibration, [spread, np.abs(said)])
        said[is_seen_by_all], sigmas[is_seen_by_all] = forest.predict(features[is_seen_by_all])
        return forest, OutOfFold(said, sigmas, is_judged)

    def predict(self, features: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Answer and uncertainty, both `[n]`, of `features` `[n, n_features]`; bitwise the same in any batch."""
        features = np.ascontiguousarray(features, dtype=np.float32)
        said, spread, _ = _asked(self.trees, features, self.answer)
        return said, uncertainties(self.calibration, [spread, np.abs(said)])

    def to_tensors(self) -> Tensors:
        """The arrays of its trees and its calibration."""
        return {**to_arrays(self.trees), "calibration": self.calibration}

    @classmethod
    def from_tensors(cls, tensors: Tensors, *, n_features: int, answer: Answer = "mean") -> Self:
        """Rebuild a forest; raises ModelError where the arrays are not those of trees over `n_features` features."""
        arrays = checked(tensors, _KINDS, _WHAT)
        trees = from_arrays(arrays, n_features, _WHAT)
        if not is_calibration(arrays["calibration"], n_columns=2):
            raise ModelError(f"{_WHAT} has been altered, or is one of another architecture: its calibration")
        return cls(trees, n_features, np.asarray(arrays["calibration"], dtype=np.float64), answer)


class _Tally:
    """Running sums per row, in the order of the calls: no reduction whose rounding depends on the batch."""

    def __init__(self, n: int) -> None:
        self.n, self.total, self.squares = np.zeros(n), np.zeros(n), np.zeros(n)

    def add(self, rows: "slice | NDArray[np.bool_]", values: Floats) -> None:
        self.n[rows] += 1.0
        self.total[rows] += values
        self.squares[rows] += values * values

    def mean_and_spread(self) -> tuple[Floats, Floats]:
        n = np.maximum(self.n, 1.0)
        mean = self.total / n
        return mean, np.sqrt(np.maximum(self.squares / n - mean * mean, 0.0))


def _left_out(samples: "Sequence[NDArray[np.intp]]", groups: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which rows each tree has not seen, nor others of their group: `[n_trees, n]`."""
    is_out = np.empty((len(samples), len(groups)), dtype=np.bool_)
    for i, sample in enumerate(samples):
        is_in = np.zeros(int(groups.max()) + 1, dtype=np.bool_)
        is_in[groups[sample]] = True
        is_out[i] = ~is_in[groups]
    return is_out


def _asked(
    trees: "Sequence[Tree]", features: NDArray[np.float32], answer: Answer, is_out: NDArray[np.bool_] | None = None
) -> tuple[Floats, Floats, Floats]:
    """Answer, spread and number of the trees that are asked, `[n]` each.

    All are, or those alone that have left the row out `[n_trees, n]`.
    """
    said, spread, n_asked = (np.empty(len(features)) for _ in range(3))
    n_rows = max(1, _MOST_ANSWERS // len(trees))
    for start in range(0, len(features), n_rows):
        rows = slice(start, start + n_rows)
        block = features[rows]
        tally, answers = _Tally(len(block)), np.full((len(trees), len(block)), np.inf)
        for i, tree in enumerate(trees):
            asked = slice(None) if is_out is None else is_out[i, rows]
            if len(of_tree := block[asked]):
                answers[i, asked] = tree.predict(of_tree)[:, 0]
                tally.add(asked, answers[i, asked])
        n_asked[rows] = tally.n
        said[rows], spread[rows] = tally.mean_and_spread()
        if answer == "median":
            said[rows] = _medians(answers)
    return said, spread, n_asked


def _medians(answers: Floats) -> Floats:
    """Median `[n]` of the answers `[n_trees, n]` of trees, infinite where one was not asked, or nobody was."""
    answers.sort(axis=0)
    n = np.isfinite(answers).sum(axis=0)
    column = np.arange(answers.shape[1])
    return np.asarray(0.5 * (answers[np.maximum(n - 1, 0) // 2, column] + answers[n // 2, column]))
