"""A control without a model: one element of an initial composition replaced by another."""

from typing import ClassVar

import numpy as np

from agd.chem.identity import identify
from agd.errors import ExhaustedError, InputError
from agd.plugins.samplers.uniform import checked_box
from agd.protocols import Options, Space
from agd.types import Counts, History, Proposals

_N_ROUNDS = 50
_N_DRAWS = 256
"""Substitutions drawn at a time; so many rounds of them at most, and of one for each point where that is more."""


class SubstitutionOptions(Options):
    """Options of the sampler `substitution`: none."""


class Substitution:
    """Random single substitutions: how far one gets from the initial rows without labels and without a generator.

    An initial row, one of its elements, and another element that occurs among the initial rows but not in it are drawn
    uniformly; the counts stay. Labels, box and the published batch mean nothing to it.
    """

    options_type: ClassVar[type[Options]] = SubstitutionOptions
    space: ClassVar[Space] = "formula"
    draws_from_pool: ClassVar[bool] = False
    takes_several_properties: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        self.options = options

    def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
        """Propose `n` compositions of distinct reduced formulas that are not seen yet, fewer where few are left.

        Mean, deviation and acquisition are NaN. Raises InputError without initial compositions, ExhaustedError where no
        draw gives anything new.
        """
        checked_box(history, n)
        initial = _initial(history)
        rng = np.random.default_rng(seed)
        found: dict[str, Counts] = {}
        for _ in range(_N_ROUNDS):
            drawn = _draw(initial, max(_N_DRAWS, n), rng)
            for formula, counts in zip(identify(drawn).reduced_formula, drawn, strict=True):
                if formula not in history.seen and len(found) < n:
                    found.setdefault(formula, counts)
            if len(found) == n:
                break
        if not found:
            raise ExhaustedError("all single substitutions of the initial rows are spent")
        unknown = np.full(len(found), np.nan)
        return Proposals(
            posterior_mean=unknown, posterior_sd=unknown, acquisition=unknown, counts=np.array(list(found.values()))
        )


def _initial(history: History) -> Counts:
    """The initial rows `[k, 103]` that name a composition."""
    if history.counts is None or history.n_initial == 0:
        raise InputError("the sampler substitution needs the initial compositions, and the history holds none")
    initial = history.counts[: history.n_initial]
    initial = initial[initial.any(axis=1)]
    if not len(initial):
        raise InputError("the sampler substitution needs the initial compositions, and all of the history are empty")
    return initial


def _draw(initial: Counts, n: int, rng: np.random.Generator) -> Counts:
    """Substitute in `n` rows drawn from `initial` `[k, 103]`; rows for which no other element is left drop out."""
    rows = initial[rng.integers(len(initial), size=n)]
    is_present = rows > 0
    is_other = ~is_present & initial.any(axis=0)
    old = np.where(is_present, rng.random(rows.shape), -1.0).argmax(axis=1)
    new = np.where(is_other, rng.random(rows.shape), -1.0).argmax(axis=1)
    at = np.arange(n)
    rows[at, new] = rows[at, old]
    rows[at, old] = 0
    return rows[is_other.any(axis=1)]
