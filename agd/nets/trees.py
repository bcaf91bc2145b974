"""Regression trees as plain arrays, rebuilt for scikit-learn's own evaluation once they are found to be trees."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree._tree import NODE_DTYPE, Tree

from agd.errors import ModelError
from agd.types import Floats, Tensors

_LEAF = -1
TREE_ARRAYS = {
    "n_nodes": np.int32,
    "feature": np.int16,
    "threshold": np.float32,
    "left": np.int32,
    "right": np.int32,
    "leaf_value": np.float64,
}
"""Names and types of the arrays."""


def to_arrays(trees: Sequence[Tree]) -> Tensors:
    """Plain arrays: `feature` of every node (-1 for a leaf), the rest of inner nodes or leaves in their order.

    Children are numbered within their tree. Thresholds are rounded down to float32, which moves no float32 feature.
    """
    features = [tree.feature for tree in trees]
    is_inner = [feature >= 0 for feature in features]
    inner_of = list(zip(trees, is_inner, strict=True))
    thresholds = np.concatenate([tree.threshold[inner] for tree, inner in inner_of])
    rounded = thresholds.astype(np.float32)
    return {
        "n_nodes": np.array([len(feature) for feature in features], dtype=np.int32),
        "feature": np.maximum(np.concatenate(features), _LEAF).astype(np.int16),
        "threshold": np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded),
        "left": np.concatenate([tree.children_left[inner] for tree, inner in inner_of]).astype(np.int32),
        "right": np.concatenate([tree.children_right[inner] for tree, inner in inner_of]).astype(np.int32),
        "leaf_value": np.concatenate([tree.value[~inner, 0, 0] for tree, inner in inner_of]),
    }


def from_arrays(arrays: Mapping[str, NDArray[Any]], n_features: int, what: str) -> list[Tree]:
    """Rebuild trees from arrays of the right types; raises ModelError where they are not trees over `n_features`."""
    _check(arrays, n_features, what)
    is_inner = arrays["feature"] != _LEAF
    nodes = np.zeros(len(is_inner), dtype=NODE_DTYPE)
    nodes["left_child"] = nodes["right_child"] = _LEAF
    nodes["feature"] = arrays["feature"]
    for field, name in (("left_child", "left"), ("right_child", "right"), ("threshold", "threshold")):
        nodes[field][is_inner] = arrays[name]
    values = np.zeros((len(is_inner), 1, 1))
    values[~is_inner, 0, 0] = arrays["leaf_value"]
    stops = np.cumsum(arrays["n_nodes"], dtype=np.int64)
    starts = stops - arrays["n_nodes"]
    return [
        rebuilt(nodes[start:stop], values[start:stop], n_features) for start, stop in zip(starts, stops, strict=True)
    ]


def rebuilt(nodes: NDArray[np.void], values: Floats, n_features: int) -> Tree:
    """Make a tree of `nodes` `[n]` of scikit-learn's own type and their values `[n, 1, 1]`, which must be a tree."""
    tree = Tree(n_features, np.array([1], dtype=np.intp), 1)
    # The depth serves decision paths alone, and nothing here asks for one.
    tree.__setstate__({"max_depth": 0, "node_count": len(nodes), "nodes": nodes, "values": values})
    return tree


def _check(arrays: Mapping[str, NDArray[Any]], n_features: int, what: str) -> None:
    n_nodes, feature = arrays["n_nodes"], arrays["feature"]
    n_inner = int((feature != _LEAF).sum())
    problems = {
        "its tree sizes": len(n_nodes) == 0 or n_nodes.min() < 1 or n_nodes.sum(dtype=np.int64) != len(feature),
        "its features": feature.min(initial=0) < _LEAF or feature.max(initial=0) >= n_features,
        "the number of its inner nodes": any(len(arrays[name]) != n_inner for name in ("threshold", "left", "right")),
        "the number of its leaves": len(arrays["leaf_value"]) != len(feature) - n_inner,
    }
    for problem, is_wrong in problems.items():
        if is_wrong:
            raise ModelError(f"{what} has been altered, or is one of another architecture: {problem}")
    if not _are_trees(n_nodes, feature != _LEAF, arrays["left"], arrays["right"]):
        raise ModelError(f"{what} has been altered: its nodes are not those of trees")


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
