"""Compositions made from known ones: children of the best, weighed by what was learned from every label so far."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.chem.analogues import keys_of, opened_of
from agd.chem.descriptors import magpie_and_fractions
from agd.chem.elements import N_ELEMENTS
from agd.chem.identity import identify
from agd.errors import ExhaustedError, InputError
from agd.plugins.samplers.children import KNOWN, Mutations, draw, operator
from agd.plugins.samplers.uniform import checked_box
from agd.plugins.samplers.weighing import (
    Table,
    WeighingOptions,
    admitted,
    caps_on_systems,
    distinct,
    labelled,
    unseen,
    weigh,
)
from agd.protocols import Options, Space
from agd.types import Counts, History, Parent, Proposals

_N_ROUNDS = 20
"""Rounds of children at most, where those before left fewer than a batch."""


class AnalogueOptions(WeighingOptions):
    """Options of the sampler `analogue`."""

    max_per_system_in_batch: int | None = Field(
        2, ge=1, description="Most suggestions of one chemical system in an iteration."
    )
    max_per_system: int | None = Field(3, ge=1, description="Most suggestions of one chemical system in the campaign.")
    n_children: int = Field(4000, ge=1, le=1_000_000, description="Children made in each iteration.")
    n_parents: int = Field(
        300, ge=1, description="Best labelled compositions that have children, one of each chemical system."
    )
    known_parents: float = Field(
        0.3, ge=0.0, le=1.0, description="Share of the children whose parent is a random known composition."
    )
    n_with_siblings: int = Field(
        40, ge=0, description="Best labelled compositions whose known analogues are suggested too, and have children."
    )
    n_known: int = Field(
        1000, ge=0, le=1_000_000, description="Random known compositions that are candidates themselves."
    )
    spread: float = Field(
        7.0, gt=0.0, description="Standard deviation of a swap, in places of the modified Pettifor scale."
    )
    random_swaps: float = Field(0.15, ge=0.0, le=1.0, description="Share of swaps whose new element is any.")
    count_changes: float = Field(0.15, ge=0.0, le=1.0, description="Share of children that differ by one count.")
    double_swaps: float = Field(0.2, ge=0.0, le=1.0, description="Share of children with a second swap.")


class Analogue:
    """Children of the best labelled compositions, of random known ones, and of known analogues of the best.

    A child differs by one element, or two, drawn near the old one on the modified Pettifor scale, or by one count.
    Known analogues of the best, of the same counts and one element away, and random known compositions are candidates
    themselves. What the campaign's
    filter refuses is left out before anything is weighed; batches are spread over chemical systems. The elements are
    those of what is known and of the labelled.
    """

    options_type: ClassVar[type[Options]] = AnalogueOptions
    space: ClassVar[Space] = "formula"
    draws_from_pool: ClassVar[bool] = False
    takes_several_properties: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        if not isinstance(options, AnalogueOptions):
            raise TypeError(f"analogue takes AnalogueOptions, not {type(options).__name__}")
        self.options = options

    def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
        """Propose the `n` best compositions that are new and let through, fewer where few can be made.

        Raises InputError where the history holds no composition, ExhaustedError where none can be made.
        """
        checked_box(history, n)
        if history.counts is None or not history.counts.any():
            raise InputError("the sampler analogue needs compositions, and the history holds none")
        stock = _Stock.of(history, self.options)
        rng = np.random.default_rng(seed)
        made = _joined(
            _fresh(_siblings(stock), history), _fresh(_as_they_are(stock, self.options.n_known, rng), history)
        )
        for _ in range(_N_ROUNDS):
            made = _joined(made, _fresh(self._children(stock, rng), history))
            if len(made.counts) >= n:
                break
        if not len(made.counts):
            raise ExhaustedError("no child of a known composition is new and let through by the filter")
        counts, known = labelled(history)
        weights = weigh(
            known,
            len(made.counts),
            lambda: (magpie_and_fractions(counts), magpie_and_fractions(made.counts)),
            self.options,
            n,
            seed=seed,
        )
        batch = weights.batch(n, caps_on_systems(made.counts, history, self.options))
        if not batch.rows:
            raise ExhaustedError("every chemical system that can be reached has as many suggestions as it may")
        return batch.proposals(made.counts, made.of(np.array(batch.rows)).origins())

    def _children(self, stock: "_Stock", rng: np.random.Generator) -> "_Made":
        options = self.options
        n_known = round(options.n_children * options.known_parents) if len(stock.known) else 0
        of_best = rng.integers(len(stock.best), size=options.n_children - n_known)
        parents = stock.best[of_best]
        if n_known:
            parents = np.concatenate([parents, stock.known[rng.integers(len(stock.known), size=n_known)]])
        how = Mutations(options.spread, options.random_swaps, options.count_changes, options.double_swaps)
        return _Made(*draw(parents, stock.elements, how, rng), parents)


@dataclass(frozen=True, slots=True, eq=False)
class _Stock:
    """What children are made of: the best `[p, 103]`, the best first, what is known `[r, 103]`, elements `[103]`.

    `n_with_siblings` of the best have their known analogues among the candidates.
    """

    best: Counts
    known: Counts
    elements: NDArray[np.bool_]
    n_with_siblings: int

    @classmethod
    def of(cls, history: History, options: AnalogueOptions) -> Self:
        """From the labels of a history; where there is none, every composition is as good as another.

        What is known to fail a further target comes after all the others (Deb, doi 10.1016/S0045-7825(99)00389-8).
        """
        assert history.counts is not None  # noqa: S101  as the caller has made sure
        counts, labels = labelled(history)
        if len(counts):
            counts = counts[np.lexsort((-labels.objectives, labels.fails()))]
        else:
            counts = history.counts[history.counts.any(axis=1)]
        counts = distinct(counts)[0]
        _, first = np.unique(keys_of((counts > 0).astype(np.int32)), return_index=True)
        best = counts[np.sort(first)][: options.n_parents]
        known = np.zeros((0, N_ELEMENTS), np.int32) if history.reference is None else history.reference
        elements = np.logical_or(counts.any(axis=0), known.any(axis=0))
        return cls(best, known, elements, options.n_with_siblings)


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """Compositions `[m, 103]`, how each was made, and of what `[m, 103]`."""

    counts: Counts
    how: Sequence[str]
    parents: Counts

    def of(self, rows: NDArray[np.intp]) -> "_Made":
        """Some of them."""
        return _Made(self.counts[rows], [self.how[i] for i in rows.tolist()], self.parents[rows])

    def origins(self) -> list[list[Parent]]:
        """What each was made of, and how; nothing of what is known as it is."""
        formulas = identify(self.parents).reduced_formula
        made = zip(formulas, self.parents, self.counts, self.how, strict=True)
        return [[Parent(formula, operator(*one))] if one[-1] else [] for formula, *one in made]


def _siblings(stock: _Stock) -> _Made:
    """What is known of the same counts as one of the best, and one element away from it."""
    best = stock.best[: stock.n_with_siblings]
    best = best[np.count_nonzero(best, axis=1) > 1]
    parents, _, opened = opened_of(best)
    rows, keys = _opened(Table(stock.known))
    first, last = (np.searchsorted(keys, opened, side=side) for side in ("left", "right"))
    found = [rows[a:b] for a, b in zip(first.tolist(), last.tolist(), strict=True)]
    children = stock.known[np.concatenate(found)] if found else stock.known[:0]
    of = best[np.repeat(parents, last - first)]
    return _Made(children, [KNOWN] * len(children), of)


@lru_cache(maxsize=1)
def _opened(known: Table) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """Rows and hashes of what is known with one element after the other left open, by the hash."""
    rows, _, keys = opened_of(known.counts)
    order = np.argsort(keys, kind="stable")
    return rows[order], keys[order]


def _as_they_are(stock: _Stock, n: int, rng: np.random.Generator) -> _Made:
    """Random known compositions; nothing has made them."""
    known = stock.known[rng.choice(len(stock.known), size=min(n, len(stock.known)), replace=False)]
    return _Made(known, [""] * len(known), known)


def _fresh(made: _Made, history: History) -> _Made:
    """What is new, let through, and no child of itself; each composition once."""
    counts, rows = distinct(made.counts)
    is_fresh = unseen(counts, history)
    is_fresh[is_fresh] = admitted(counts[is_fresh], history)
    kept = made.of(rows[is_fresh])
    return replace(kept, counts=counts[is_fresh])


def _joined(made: _Made, more: _Made) -> _Made:
    """Both, each composition once, as it was made first."""
    is_new = ~np.isin(keys_of(more.counts), keys_of(made.counts))
    more = more.of(np.flatnonzero(is_new))
    return _Made(
        np.concatenate([made.counts, more.counts]),
        [*made.how, *more.how],
        np.concatenate([made.parents, more.parents]),
    )
