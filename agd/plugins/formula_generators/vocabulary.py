"""What every generator of formulas has in common: its elements and counts, its noise, and what it is worth."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import AUTOENCODER_ELEMENTS, N_ELEMENTS, SYMBOLS
from agd.chem.identity import reduce_counts
from agd.chem.validity import assess
from agd.errors import InputError
from agd.types import Counts, TrainingTable

ELEMENTS: Final = tuple(symbol for symbol in AUTOENCODER_ELEMENTS if symbol not in {"He", "Kr"})
"""The 85 elements of MatGAN (10.1038/s41524-020-00352-0), by atomic number."""

COLUMNS: Final[NDArray[np.intp]] = np.array([SYMBOLS.index(symbol) for symbol in ELEMENTS])
COLUMNS.flags.writeable = False

MAX_COUNT: Final = 8
MAX_ELEMENTS: Final = 8
N_MEASURED: Final = 10_000

_LEAST_ELEMENTS: Final = 2


def is_representable(counts: Counts) -> NDArray[np.bool_]:
    """Which rows `[n]` of `[n, 103]` have 2 to 8 elements, all of the vocabulary, and 1 to 8 atoms of each."""
    n_elements = np.count_nonzero(counts, axis=1)
    n_inside = np.count_nonzero(counts[:, COLUMNS], axis=1)
    is_few = (n_elements >= _LEAST_ELEMENTS) & (n_elements <= MAX_ELEMENTS)
    is_in_range = ((counts >= 0) & (counts <= MAX_COUNT)).all(axis=1)
    is_inside: NDArray[np.bool_] = np.asarray(is_few & (n_inside == n_elements) & is_in_range)
    return is_inside


def learnable(table: TrainingTable, *, only_valid: bool) -> NDArray[np.bool_]:
    """Which rows `[n]` to train on: those not held out, and with `only_valid` those that the rule of validity passes.

    Raises:
        InputError: no row to train on, or a row outside the vocabulary.
    """
    is_outside = ~is_representable(table.counts)
    if is_outside.any():
        row = int(np.argmax(is_outside))
        atoms = " ".join(f"{SYMBOLS[column]}{table.counts[row, column]}" for column in np.nonzero(table.counts[row])[0])
        raise InputError(
            f"row {row} ({atoms or 'no atoms'}) is no formula of this generator: it knows {_LEAST_ELEMENTS} to "
            f"{MAX_ELEMENTS} of {len(ELEMENTS)} elements, 1 to {MAX_COUNT} atoms of each "
            f"({int(is_outside.sum())} of {len(table.counts)} rows are outside)"
        )
    if table.is_held_out.all():
        raise InputError(f"no row to train on: all {len(table.counts)} rows of the table are held out")
    is_learnt = ~table.is_held_out
    if only_valid:
        is_learnt &= assess(table.counts).is_valid
        if not is_learnt.any():
            raise InputError("no row to train on is charge-neutral and balanced: set only_valid = false")
    return is_learnt


def blocks(start: int, n: int, size: int) -> Iterator[tuple[int, slice, slice]]:
    """The whole blocks of a stream that samples `start` to `start + n - 1` lie in: (block, its part, their part).

    A block is computed whole or not at all, so that no sample depends on how the stream is cut.
    """
    for block in range(start // size, -(-(start + n) // size)):
        first, stop = max(start, block * size), min(start + n, (block + 1) * size)
        yield block, slice(first - block * size, stop - block * size), slice(first - start, stop - start)


def noise_of(block: int, seed: int) -> np.random.Generator:
    """The random numbers of a block, its own part of the counter of `seed`."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, block, 0]))


def measure(sample: Callable[[int], Counts], table: TrainingTable, is_learnt: NDArray[np.bool_]) -> dict[str, float]:
    """What `sample` makes, of 10,000 samples: shares of them that are formulas, valid, distinct; what of it is new.

    `valid` is charge-neutral and electronegativity-balanced as generated, so that a multiple of a formula is not.
    `novel` is the share of distinct reduced formulas that are not among the rows that were not held out; `recovered_`
    is the share of rows that were found again.
    """
    made = sample(N_MEASURED)
    made = made[made.any(axis=1)]
    found = {"n_trained": float(is_learnt.sum()), "decoded": len(made) / N_MEASURED}
    if not len(made):
        return found
    distinct = np.unique(keys_of(reduce_counts(made)))
    known = keys_of(reduce_counts(table.counts))
    found |= {
        "valid": float(assess(made).is_valid.mean()),
        "unique": len(distinct) / len(made),
        "novel": float((~np.isin(distinct, known[~table.is_held_out])).mean()),
        "recovered_trained": float(np.isin(known[is_learnt], distinct).mean()),
        "elements_per_formula": float(np.count_nonzero(made, axis=1).mean()),
    }
    if table.is_held_out.any():
        found["recovered_held_out"] = float(np.isin(known[table.is_held_out], distinct).mean())
    return found


def keys_of(counts: Counts) -> NDArray[np.void]:
    """One comparable key `[n]` for each row of counts `[n, 103]` up to 255."""
    return np.ascontiguousarray(counts.astype(np.uint8)).view(f"V{N_ELEMENTS}").ravel()
