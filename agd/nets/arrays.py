"""The first look at the arrays of a stored model: their names, types and numbers."""

from collections.abc import Mapping
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


def prefixed(prefix: str, tensors: Tensors) -> dict[str, NDArray[np.generic]]:
    """Name the arrays of a part `prefix.name`."""
    return {f"{prefix}.{name}": array for name, array in tensors.items()}


def part(prefix: str, tensors: Tensors) -> dict[str, NDArray[np.generic]]:
    """Return the arrays named `prefix.name`, by their name in the part."""
    start = f"{prefix}."
    return {name.removeprefix(start): array for name, array in tensors.items() if name.startswith(start)}
