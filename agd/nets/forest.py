"""Random forest regression kept as plain arrays, with an uncertainty calibrated on out-of-bag predictions.

The trees are grown by scikit-learn (Breiman 2001, doi:10.1023/A:1010933404324) and rebuilt from arrays checked first.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls  # type: ignore[attr-defined]  # scipy ships no types
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree._tree import NODE_DTYPE, Tree
from threadpoolctl import threadpool_info

from agd.errors import ModelError
from agd.protocols import Progress, silent
from agd.types import Floats, Tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAF = -1
_TREES_PER_REPORT = 10
_ONE_SIGMA = 0.6826894921370859
_LEAST_SIGMA = 1e-3
"""Floor of an uncertainty, in standard deviations of the training values."""


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees over `n_features` float32 features.

    `calibration` `[4]` holds the weights of 1, spread and |mean| in an uncertainty, and its floor.
    """

    trees: "Sequence[Tree]"
    n_features: int
    calibration: Floats

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
        progress: Progress = silent,
    ) -> Self:
        """Grow trees on `features` `[n, n_features]` and `values` `[n]`, the same ones on any number of threads."""
        features = np.ascontiguousarray(features, dtype=np.float32)
        regressor = RandomForestRegressor(  # type: ignore[no-untyped-call]  # scikit-learn ships no types
            max_features=max_features,
            min_samples_leaf=min_samples_leaf,
            random_state=seed,
            n_jobs=max((pool["num_threads"] for pool in threadpool_info()), default=1),
            warm_start=True,
        )
        for done in range(_TREES_PER_REPORT, n_trees + _TREES_PER_REPORT, _TREES_PER_REPORT):
            regressor.n_estimators = min(done, n_trees)
            regressor.fit(features, values)
            progress(min(done, n_trees), n_trees, "trees")
        trees = [estimator.tree_ for estimator in regressor.estimators_]
        return cls(trees, features.shape[1], _calibrate(trees, regressor.estimators_samples_, features, values))

    def predict(self, features: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Mean and uncertainty, both `[n]`, of `features` `[n, n_features]`; bitwise the same in any batch."""
        features = np.ascontiguousarray(features, dtype=np.float32)
        tally = _Tally(len(features))
        for tree in self.trees:
            tally.add(slice(None), tree.predict(features)[:, 0])
        mean, spread = tally.mean_and_spread()
        return mean, _uncertainties(self.calibration, mean, spread)

    def to_tensors(self) -> Tensors:
        """Plain arrays: `feature` of every node (-1 for a leaf), the rest of inner nodes or leaves in their order.

        Children are numbered within their tree. Thresholds are rounded down to float32, which moves no float32 feature.
        """
        features = [tree.feature for tree in self.trees]
        is_inner = [feature >= 0 for feature in features]
        thresholds = np.concatenate([tree.threshold[inner] for tree, inner in zip(self.trees, is_inner, strict=True)])
        rounded = thresholds.astype(np.float32)
        inner_of = list(zip(self.trees, is_inner, strict=True))
        return {
            "n_nodes": np.array([len(feature) for feature in features], dtype=np.int32),
            "feature": np.maximum(np.concatenate(features), _LEAF).astype(np.int16),
            "threshold": np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded),
            "left": np.concatenate([tree.children_left[inner] for tree, inner in inner_of]).astype(np.int32),
            "right": np.concatenate([tree.children_right[inner] for tree, inner in inner_of]).astype(np.int32),
            "leaf_value": np.concatenate([tree.value[~inner, 0, 0] for tree, inner in inner_of]),
            "calibration": self.calibration,
        }

    @classmethod
    def from_tensors(cls, tensors: Tensors, *, n_features: int) -> Self:
        """Rebuild a forest; raises ModelError where the arrays are not those of trees over `n_features` features."""
        arrays = _checked(tensors, n_features)
        is_inner = arrays["feature"] != _LEAF
        nodes = np.zeros(len(is_inner), dtype=NODE_DTYPE)
        nodes["left_child"] = nodes["right_child"] = _LEAF
        nodes["feature"] = arrays["feature"]
        for field, name in (("left_child", "left"), ("right_child", "right"), ("threshold", "threshold")):
            nodes[field][is_inner] = arrays[name]
        values = np.zeros((len(is_inner), 1, 1))
        values[~is_inner, 0, 0] = arrays["leaf_value"]
        stops = np.cumsum(arrays["n_nodes"], dtype=np.int64)
        trees = [
            _tree(nodes[start:stop], values[start:stop], n_features)
            for start, stop in zip(stops - arrays["n_nodes"], stops, strict=True)
        ]
        return cls(trees, n_features, np.asarray(arrays["calibration"], dtype=np.float64))


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


def _calibrate(
    trees: "Sequence[Tree]", samples: "Sequence[NDArray[np.intp]]", features: NDArray[np.float32], values: Floats
) -> Floats:
    """Fit |residual| to non-negative weights of 1, spread and |mean|; scale it to hold one sigma of the residuals.

    Each row is judged by the trees that did not see it.
    """
    tally = _Tally(len(values))
    for tree, sample in zip(trees, samples, strict=True):
        is_out = np.ones(len(values), dtype=np.bool_)
        is_out[sample] = False
        tally.add(is_out, tree.predict(features[is_out])[:, 0])
    is_judged = tally.n > 1.0
    floor = max(_LEAST_SIGMA * float(values.std()), np.finfo(np.float32).tiny)
    if not is_judged.any():
        return np.array([float(values.std()), 0.0, 0.0, floor])
    mean, spread = (column[is_judged] for column in tally.mean_and_spread())
    residuals = np.abs(values[is_judged] - mean)
    weights, _ = nnls(np.stack([np.ones(len(mean)), spread, np.abs(mean)], axis=1), residuals)
    uncertainties = _uncertainties(np.array([*weights, floor]), mean, spread)
    return np.array([*(weights * np.quantile(residuals / uncertainties, _ONE_SIGMA)), floor])


def _uncertainties(calibration: Floats, mean: Floats, spread: Floats) -> Floats:
    constant, per_spread, per_mean, floor = calibration
    return np.asarray(np.maximum(constant + per_spread * spread + per_mean * np.abs(mean), floor))


def _tree(nodes: NDArray[np.void], values: Floats, n_features: int) -> Tree:
    tree = Tree(n_features, np.array([1], dtype=np.intp), 1)
    # The depth serves decision paths alone, and nothing here asks for one.
    tree.__setstate__({"max_depth": 0, "node_count": len(nodes), "nodes": nodes, "values": values})
    return tree


def _checked(tensors: Tensors, n_features: int) -> dict[str, NDArray[Any]]:
    kinds = {
        "n_nodes": np.int32,
        "feature": np.int16,
        "threshold": np.float32,
        "left": np.int32,
        "right": np.int32,
        "leaf_value": np.float64,
        "calibration": np.float64,
    }
    if set(tensors) != set(kinds):
        raise ModelError(f"a forest holds the arrays {', '.join(kinds)}, not {', '.join(sorted(tensors)) or 'none'}")
    for name, kind in kinds.items():
        if tensors[name].dtype != kind or tensors[name].ndim != 1:
            raise ModelError(f"array {name} of the forest must be {np.dtype(kind)} [n]: it has been altered")
    arrays: dict[str, NDArray[Any]] = dict(tensors)
    n_nodes, feature = arrays["n_nodes"], arrays["feature"]
    n_inner = int((feature != _LEAF).sum())
    problems = {
        "its tree sizes": len(n_nodes) == 0 or n_nodes.min() < 1 or n_nodes.sum(dtype=np.int64) != len(feature),
        "its features": feature.min(initial=0) < _LEAF or feature.max(initial=0) >= n_features,
        "the number of its inner nodes": any(len(arrays[name]) != n_inner for name in ("threshold", "left", "right")),
        "the number of its leaves": len(arrays["leaf_value"]) != len(feature) - n_inner,
        "a number that is not finite": any(not np.isfinite(arrays[name]).all() for name in kinds),
        "its calibration": arrays["calibration"].shape != (4,)
        or not (arrays["calibration"] >= [0, 0, 0, 5e-324]).all(),
    }
    for problem, is_wrong in problems.items():
        if is_wrong:
            raise ModelError(f"the forest has been altered, or is one of another architecture: {problem}")
    if not _are_trees(n_nodes, feature != _LEAF, arrays["left"], arrays["right"]):
        raise ModelError("the forest has been altered: its nodes are not those of trees")
    return arrays


def _are_trees(
    n_nodes: NDArray[np.int32], is_inner: NDArray[np.bool_], left: NDArray[np.int32], right: NDArray[np.int32]
) -> bool:
    """Whether every child comes after its parent in the same tree, and every node but a root has one parent."""
    roots = np.cumsum(n_nodes, dtype=np.int64) - n_nodes
    parents = np.flatnonzero(is_inner)
    starts, sizes = np.repeat(roots, n_nodes)[parents], np.repeat(n_nodes, n_nodes)[parents]
    n_parents = np.bincount(roots, minlength=len(is_inner))
    for child in (left, right):
        if ((child <= parents - starts) | (child >= sizes)).any():
            return False
        n_parents += np.bincount(starts + child, minlength=len(is_inner))
    return bool((n_parents == 1).all())
