"""Compositions in the autoencoder's vocabulary of 87 elements (arXiv 2103.00608): sparse pairs and one-hot."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import AUTOENCODER_COLUMNS, AUTOENCODER_ELEMENTS, N_ELEMENTS, SYMBOLS
from agd.errors import InputError
from agd.types import Counts


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Elements and their counts, `[n_pairs]` each, ordered by row, then by element.

    `elements` are positions 0-86 in the vocabulary.
    """

    rows: NDArray[np.int64]
    elements: NDArray[np.int64]
    counts: NDArray[np.int64]


def is_encodable(counts: Counts, max_count: int = 20) -> NDArray[np.bool_]:
    """Tell which rows `[n]` of `[n, 103]` have atoms, all of the vocabulary, at most `max_count` of each."""
    inside = counts[:, AUTOENCODER_COLUMNS]
    has_strangers = np.delete(counts, AUTOENCODER_COLUMNS, axis=1).any(axis=1)
    is_in_range = ((inside >= 0) & (inside <= max_count)).all(axis=1)
    is_inside: NDArray[np.bool_] = np.asarray(inside.any(axis=1) & is_in_range & ~has_strangers)
    return is_inside


def pairs(counts: Counts, max_count: int = 20) -> Pairs:
    """List the non-zero cells of `[n, 103]`; raises InputError for a row outside the vocabulary."""
    is_outside = ~is_encodable(counts, max_count)
    if is_outside.any():
        row = int(np.argmax(is_outside))
        atoms = " ".join(f"{SYMBOLS[column]}{counts[row, column]}" for column in np.nonzero(counts[row])[0])
        raise InputError(
            f"row {row} ({atoms or 'no atoms'}) cannot be encoded: the vocabulary is {len(AUTOENCODER_ELEMENTS)} "
            f"elements, 1 to {max_count} atoms of each ({int(is_outside.sum())} of {len(counts)} rows are outside)",
        )
    inside = counts[:, AUTOENCODER_COLUMNS]
    rows, elements = np.nonzero(inside)
    return Pairs(rows, elements, inside[rows, elements].astype(np.int64))


def one_hot(counts: Counts, max_count: int = 20) -> NDArray[np.uint8]:
    """Encode `[n, 103]` as `[n, 87, max_count]`: a 1 in column count - 1 of each present element's row.

    Raises InputError for a row outside the vocabulary.
    """
    cells = pairs(counts, max_count)
    matrix = np.zeros((len(counts), len(AUTOENCODER_ELEMENTS), max_count), np.uint8)
    matrix[cells.rows, cells.elements, cells.counts - 1] = 1
    return matrix


def from_one_hot(matrix: NDArray[np.uint8]) -> Counts:
    """Decode `[n, 87, max_count]` of zeros and ones into counts `[n, 103]`.

    Raises InputError where an element has two counts at once; an all-zero matrix gives a row without atoms.
    """
    if matrix.ndim != 3 or matrix.shape[1] != len(AUTOENCODER_ELEMENTS):  # noqa: PLR2004 - rows, elements, counts
        raise InputError(f"one-hot must be [n, {len(AUTOENCODER_ELEMENTS)}, max_count], not {list(matrix.shape)}")
    is_ambiguous = np.count_nonzero(matrix, axis=2) > 1
    if is_ambiguous.any():
        row, element = np.argwhere(is_ambiguous)[0]
        raise InputError(
            f"row {row} of the one-hot matrices has more than one count of {AUTOENCODER_ELEMENTS[element]}"
        )
    counts = np.zeros((len(matrix), N_ELEMENTS), np.int32)
    rows, elements, columns = np.nonzero(matrix)
    counts[rows, AUTOENCODER_COLUMNS[elements]] = columns + 1
    return counts
