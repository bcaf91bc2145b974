"""Plausible compositions drawn from common oxidation states: a corpus where no real one is at hand."""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import (
    AUTOENCODER_ELEMENTS,
    N_ELEMENTS,
    SYMBOLS,
    common_states,
    pauling_electronegativities,
)
from agd.chem.identity import reduce_counts
from agd.errors import InputError
from agd.types import Counts, Floats

_Ions: TypeAlias = tuple[NDArray[np.int64], Floats]
"""(column, state) `[n_ions, 2]` and probabilities `[n_ions]`."""

_ANION_WEIGHTS: Final = {
    symbol: weight
    for weight, symbols in {10.0: "O", 4.0: "F S", 3.0: "Cl Se", 2.0: "N Br Te I", 1.0: "H P As", 0.5: "C"}.items()
    for symbol in symbols.split()
}
_NONMETAL_CATION_WEIGHTS: Final = {
    symbol: weight for weight, symbols in {2.0: "B Si P", 1.0: "H C N S As Se Te"}.items() for symbol in symbols.split()
}
_RADIOACTIVE: Final = frozenset({"Tc", "Pm", "Ac", "Pa", "Np", "Pu"})
_RADIOACTIVE_WEIGHT: Final = 0.1
_LEAST_NONMETAL_STATE: Final = 3
_INERT_OR_ANION: Final = frozenset({"He", "Kr", "Xe", "O", "F", "Cl", "Br", "I"})
_ARITY_WEIGHTS: Final = np.array([1.0, 5.0, 5.0, 3.0, 1.0])
_LARGEST_DRAW: Final = 65_536
_EXHAUSTED: Final = 0.001


def charge_balanced(n: int, *, seed: int, max_elements: int = 4, max_count: int = 12) -> Counts:
    """Draw `n` distinct reduced formulas `[n, 103]` of 2 to `max_elements` elements, in random order.

    Each holds a metal cation and an anion, is neutral in common oxidation states, every cation less electronegative
    than every anion, and has at most `max_count` atoms of an element. Small formulas and frequent anions are
    favoured. Raises InputError once fewer than one balanced draw in a thousand is new.
    """
    if max_elements not in range(2, len(_ARITY_WEIGHTS) + 2) or max_count not in range(1, 256):
        raise InputError(f"max_elements must be 2 to {len(_ARITY_WEIGHTS) + 1} and max_count 1 to 255")
    rng = np.random.default_rng(seed)
    weights = _ARITY_WEIGHTS[: max_elements - 1] / _ARITY_WEIGHTS[: max_elements - 1].sum()
    found = np.zeros((0, N_ELEMENTS), np.int32)
    while len(found) < n:
        n_known, n_drawn = len(found), min(max(4 * (n - len(found)), 4096), _LARGEST_DRAW)
        sizes = rng.multinomial(n_drawn, weights).tolist()
        drawn = np.concatenate([_draw(rng, size, arity, max_count) for arity, size in enumerate(sizes, start=2)])
        found = np.concatenate((found, reduce_counts(rng.permutation(drawn))))
        keys = found.astype(np.uint8).view(f"V{N_ELEMENTS}").ravel()
        found = found[np.sort(np.unique(keys, return_index=True)[1])]
        if len(found) < n and len(found) - n_known <= _EXHAUSTED * len(drawn):
            raise InputError(
                f"found {len(found)} of {n} formulas and hardly any new ones: raise max_elements ({max_elements}) "
                f"or max_count ({max_count}), or ask for fewer",
            )
    return found[:n]


def _draw(rng: np.random.Generator, n: int, arity: int, max_count: int) -> Counts:
    """Try `n` times; return the formulas `[m, 103]` that turned out balanced, m <= n."""
    metals, cations, anions = _ions()
    ions = np.empty((n, arity, 2), np.int64)
    ions[:, 0] = _choose(rng, metals, n)
    ions[:, -1] = _choose(rng, anions, n)
    for position in range(1, arity - 1):
        is_cation = rng.random((n, 1)) < 0.75  # noqa: PLR2004 - most multinary solids have more cations than anions
        ions[:, position] = np.where(is_cation, _choose(rng, cations, n), _choose(rng, anions, n))
    columns, states = ions[..., 0], ions[..., 1]

    likely = np.arange(1, min(max_count, 6) + 1)
    amounts = rng.choice(likely, (n, arity), p=likely**-2.0 / (likely**-2.0).sum())
    charge = (states[:, :-1] * amounts[:, :-1]).sum(axis=1)
    amounts[:, -1] = charge // -states[:, -1]

    electronegativities = pauling_electronegativities()[columns]
    is_kept = (
        (charge % states[:, -1] == 0)
        & (amounts[:, -1] >= 1)
        & (amounts[:, -1] <= max_count)
        & (np.diff(np.sort(columns, axis=1), axis=1) > 0).all(axis=1)
        & (
            np.where(states > 0, electronegativities, -np.inf).max(axis=1)
            < np.where(states < 0, electronegativities, np.inf).min(axis=1)
        )
    )
    counts = np.zeros((int(is_kept.sum()), N_ELEMENTS), np.int32)
    np.put_along_axis(counts, columns[is_kept], amounts[is_kept].astype(np.int32), axis=1)
    return counts


def _ions() -> tuple[_Ions, _Ions, _Ions]:
    """Return metals, all cations, anions."""
    metals, nonmetals, anions = [], [], []
    for symbol in AUTOENCODER_ELEMENTS:
        column = SYMBOLS.index(symbol)
        states = common_states()[column]
        positive = [state for state in states if state > 0]
        if symbol in _NONMETAL_CATION_WEIGHTS:
            usable = [state for state in positive if state >= _LEAST_NONMETAL_STATE or symbol == "H"]
            nonmetals += [(column, state, _NONMETAL_CATION_WEIGHTS[symbol] / len(usable)) for state in usable]
        elif symbol not in _INERT_OR_ANION:
            weight = _RADIOACTIVE_WEIGHT if symbol in _RADIOACTIVE else 1.0
            metals += [(column, state, weight / len(positive)) for state in positive]
        if symbol in _ANION_WEIGHTS:
            anions.append((column, states[0], _ANION_WEIGHTS[symbol]))
    return _weighted(metals), _weighted(metals + nonmetals), _weighted(anions)


def _weighted(ions: list[tuple[int, int, float]]) -> _Ions:
    weights = np.array([weight for *_, weight in ions])
    return np.array([ion for *ion, _ in ions]), weights / weights.sum()


def _choose(rng: np.random.Generator, ions: _Ions, n: int) -> NDArray[np.int64]:
    return ions[0][rng.choice(len(ions[0]), n, p=ions[1])]
