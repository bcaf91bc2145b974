"""Acquisition over a pool: which of the compositions that somebody has listed to label next."""

from collections.abc import Iterator
from typing import ClassVar

from agd.chem.analogues import keys_of
from agd.chem.identity import reduce_counts
from agd.errors import ExhaustedError, InputError
from agd.plugins.samplers.uniform import checked_box
from agd.plugins.samplers.weighing import WeighingOptions, Weights, admitted, spread, unseen
from agd.protocols import CandidateOptions, Options, Space
from agd.types import Counts, History, Proposals


class RetrievalOptions(WeighingOptions, CandidateOptions):
    """Options of the sampler `retrieval`."""


class Retrieval:
    """The best of a pool by a surrogate that learned from every label so far: what most groups do first.

    Suggestions are known formulas, or generated ones: whatever the pool lists. With acquisition `random` it is a
    control.
    """

    options_type: ClassVar[type[Options]] = RetrievalOptions
    space: ClassVar[Space] = "formula"
    draws_from_pool: ClassVar[bool] = True

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
            raise InputError("the sampler retrieval needs candidates, and the history holds none")
        candidates = reduce_counts(history.candidates)
        is_open = unseen(candidates, history)
        is_open[is_open] = admitted(candidates[is_open], history)
        weights = Weights(history, candidates, self.options, seed)
        order = [i for i in weights.best_first.tolist() if is_open[i]]
        chosen = spread(_each_once(order, candidates), candidates, history, self.options, n)
        if not chosen:
            raise ExhaustedError("every row of the pool that the filter lets through is spent")
        return weights.proposals(chosen, candidates)


def _each_once(order: list[int], candidates: Counts) -> Iterator[int]:
    keys = keys_of(candidates)
    met: set[int] = set()
    for i in order:
        if (key := int(keys[i])) not in met:
            met.add(key)
            yield i
