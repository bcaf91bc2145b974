"""A control without a model: random rows of a dataset."""

from typing import ClassVar

import numpy as np

from agd.chem.identity import identify
from agd.errors import ExhaustedError, InputError
from agd.plugins.samplers.uniform import checked_box
from agd.protocols import Options, Space
from agd.types import Counts, History, Proposals


class PoolOptions(Options):
    """Options of the sampler `pool`: none."""


class Pool:
    """Random rows of a pool: what a budget finds that is spent on known, or on generated, formulas without learning.

    Chance is in the order of the candidates. Labels, box and the published batch mean nothing to it.
    """

    options_type: ClassVar[type[Options]] = PoolOptions
    space: ClassVar[Space] = "formula"
    draws_from_pool: ClassVar[bool] = True
    takes_several_properties: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        self.options = options

    def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
        """Propose the first `n` candidates of distinct reduced formulas that are not seen, fewer where few are left.

        Mean, deviation and acquisition are NaN. Raises InputError without candidates, ExhaustedError where none is new.
        """
        del seed
        checked_box(history, n)
        if history.candidates is None:
            raise InputError("the sampler pool needs candidates, and the history holds none")
        found: dict[str, Counts] = {}
        for formula, counts in zip(identify(history.candidates).reduced_formula, history.candidates, strict=True):
            if formula not in history.seen and len(found) < n:
                found.setdefault(formula, counts)
        if not found:
            raise ExhaustedError("every row of the pool that can be encoded is spent")
        unknown = np.full(len(found), np.nan)
        return Proposals(
            posterior_mean=unknown, posterior_sd=unknown, acquisition=unknown, counts=np.array(list(found.values()))
        )
