"""Gradient boosting by two libraries behind one shape, kept as plain arrays.

Friedman 2001, doi:10.1214/aos/1013203451; histograms and growth by leaves as in LightGBM (Ke et al., NeurIPS 2017).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.tree._tree import NODE_DTYPE, Tree
from threadpoolctl import threadpool_limits

from agd.errors import InputError, ModelError
from agd.installing import pip_install_extra
from agd.nets.arrays import checked
from agd.nets.trees import TREE_ARRAYS, from_arrays, rebuilt, to_arrays
from agd.types import Floats, Tensors

_WHAT: Final = "the boosted model"
_HIST_ARRAYS: Final = {**TREE_ARRAYS, "n_trees": np.int32, "baseline": np.float64}
_TEXT_ARRAYS: Final = {"text": np.uint8, "n_bytes": np.int64, "sha256": np.uint8}


@dataclass(frozen=True, slots=True)
class Growth:
    """How a booster grows: `max_features` is a share of the features, tried at a split or for a tree."""

    n_rounds: int
    n_leaves: int
    learning_rate: float
    max_features: float
    min_samples_leaf: int
    l2: float
    row_share: float = 1.0
    """Share of the rows that a tree sees, drawn anew for each; LightGBM alone has it."""


class Booster(Protocol):
    """One boosted model."""

    def predict(self, features: NDArray[np.float32]) -> Floats:
        """`[n, n_features]` to `[n]`, bitwise the same in any batch."""


class Library(Protocol):
    """What grows boosters and keeps them as arrays."""

    def grow(self, features: NDArray[np.float32], values: Floats, growth: Growth, seed: int) -> Booster:
        """Fit one; the same for a seed and a number of threads."""

    def pack(self, boosters: Sequence[Any]) -> Tensors:
        """Arrays of boosters that this library has grown."""

    def unpack(self, tensors: Tensors, n_features: int) -> Sequence[Booster]:
        """Rebuild them; raises ModelError where the arrays have been altered."""


@dataclass(frozen=True, slots=True, eq=False)
class HistBooster:
    """Trees whose values are added to a baseline, in their order."""

    trees: Sequence[Tree]
    baseline: float

    def predict(self, features: NDArray[np.float32]) -> Floats:
        """`[n, n_features]` to `[n]`: what scikit-learn's own `predict` gives, bit for bit."""
        total = np.full(len(features), self.baseline)
        if len(features):
            for tree in self.trees:
                total += tree.predict(features)[:, 0]
        return total


@dataclass(frozen=True, slots=True)
class HistLibrary:
    """scikit-learn's histogram gradient boosting."""

    n_threads: int = 1

    def grow(self, features: NDArray[np.float32], values: Floats, growth: Growth, seed: int) -> HistBooster:
        """Fit one and take its nodes."""
        regressor = HistGradientBoostingRegressor(  # type: ignore[no-untyped-call]  # scikit-learn ships no types
            max_iter=growth.n_rounds,
            max_leaf_nodes=growth.n_leaves,
            learning_rate=growth.learning_rate,
            max_features=growth.max_features,
            min_samples_leaf=growth.min_samples_leaf,
            l2_regularization=growth.l2,
            early_stopping=False,
            random_state=seed,
        )
        with threadpool_limits(self.n_threads, "openmp"):  # type: ignore[no-untyped-call]  # the library has no types
            regressor.fit(features, values)
        trees = [_tree(predictor.nodes, features.shape[1]) for (predictor,) in regressor._predictors]  # noqa: SLF001 - no public way
        return HistBooster(trees, float(regressor._baseline_prediction.item()))  # noqa: SLF001 - same

    def pack(self, boosters: Sequence[HistBooster]) -> Tensors:
        """All trees in a row, and how many of them and what baseline each booster has."""
        return {
            **to_arrays([tree for booster in boosters for tree in booster.trees]),
            "n_trees": np.array([len(booster.trees) for booster in boosters], dtype=np.int32),
            "baseline": np.array([booster.baseline for booster in boosters]),
        }

    def unpack(self, tensors: Tensors, n_features: int) -> list[HistBooster]:
        """Rebuild the boosters; raises ModelError where the arrays are not those of trees over `n_features`."""
        arrays = checked(tensors, _HIST_ARRAYS, _WHAT)
        trees = from_arrays(arrays, n_features, _WHAT)
        n_trees, baselines = arrays["n_trees"], arrays["baseline"]
        if len(n_trees) != len(baselines) or n_trees.min() < 0 or n_trees.sum(dtype=np.int64) != len(trees):
            raise ModelError(f"{_WHAT} has been altered: its numbers of trees")
        stops = np.cumsum([0, *n_trees])
        return [
            HistBooster(trees[start:stop], float(baseline))
            for (start, stop), baseline in zip(pairwise(stops), baselines, strict=True)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class LightBooster:
    """A booster of LightGBM."""

    booster: Any
    n_threads: int

    def predict(self, features: NDArray[np.float32]) -> Floats:
        """`[n, n_features]` to `[n]`."""
        if not len(features):
            return np.zeros(0)
        return np.asarray(self.booster.predict(features, num_threads=self.n_threads), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class LightLibrary:
    """LightGBM, where it is installed; a booster is kept as the library's own text."""

    n_threads: int = 1

    def __post_init__(self) -> None:
        """Raise InputError where it is not."""
        _lightgbm()

    def grow(self, features: NDArray[np.float32], values: Floats, growth: Growth, seed: int) -> LightBooster:
        """Fit one and read it back from its text, as `unpack` will."""
        lightgbm = _lightgbm()
        if len(values) == 1:  # it takes no fewer than two rows
            features, values = np.repeat(features, 2, axis=0), np.repeat(values, 2)
        parameters = {
            "objective": "regression",
            "num_leaves": growth.n_leaves,
            "learning_rate": growth.learning_rate,
            "feature_fraction": growth.max_features,
            "bagging_fraction": growth.row_share,
            "bagging_freq": 1,
            "min_data_in_leaf": growth.min_samples_leaf,
            "lambda_l2": growth.l2,
            "seed": seed % 2**31,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.n_threads,
            "verbosity": -1,
        }
        grown = lightgbm.train(parameters, lightgbm.Dataset(features, values), growth.n_rounds)
        return self._read(grown.model_to_string())

    def pack(self, boosters: Sequence[LightBooster]) -> Tensors:
        """The texts in a row, their lengths, and the sha256 of them all."""
        texts = [booster.booster.model_to_string().encode() for booster in boosters]
        return {
            "text": np.frombuffer(b"".join(texts), dtype=np.uint8),
            "n_bytes": np.array([len(text) for text in texts], dtype=np.int64),
            "sha256": np.frombuffer(hashlib.sha256(b"".join(texts)).digest(), dtype=np.uint8),
        }

    def unpack(self, tensors: Tensors, n_features: int) -> list[LightBooster]:
        """Read the texts; raises ModelError, before the library sees them, where they are not those packed."""
        arrays = checked(tensors, _TEXT_ARRAYS, _WHAT)
        text, n_bytes = arrays["text"].tobytes(), arrays["n_bytes"]
        if hashlib.sha256(text).digest() != arrays["sha256"].tobytes():
            raise ModelError(f"{_WHAT} has been altered: its text is not the one that was stored")
        if not len(n_bytes) or n_bytes.min() < 1 or n_bytes.sum() != len(text):
            raise ModelError(f"{_WHAT} has been altered: the lengths of its texts")
        stops = np.cumsum([0, *n_bytes])
        lightgbm = _lightgbm()
        try:
            boosters = [self._read(text[start:stop].decode()) for start, stop in pairwise(stops)]
        except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
            raise ModelError(f"{_WHAT} has been altered: lightgbm cannot read it ({error})") from error
        if any(booster.booster.num_feature() != n_features for booster in boosters):
            raise ModelError(f"{_WHAT} is one of another architecture: it was not grown on {n_features} features")
        return boosters

    def _read(self, text: str) -> LightBooster:
        return LightBooster(_lightgbm().Booster(model_str=text), self.n_threads)


def _tree(found: NDArray[np.void], n_features: int) -> Tree:
    """Turn the nodes of scikit-learn's histogram trees, whose rule is the same, into those of its other trees."""
    is_inner = found["is_leaf"] == 0
    nodes = np.zeros(len(found), dtype=NODE_DTYPE)
    for ours, theirs in (("left_child", "left"), ("right_child", "right")):
        nodes[ours] = np.where(is_inner, found[theirs].astype(np.int64), -1)
    nodes["feature"] = np.where(is_inner, found["feature_idx"], -2)
    nodes["threshold"] = np.where(is_inner, found["num_threshold"], -2.0)
    return rebuilt(nodes, np.where(is_inner, 0.0, found["value"])[:, None, None], n_features)


def _lightgbm() -> Any:
    try:
        import lightgbm
    except (ImportError, OSError) as error:  # OSError: its OpenMP library is missing
        raise InputError(
            f"the oracle lightgbm needs the package lightgbm ({error}): {pip_install_extra('lightgbm')}"
        ) from error
    return lightgbm
