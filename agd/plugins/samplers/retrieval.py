"""Acquisition over a pool: which of the compositions that somebody has listed, or generated, to label next."""

from functools import lru_cache
from typing import ClassVar

import numpy as np
from pydantic import Field

from agd.chem.descriptors import magpie_and_fractions
from agd.errors import ExhaustedError, InputError
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
from agd.protocols import CandidateOptions, Options, Space
from agd.types import History, Proposals


class RetrievalOptions(WeighingOptions, CandidateOptions):
    """Options of the sampler `retrieval`."""

    max_per_system_in_batch: int | None = Field(
        1, ge=1, description="Most suggestions of one chemical system in an iteration: one teaches much of the next."
    )


class Retrieval:
    """The best of a pool by a surrogate that learned from every label so far: what most groups do first.

    Suggestions are known formulas, or generated ones: whatever the pool lists. With acquisition `random` it is a
    control.
    """

    options_type: ClassVar[type[Options]] = RetrievalOptions
    space: ClassVar[Space] = "formula"
    draws_from_pool: ClassVar[bool] = True
    takes_several_properties: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        if not isinstance(options, RetrievalOptions):
            raise TypeError(f"retrieval takes RetrievalOptions, not {type(options).__name__}")
        self.options = options

    def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
        """Propose the `n` best candidates that are new and let through, fewer where few are left.

        Raises InputError without candidates, ExhaustedError where none is left.
        """
        checked_box(history, n)
        if history.candidates is None:
            raise InputError("a sampler that draws from a pool needs candidates, and the history holds none")
        listed = _listed(Table(history.candidates))
        is_open = unseen(listed.counts, history)
        is_open[is_open] = admitted(listed.counts[is_open], history)
        rows = np.flatnonzero(is_open)
        counts, known = labelled(history)
        weights = weigh(
            known, len(rows), lambda: (magpie_and_fractions(counts), listed.features[rows]), self.options, n, seed=seed
        )
        candidates = listed.counts[rows]
        batch = weights.batch(n, caps_on_systems(candidates, history, self.options))
        if not batch.rows:
            raise ExhaustedError("every row of the pool that the filter lets through is spent")
        return batch.proposals(candidates)


class GeneratorPoolOptions(RetrievalOptions):
    """Options of the sampler `generator-pool`."""

    pool_is_generated: ClassVar[bool] = True


class GeneratorPool(Retrieval):
    """The same of what a generator has made: its pool is a dataset that `agd generate` stored."""

    options_type: ClassVar[type[Options]] = GeneratorPoolOptions


@lru_cache(maxsize=2)
def _listed(pool: Table) -> Table:
    """The compositions of a pool, reduced, each once."""
    return Table(distinct(pool.counts)[0])
