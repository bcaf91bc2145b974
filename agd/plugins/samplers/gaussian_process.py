"""Samplers with a Gaussian process over the latent box: where to look next."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from bayes_opt.acquisition import UpperConfidenceBound
from bayes_opt.target_space import TargetSpace
from bayes_opt.util import ensure_rng
from pydantic import Field

from agd.nets.gp import GaussianProcess
from agd.plugins.samplers.acquisition import Acquisition, Improvement, UpperBound
from agd.plugins.samplers.box import Box
from agd.plugins.samplers.climbing import Ascent, best_known
from agd.plugins.samplers.frontier import Frontier
from agd.plugins.samplers.published_batch import Measures, labelled, propose
from agd.plugins.samplers.uniform import Uniform, UniformOptions, checked_box
from agd.protocols import Options, Space
from agd.types import Floats, History, Proposals

if TYPE_CHECKING:
    from numpy.random import RandomState

_SHARE_OF_WARMUP, _SHARE_OF_STARTS = 10, 4
"""In the published batch each suggestion has a warm-up and starts of its own, so many times fewer."""
_GROWTH = 0.05
"""Share of new among the points after which the published batch fits the length scale again. A point that the posterior
missed by more than one deviation counts as many as the square of its miss."""


class BatchUcb(UpperConfidenceBound):
    """Upper confidence bound, with the climbing done by gradients of all starts together.

    It stands in for its base class in `BayesianOptimization(acquisition_function=...)`. The Gaussian process is
    agd.nets.gp's, of the same kernel, and the `gp` that bayes_opt hands over stays unused.
    """

    def suggest(
        self,
        gp: Any,
        target_space: TargetSpace,
        n_random: int = 1000,
        n_smart: int = 16,
        fit_gp: bool = True,  # noqa: FBT001, FBT002  # the signature is bayes_opt's
        random_state: "int | RandomState | None" = None,
    ) -> Floats:
        """Suggest one point `[d]`."""
        del gp, fit_gp
        self.i += 1
        rng = np.random.default_rng(ensure_rng(random_state).randint(2**31))
        posterior = GaussianProcess.fit(np.asarray(target_space.params, float), np.asarray(target_space.target, float))
        box = Box.of(np.asarray(target_space.bounds, float))
        ascent = Ascent(UpperBound(self.kappa), box, Frontier(box, None, frozenset()), rng)
        proposals = ascent.batch(posterior, 1, n_random=n_random, n_smart=n_smart)
        self.decay_exploration()
        assert proposals.latents is not None  # noqa: S101  # what batch returns
        return np.asarray(proposals.latents[0])


class ClimbingOptions(Options):
    """Options of every sampler that climbs an acquisition."""

    n_warmup: int = Field(1000, ge=1, description="Uniform points tried before climbing starts from the best of them.")
    avoids_seen: bool = Field(default=True, description="Suggest only what stands for a composition not seen yet.")
    n_starts: int = Field(16, ge=2, le=512, description="Points that climb; half of them start beside the best labels.")


class _Climbing(ABC):
    """Climbs an acquisition of a Gaussian process over the latent box.

    In the ordinary batch a point of the history without a label counts as pending: it is conditioned on at its
    posterior mean. A history without any label knows nothing to prefer: the points are then uniform, and their measures
    NaN.
    """

    space: ClassVar[Space] = "latent"
    draws_from_pool: ClassVar[bool] = False
    takes_several_properties: ClassVar[bool] = False
    options: ClimbingOptions

    @abstractmethod
    def _acquisition(self, best: float) -> Acquisition:
        """What to climb, given the best objective so far."""

    def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
        """Propose `n` points, each the best given those before it, or the published batch."""
        box, rng, options = checked_box(history, n), np.random.default_rng(seed), self.options
        objectives = labelled(history)
        if np.isnan(objectives).all():
            return Uniform(UniformOptions()).suggest(history, n, seed=seed)
        if history.undecodable_objective is not None:
            is_known = ~np.isnan(objectives)
            known = history.latents[is_known], objectives[is_known]
            learner = _Learner(self._acquisition, options, known, box, rng)
            return propose(learner, history, n)
        read = history.read if options.avoids_seen else None
        acquisition = self._acquisition(float(np.nanmax(objectives)))
        return Ascent(acquisition, box, Frontier(box, read, history.seen), rng).batch(
            GaussianProcess.fit(history.latents, objectives), n, n_random=options.n_warmup, n_smart=options.n_starts
        )


class UcbOptions(ClimbingOptions):
    """Options of the sampler `ucb`."""

    kappa: float = Field(10.0, ge=0.0, description="Standard deviations added to the posterior mean.")


class Ucb(_Climbing):
    """Upper confidence bound of a Gaussian process over the latent box (Srinivas et al., arXiv 0912.3995)."""

    options_type: ClassVar[type[Options]] = UcbOptions

    def __init__(self, options: Options) -> None:
        if not isinstance(options, UcbOptions):
            raise TypeError(f"ucb takes UcbOptions, not {type(options).__name__}")
        self.options: UcbOptions = options

    def _acquisition(self, best: float) -> Acquisition:
        del best
        return UpperBound(self.options.kappa)


class EiOptions(ClimbingOptions):
    """Options of the sampler `ei`.

    The margin is nothing by default, as the improvement is defined; any other would have to know the property's unit.
    """

    xi: float = Field(0.0, ge=0.0, description="Least improvement that counts, in the unit of the objective.")


class Ei(_Climbing):
    """Expected improvement over the best objective so far (Jones et al., doi 10.1023/A:1008306431147).

    Its logarithm is climbed; the acquisition recorded is the improvement itself. Where all labels are equal it prefers
    the largest deviation.
    """

    options_type: ClassVar[type[Options]] = EiOptions

    def __init__(self, options: Options) -> None:
        if not isinstance(options, EiOptions):
            raise TypeError(f"ei takes EiOptions, not {type(options).__name__}")
        self.options: EiOptions = options

    def _acquisition(self, best: float) -> Acquisition:
        return Improvement(best, self.options.xi)


class _Learner:
    """The state of a published batch: what is known, and the posterior given all of it.

    Each suggestion climbs from its own random starts. An undecodable point borders the factor, which is a refit at the
    same length scale; that is fitted again after a twentieth of new points, fewer where they surprise the posterior.
    With 1,300 points before it a batch of 141 suggestions took 15 to 18 CPU seconds (tests/bench/bench_suggest.py).
    """

    def __init__(
        self,
        acquisition_of: Callable[[float], Acquisition],
        options: ClimbingOptions,
        history: tuple[Floats, Floats],
        box: Box,
        rng: np.random.Generator,
    ) -> None:
        self._acquisition_of = acquisition_of
        self._n_random = max(1, options.n_warmup // _SHARE_OF_WARMUP)
        self._n_smart = max(2, options.n_starts // _SHARE_OF_STARTS)
        self._points, self._objectives = history
        self._box = box
        self._rng = rng
        self._n_new = 0.0
        self._posterior, self._known, self._n_fitted = self._fit()

    def suggest(self) -> tuple[Floats, Measures]:
        acquisition = self._acquisition_of(float(self._objectives.max()))
        ascent = Ascent(acquisition, self._box, Frontier(self._box, None, frozenset()), self._rng)
        return ascent.top(self._posterior, self._known, n_random=self._n_random, n_smart=self._n_smart)

    def learn(self, point: Floats, objective: float) -> None:
        mean, sd = self._posterior.posterior(point[None])
        self._n_new += max(1.0, float((objective - mean[0]) / sd[0]) ** 2)
        self._points = np.concatenate([self._points, point[None]])
        self._objectives = np.append(self._objectives, objective)
        if self._n_new > _GROWTH * self._n_fitted:
            self._posterior, self._known, self._n_fitted = self._fit()
            self._n_new = 0.0
        else:
            self._posterior = self._posterior.condition(point[None], np.array([objective]))

    def _fit(self) -> tuple[GaussianProcess, Floats, int]:
        """Posterior, points to start beside, and how many points it was fitted to."""
        posterior = GaussianProcess.fit(self._points, self._objectives)
        return posterior, best_known(posterior, self._n_smart // 2), len(self._points)
