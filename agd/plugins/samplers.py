"""Samplers: where in the latent box to look next."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from bayes_opt.acquisition import UpperConfidenceBound
from bayes_opt.target_space import TargetSpace
from bayes_opt.util import ensure_rng
from pydantic import Field
from scipy.optimize import minimize

from agd.errors import InputError
from agd.nets.gp import GaussianProcess
from agd.plugins.box import Box, are_apart
from agd.plugins.frontier import Frontier
from agd.protocols import Options
from agd.types import Floats, History, Proposals

if TYPE_CHECKING:
    from numpy.random import Generator, RandomState

_FIRST_STEPS, _NEXT_STEPS = 40, 8
_N_CLIMBERS, _N_CANDIDATES = 12, 32
_N_SPARE = 256
_JITTERS = (0.02, 0.05, 0.2)  # of a copy of a chosen or known point, in widths of the box
_SLACK = 2e-3
"""Fall of the highest candidate, in prior deviations times 1 + kappa, after which the candidates climb again."""


class BatchUcb(UpperConfidenceBound):
    """Upper confidence bound for many points at once, with the climbing done by gradients of all starts together.

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
        proposals = self.suggest_batch(
            posterior, Box.of(np.asarray(target_space.bounds, float)), 1, n_random=n_random, n_smart=n_smart, rng=rng
        )
        self.decay_exploration()
        assert proposals.latents is not None  # noqa: S101  # what suggest_batch returns
        return np.asarray(proposals.latents[0])

    def suggest_batch(
        self,
        posterior: GaussianProcess,
        box: Box,
        n: int,
        *,
        n_random: int,
        n_smart: int,
        rng: "Generator",
        frontier: Frontier | None = None,
    ) -> Proposals:
        """Choose `n` open points one after the other, each given those before it at their posterior mean."""
        frontier = Frontier(box, None, frozenset()) if frontier is None else frontier
        starts = self._starts(posterior, box, frontier, n_random, n_smart, rng)
        points, values = self._climb(posterior, box, frontier, starts, _FIRST_STEPS)
        slack, height = _SLACK * posterior.scale * (1.0 + self.kappa), values.max()
        chosen: list[Floats] = []
        measures: list[tuple[float, float]] = []
        while True:
            chosen.append(self._best(box, frontier, points, values, chosen, n, rng))
            frontier.close(chosen[-1])
            mean, sd = posterior.posterior(chosen[-1][None])
            measures.append((float(mean[0]), float(sd[0])))
            if len(chosen) == n:
                break
            posterior = posterior.condition(chosen[-1][None])
            near = np.concatenate([box.jitter(chosen[-1][None], share, rng) for share in _JITTERS])
            points = np.concatenate([points, near])
            points = frontier.only_open(points[are_apart(points, chosen, box.separation(n))])
            points, values = self._ranked(posterior, points)
            if len(points) and values[0] < height - slack:
                climbed, heights = self._climb(posterior, box, frontier, points[:_N_CLIMBERS], _NEXT_STEPS)
                points = np.concatenate([climbed, points[_N_CLIMBERS:], near])
                values = np.concatenate([heights, values[_N_CLIMBERS:], self._values(posterior, near)])
                height = heights.max()
        means, sds = np.array(measures).T
        return Proposals(
            posterior_mean=means,
            posterior_sd=sds,
            acquisition=self._bound(means, sds),
            latents=np.array(chosen),
        )

    def _values(self, posterior: GaussianProcess, points: Floats) -> Floats:
        return self._bound(*posterior.posterior(points))

    def _ranked(self, posterior: GaussianProcess, points: Floats) -> tuple[Floats, Floats]:
        """The highest of `points` `[k, d]` and their heights, in falling order."""
        values = self._values(posterior, points)
        order = np.argsort(-values, kind="stable")[:_N_CANDIDATES]
        return points[order], values[order]

    def _bound(self, mean: Floats, sd: Floats) -> Floats:
        return np.asarray(self.base_acq(mean, sd), dtype=np.float64)

    def _starts(
        self,
        posterior: GaussianProcess,
        box: Box,
        frontier: Frontier,
        n_random: int,
        n_smart: int,
        rng: "Generator",
    ) -> Floats:
        """The better half `[n_smart, d]` from uniform points, the other beside the points of highest mean."""
        uniform = frontier.only_open(box.draw(max(n_random, n_smart), rng))
        uniform = self._highest(posterior, uniform, n_smart - n_smart // 2)
        known = posterior.points[: len(posterior.weights)] + posterior.centre
        known = known[np.argsort(-posterior.mean(known), kind="stable")[: n_smart // 2]]
        beside = np.concatenate([box.jitter(known, share, rng) for share in _JITTERS])
        return np.concatenate([uniform, self._highest(posterior, frontier.only_open(beside), n_smart // 2)])

    def _highest(self, posterior: GaussianProcess, points: Floats, n: int) -> Floats:
        return points[np.argsort(-self._values(posterior, points), kind="stable")[:n]]

    def _climb(
        self, posterior: GaussianProcess, box: Box, frontier: Frontier, starts: Floats, n_steps: int
    ) -> tuple[Floats, Floats]:
        """Climb from all `starts` `[k, d]` as one problem, the sum of their heights (L-BFGS-B, Byrd et al. 1995)."""
        unit = posterior.length_scale
        sign_and_scale = -1.0 / (posterior.scale * (1.0 + self.kappa))

        def descend(flat: Floats) -> tuple[float, Floats]:
            mean, sd, mean_gradient, sd_gradient = posterior.posterior_gradients(flat.reshape(starts.shape) * unit)
            gradient = self._bound(mean_gradient, sd_gradient)  # linear in both
            return float(sign_and_scale * self._bound(mean, sd).sum()), sign_and_scale * unit * gradient.ravel()

        found = minimize(  # type: ignore[no-untyped-call]  # scipy ships no types
            descend,
            starts.ravel() / unit,
            jac=True,
            method="L-BFGS-B",
            bounds=np.tile(np.stack([box.lower, box.upper], axis=1) / unit, (len(starts), 1)),
            options={"maxiter": n_steps, "ftol": 1e-10, "gtol": 1e-8},
        )
        points = frontier.retreat(starts, box.clip(found.x.reshape(starts.shape) * unit))
        return points, self._values(posterior, points)

    @staticmethod
    def _best(
        box: Box,
        frontier: Frontier,
        points: Floats,
        values: Floats,
        chosen: list[Floats],
        n: int,
        rng: "Generator",
    ) -> Floats:
        """The highest open one of `points` `[k, d]`, in float32, that keeps its distance; else a uniform one."""
        rounded = box.rounded(points)
        is_fit = are_apart(rounded, chosen, box.separation(n)) & frontier.is_open(rounded)
        if is_fit.any():
            return np.asarray(rounded[np.argmax(np.where(is_fit, values, -np.inf))])
        drawn = frontier.only_open(box.rounded(box.draw(_N_SPARE, rng)))
        drawn = drawn[are_apart(drawn, chosen, box.separation(n))]
        return np.asarray(drawn[0]) if len(drawn) else box.draw_apart(chosen, n, rng)


class UcbOptions(Options):
    """Options of the sampler `ucb`."""

    kappa: float = Field(10.0, ge=0.0, description="Standard deviations added to the posterior mean.")
    n_warmup: int = Field(1000, ge=1, description="Uniform points tried before climbing starts from the best of them.")
    avoids_seen: bool = Field(default=True, description="Suggest only what stands for a composition not seen yet.")
    n_starts: int = Field(16, ge=2, le=512, description="Points that climb; half of them start beside the best labels.")


class Ucb:
    """Upper confidence bound of a Gaussian process over the latent box (Srinivas et al., arXiv 0912.3995).

    A point of the history without a label counts as pending: it is conditioned on at its posterior mean. A history
    without any label knows nothing to prefer: the points are then uniform, and their measures NaN.
    """

    options_type: ClassVar[type[Options]] = UcbOptions

    def __init__(self, options: Options) -> None:
        if not isinstance(options, UcbOptions):
            raise TypeError(f"ucb takes UcbOptions, not {type(options).__name__}")
        self.options = options

    def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
        """Propose `n` points, each the best given those before it."""
        _check(history, n)
        if np.isnan(history.objectives).all():
            return Uniform(UniformOptions()).suggest(history, n, seed=seed)
        space = TargetSpace(None, {f"v{i}": (low, high) for i, (low, high) in enumerate(history.bounds)})
        box = Box.of(np.asarray(space.bounds, float))
        read = history.read if self.options.avoids_seen else None
        return BatchUcb(kappa=self.options.kappa).suggest_batch(
            GaussianProcess.fit(history.latents, history.objectives),
            box,
            n,
            frontier=Frontier(box, read, history.seen),
            n_random=self.options.n_warmup,
            n_smart=self.options.n_starts,
            rng=np.random.default_rng(seed),
        )


class UniformOptions(Options):
    """Options of the sampler `random`: none."""


class Uniform:
    """Uniform points of the latent box, whatever the labels: the control of every other sampler."""

    options_type: ClassVar[type[Options]] = UniformOptions

    def __init__(self, options: Options) -> None:
        self.options = options

    def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
        """Propose `n` points; mean, deviation and acquisition are NaN."""
        _check(history, n)
        box, rng = Box.of(history.bounds), np.random.default_rng(seed)
        chosen: list[Floats] = []
        for _ in range(n):
            chosen.append(box.draw_apart(chosen, n, rng))
        unknown = np.full(n, np.nan)
        return Proposals(posterior_mean=unknown, posterior_sd=unknown, acquisition=unknown, latents=np.array(chosen))


def _check(history: History, n: int) -> None:
    if n < 1:
        raise InputError(f"a sampler proposes at least one point, not {n}")
    rows, n_latent = len(history.objectives), len(history.bounds)
    if history.latents.shape != (rows, n_latent):
        raise InputError(f"the history holds latents {history.latents.shape} where [{rows}, {n_latent}] is due")
    if not np.isfinite(history.latents).all() or np.isinf(history.objectives).any():
        raise InputError("the history holds a latent or an objective that is not finite")
