"""Uniform points of the latent box, and what every sampler asks of a history."""

from typing import ClassVar

import numpy as np

from agd.errors import InputError
from agd.plugins.samplers.box import Box
from agd.plugins.samplers.published_batch import UNKNOWN, Measures, propose
from agd.protocols import Options, Space
from agd.types import Floats, History, Proposals


class UniformOptions(Options):
    """Options of the sampler `random`: none."""


class Uniform:
    """Uniform points of the latent box, whatever the labels: the control of every other sampler."""

    options_type: ClassVar[type[Options]] = UniformOptions
    space: ClassVar[Space] = "latent"
    draws_from_pool: ClassVar[bool] = False
    takes_several_properties: ClassVar[bool] = True

    def __init__(self, options: Options) -> None:
        self.options = options

    def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
        """Propose `n` points, or until `n` can be decoded; mean, deviation and acquisition are NaN."""
        box, rng = checked_box(history, n), np.random.default_rng(seed)
        if history.undecodable_objective is not None:
            return propose(_Draws(box, rng), history, n)
        chosen: list[Floats] = []
        for _ in range(n):
            chosen.append(box.draw_apart(chosen, n, rng))
        unknown = np.full(n, np.nan)
        return Proposals(posterior_mean=unknown, posterior_sd=unknown, acquisition=unknown, latents=np.array(chosen))


class _Draws:
    """Uniform points, one after the other, that nothing is learnt from."""

    def __init__(self, box: Box, rng: np.random.Generator) -> None:
        self._box = box
        self._rng = rng

    def suggest(self) -> tuple[Floats, Measures]:
        return np.asarray(self._box.rounded(self._box.draw(1, self._rng))[0]), UNKNOWN

    def learn(self, point: Floats, objective: float) -> None:
        del point, objective


def checked_box(history: History, n: int) -> Box:
    """The box of the search, once the history makes sense; raises InputError where it does not."""
    if n < 1:
        raise InputError(f"a sampler proposes at least one point, not {n}")
    rows, n_latent = len(history.objectives), len(history.bounds)
    if history.latents.shape != (rows, n_latent):
        raise InputError(f"the history holds latents {history.latents.shape} where [{rows}, {n_latent}] is due")
    if not np.isfinite(history.latents).all() or np.isinf(history.objectives).any():
        raise InputError("the history holds a latent or an objective that is not finite")
    if history.undecodable_objective is not None and not np.isfinite(history.undecodable_objective):
        raise InputError(f"the objective of an undecodable point must be finite, not {history.undecodable_objective}")
    return Box.of(history.bounds)
