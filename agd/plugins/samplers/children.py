"""Children of compositions: elements replaced by near ones of the modified Pettifor scale, or one count changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agd.chem.elements import N_ELEMENTS, SYMBOLS, modified_pettifor
from agd.types import Counts

if TYPE_CHECKING:
    from numpy.random import Generator

NEAR, ANY, COUNT, KNOWN = "modified-Pettifor swap", "random swap", "count", "analogy, as it is known"
"""How a composition comes of another."""


@dataclass(frozen=True, slots=True)
class Mutations:
    """How children differ from their parents, as shares of all children.

    `spread` is the standard deviation of a swap in places of the scale.
    """

    spread: float
    random_swaps: float
    count_changes: float
    double_swaps: float


def draw(
    parents: Counts, elements: NDArray[np.bool_], how: Mutations, rng: "Generator"
) -> tuple[Counts, Sequence[str]]:
    """One child `[n, 103]` of each parent `[n, 103]`, with `elements` `[103]` alone coming in, and how it was made.

    A child of which nothing has come, since the new element was there already or there is none, is all zero.
    """
    counts, n = parents.copy(), len(parents)
    is_counted = rng.random(n) < how.count_changes
    is_double = ~is_counted & (rng.random(n) < how.double_swaps)
    _change_count(counts, is_counted, rng)
    is_random = _swap(counts, ~is_counted, elements, how, rng) | _swap(counts, is_double, elements, how, rng)
    words = np.select([is_counted, is_random], [COUNT, ANY], NEAR)
    return counts, words.tolist()


def operator(parent: Counts, child: Counts, how: str) -> str:
    """What made a child of its parent, both `[103]`, in words: `Cl -> F by modified-Pettifor swap`."""
    lost, gained = (
        np.flatnonzero((one > 0) & (other == 0)).tolist() for one, other in ((parent, child), (child, parent))
    )
    if len(lost) == len(gained) > 0:
        gained.sort(key=lambda column: child[column])
        lost.sort(key=lambda column: parent[column])
        before, after = (", ".join(SYMBOLS[column] for column in columns) for columns in (lost, gained))
        return f"{before} -> {after} by {how}"
    changed = np.flatnonzero(parent != child).tolist()
    return ", ".join(f"{SYMBOLS[i]}: {parent[i]} -> {child[i]}" for i in changed) + f" by {how}"


def _one_each(counts: Counts, rng: "Generator") -> NDArray[np.intp]:
    """A random element of each composition."""
    picked: NDArray[np.intp] = np.where(counts > 0, rng.random(counts.shape), -1.0).argmax(axis=1)
    return picked


def _change_count(counts: Counts, is_done: NDArray[np.bool_], rng: "Generator") -> None:
    """Change one count of some rows by one; an element of which nothing would be left ends the row."""
    at = np.arange(len(counts))
    changed = _one_each(counts, rng)
    counts[at, changed] += np.where(is_done, rng.choice(np.array([-1, 1], np.int32), size=len(counts)), 0).astype(
        np.int32
    )
    counts[is_done & (counts[at, changed] == 0)] = 0


def _swap(
    counts: Counts, is_done: NDArray[np.bool_], elements: NDArray[np.bool_], how: Mutations, rng: "Generator"
) -> NDArray[np.bool_]:
    """Replace one element of some rows, and tell which of them got any; a row where it cannot be done ends."""
    n, places = len(counts), modified_pettifor()
    at, old = np.arange(n), _one_each(counts, rng)
    anywhere = np.flatnonzero(elements)
    is_random = is_done & (rng.random(n) < how.random_swaps)
    drawn = np.rint(rng.normal(places[old], how.spread)).astype(np.intp)
    near = np.argsort(places)[np.clip(drawn, 0, N_ELEMENTS - 1)]
    new = np.where(is_random, anywhere[rng.integers(len(anywhere), size=n)], near)
    is_on_scale = is_random | ((drawn >= 0) & (drawn < N_ELEMENTS))
    is_possible = is_done & is_on_scale & elements[new] & (counts[at, new] == 0) & (counts[at, old] > 0)
    counts[at[is_possible], new[is_possible]] = counts[at[is_possible], old[is_possible]]
    counts[at[is_possible], old[is_possible]] = 0
    counts[is_done & ~is_possible] = 0
    return is_random
