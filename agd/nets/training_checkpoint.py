"""Trainings as files: what it takes to go on to the same bits, as arrays by name, never a pickle."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from agd.writing import whole_file

_JOINT: Final = "\x1f"
"""Between the keys of one array; torch names its tensors with dots."""


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Put nested dictionaries of tensors and numbers into a file, which is there whole or as it was before."""
    arrays = {_JOINT.join(keys): np.asarray(one) for keys, one in _leaves(state)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # numpy takes the names for its own options
    with whole_file(path, replaces=True) as file:
        file.write(buffer.getvalue())


def load_state(path: Path) -> dict[str, Any] | None:
    """What `save_state` put there, numbers as tensors; None where there is no file, or one of something else."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile):
        return None
    state: dict[str, Any] = {}
    for name, array in arrays.items():
        *keys, last = name.split(_JOINT)
        inner = state
        for key in keys:
            inner = inner.setdefault(key, {})
        inner[last] = torch.from_numpy(array.copy())
    return state if {"network", "best", "at"} <= state.keys() else None


def _leaves(state: Mapping[Any, Any], *before: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, one in state.items():
        if isinstance(one, Mapping):
            yield from _leaves(one, *before, str(key))
        else:
            yield (*before, str(key)), one
