"""What every autoencoder checks of its table, its stored tensors and its latent vectors; generators check theirs so."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import AUTOENCODER_COLUMNS, AUTOENCODER_ELEMENTS
from agd.chem.onehot import pairs
from agd.errors import InputError, ModelError
from agd.protocols import Options
from agd.types import Latents, Tensors, TrainingTable

EMPTY: Final = "empty: every element decodes to zero"

VOCABULARY: Final = "vocabulary"
"""Name of the tensor that lists the elements a model knows."""


_OwnOptions = TypeVar("_OwnOptions", bound=Options)


def narrowed(options: Options, expected: type[_OwnOptions], taker: str) -> _OwnOptions:
    """The options, if they are of the expected type; raises InputError naming their taker."""
    if not isinstance(options, expected):
        raise InputError(f"{taker} takes {expected.__name__}, not {type(options).__name__}")
    return options


def vocabulary(symbols: Sequence[str] = AUTOENCODER_ELEMENTS) -> NDArray[np.bytes_]:
    """The elements that a model knows, as it stores them."""
    return np.array(symbols, "S2")


def split(table: TrainingTable, max_count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts `[n, 87]` of the rows to train on, and of those held out.

    Raises:
        InputError: no row to train on, or a row outside the vocabulary.
    """
    pairs(table.counts, max_count)
    if table.is_held_out.all():
        raise InputError(f"no row to train on: all {len(table.counts)} rows of the table are held out")
    inside = table.counts[:, AUTOENCODER_COLUMNS].astype(np.int64)
    return inside[~table.is_held_out], inside[table.is_held_out]


def check_tensors(
    tensors: Tensors,
    shapes: Mapping[str, tuple[int, ...]],
    kind: str,
    version: int,
    *,
    family: str = "autoencoder",
    symbols: Sequence[str] = AUTOENCODER_ELEMENTS,
) -> None:
    """Raise ModelError unless `tensors` are the vocabulary and finite float32 tensors of `shapes`, no more, no less.

    `kind`, `family` and `version` say in the message which architecture was asked for.
    """
    unlike = tensors.keys() ^ (shapes.keys() | {VOCABULARY})
    if unlike:
        names = ", ".join(sorted(unlike))
        raise ModelError(f"not a {kind} {family} of version {version}: missing or unknown tensors {names}")
    stored = tensors[VOCABULARY]
    if stored.tolist() != vocabulary(symbols).tolist():
        raise ModelError(
            f"the model's vocabulary of {stored.size} elements is not this version's {len(symbols)}: retrain the model"
        )
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape or tensor.dtype != np.float32:
            raise ModelError(
                f"tensor {name!r} is {tensor.dtype} {list(tensor.shape)}, but the options ask for float32 "
                f"{list(shape)}: load the model with the options it was trained with"
            )
        if not np.isfinite(tensor).all():
            raise ModelError(f"tensor {name!r} holds numbers that are not finite: retrain the model")


def check_latents(latents: Latents, n_latent: int) -> None:
    """Raise InputError unless `latents` is `[n, n_latent]` and finite."""
    if latents.ndim != 2 or latents.shape[1] != n_latent:  # noqa: PLR2004  # a matrix
        raise InputError(f"latent vectors must be [n, {n_latent}], not {list(latents.shape)}")
    if not np.isfinite(latents).all():
        row = int(np.argmin(np.isfinite(latents).all(axis=1)))
        raise InputError(f"row {row} of the latent vectors is not finite")
