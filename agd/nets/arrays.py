"""The first look at the arrays of a stored model: their names, types and numbers."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from agd.errors import ModelError
from agd.types import Tensors


def checked(tensors: Tensors, kinds: Mapping[str, DTypeLike], what: str) -> dict[str, NDArray[Any]]:
    """Return the arrays `[n]` of `what`; raises ModelError unless they are those of `kinds`, all numbers finite."""
    if set(tensors) != set(kinds):
        raise ModelError(f"{what} holds the arrays {', '.join(kinds)}, not {', '.join(sorted(tensors)) or 'none'}")
    for name, kind in kinds.items():
        if tensors[name].dtype != kind or tensors[name].ndim != 1:
            raise ModelError(f"array {name} of {what} must be {np.dtype(kind)} [n]: it has been altered")
        if not np.isfinite(tensors[name]).all():
            raise ModelError(f"array {name} of {what} has been altered: it holds a number that is not finite")
    return dict(tensors)


def n_stacked(
    tensors: Tensors, shapes: Mapping[str, tuple[int, ...]], others: Collection[str], what: str, *, counted_by: str
) -> int:
    """How many networks have their parameters of these shapes in `what`, stacked as float32 `[n, ...]`.

    Raises ModelError unless these and the `others` are all there is, each of that type and shape, all numbers finite;
    the array `counted_by` says how many there are.
    """
    unlike = tensors.keys() ^ {*shapes, *others}
    if unlike:
        raise ModelError(f"{what} has been altered: missing or unknown arrays {', '.join(sorted(unlike))}")
    n = len(np.atleast_1d(tensors[counted_by]))
    for name, shape in shapes.items():
        array = tensors[name]
        if not n or array.shape != (n, *shape) or array.dtype != np.float32:
            raise ModelError(
                f"array {name!r} of {what} is {array.dtype} {list(array.shape)}, not float32 {[n, *shape]}: load the "
                "model with the options it was trained with"
            )
        if not np.isfinite(array).all():
            raise ModelError(f"array {name!r} of {what} has been altered: it holds a number that is not finite")
    return n


def prefixed(prefix: str, tensors: Tensors) -> dict[str, NDArray[np.generic]]:
    """Name the arrays of a part `prefix.name`."""
    return {f"{prefix}.{name}": array for name, array in tensors.items()}


def part(prefix: str, tensors: Tensors) -> dict[str, NDArray[np.generic]]:
    """Return the arrays named `prefix.name`, by their name in the part."""
    start = f"{prefix}."
    return {name.removeprefix(start): array for name, array in tensors.items() if name.startswith(start)}
