"""Samplers: where in the latent box to look next."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from bayes_opt.acquisition import UpperConfidenceBound
from bayes_opt.target_space import TargetSpace
from bayes_opt.util import ensure_rng
from pydantic import Field
from scipy.optimize import minimize

from agd.errors import InputError
from agd.nets.gp import GaussianProcess
from agd.protocols import Options
from agd.types import Floats, History, Proposals

if TYPE_CHECKING:
    from numpy.random import Generator, RandomState

MIN_SEPARATION = 0.01
"""Least distance of two points of a batch of n, as a share of the box's diagonal; 1 / (4 n) where that is smaller."""

_FIRST_STEPS, _NEXT_STEPS = 40, 8
_N_CLIMBERS, _N_CANDIDATES = 12, 32
_JITTERS = (0.02, 0.05, 0.2)  # of a copy of a chosen or known point, in widths of the box
_SLACK = 2e-3
"""Fall of the highest candidate, in prior deviations times 1 + kappa, after which the candidates climb again."""
_MAX_DRAWS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """The points between `lower` and `upper`, both `[d]`, that float32 can hold."""

    lower: Floats
    upper: Floats

    @classmethod
    def of(cls, bounds: Floats) -> "Box":
        """Shrink `bounds` `[d, 2]` to the nearest float32 within; a side that holds none becomes the nearest one."""
        if bounds.ndim != 2 or bounds.shape[1] != 2 or not np.isfinite(bounds).all():  # noqa: PLR2004  # low and high
            raise InputError(f"the bounds of the latent box must be finite and [n_latent, 2], not {bounds.shape}")
        if (bounds[:, 0] > bounds[:, 1]).any():
            raise InputError(f"bound {np.argmax(bounds[:, 0] > bounds[:, 1])} of the latent box has its ends swapped")
        low, high = bounds.T.astype(np.float32)
        lower = np.where(low < bounds[:, 0], np.nextafter(low, np.float32(np.inf)), low)
        upper = np.where(high > bounds[:, 1], np.nextafter(high, np.float32(-np.inf)), high)
        is_empty = lower > upper
        lower[is_empty] = upper[is_empty] = low[is_empty]
        return cls(lower.astype(np.float64), upper.astype(np.float64))

    @property
    def width(self) -> Floats:
        """Lengths of the sides `[d]`."""
        return np.asarray(self.upper - self.lower)

    def draw(self, n: int, rng: "Generator") -> Floats:
        """Uniform points `[n, d]`."""
        return rng.uniform(self.lower, self.upper, (n, len(self.lower)))

    def jitter(self, points: Floats, share: float, rng: "Generator") -> Floats:
        """Move `points` `[n, d]` by a normal deviate of `share` widths, within the box."""
        return self.clip(points + share * self.width * rng.standard_normal(points.shape))

    def clip(self, points: Floats) -> Floats:
        """Nearest points within the box, as float64."""
        return np.clip(points, self.lower, self.upper)

    def rounded(self, points: Floats) -> Floats:
        """Nearest points within the box that float32 holds, as float64."""
        return self.clip(points.astype(np.float32).astype(np.float64))

    def separation(self, n: int) -> float:
        """Least distance kept between n points, small enough for n of them to fit."""
        return float(min(MIN_SEPARATION, 0.25 / n) * np.linalg.norm(self.width))

    def draw_apart(self, chosen: list[Floats], n: int, rng: "Generator") -> Floats:
        """One uniform point `[d]` at least `separation(n)` from those chosen."""
        for _ in range(_MAX_DRAWS):
            point = self.rounded(self.draw(1, rng))
            if _are_apart(point, chosen, self.separation(n))[0]:
                return np.asarray(point[0])
        raise InputError(f"the latent box is too narrow to hold {n} distinct points")


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
        self, posterior: GaussianProcess, box: Box, n: int, *, n_random: int, n_smart: int, rng: "Generator"
    ) -> Proposals:
        """Choose `n` points one after the other, each given those before it at their posterior mean."""
        starts = self._starts(posterior, box, n_random, n_smart, rng)
        points, values = self._climb(posterior, box, starts, _FIRST_STEPS)
        slack, height = _SLACK * posterior.scale * (1.0 + self.kappa), values.max()
        chosen: list[Floats] = []
        measures: list[tuple[float, float]] = []
        while True:
            chosen.append(self._best(box, points, values, chosen, n, rng))
            mean, sd = posterior.posterior(chosen[-1][None])
            measures.append((float(mean[0]), float(sd[0])))
            if len(chosen) == n:
                break
            posterior = posterior.condition(chosen[-1][None])
            near = np.concatenate([box.jitter(chosen[-1][None], share, rng) for share in _JITTERS])
            points = np.concatenate([points, near])
            points = points[_are_apart(points, chosen, box.separation(n))]
            points, values = self._ranked(posterior, points)
            if len(points) and values[0] < height - slack:
                climbed, heights = self._climb(posterior, box, points[:_N_CLIMBERS], _NEXT_STEPS)
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

    def _starts(self, posterior: GaussianProcess, box: Box, n_random: int, n_smart: int, rng: "Generator") -> Floats:
        """The better half `[n_smart, d]` from uniform points, the other beside the points of highest mean."""
        uniform = box.draw(max(n_random, n_smart), rng)
        uniform = uniform[np.argsort(-self._values(posterior, uniform), kind="stable")[: n_smart - n_smart // 2]]
        known = posterior.points[: len(posterior.weights)] + posterior.centre
        known = known[np.argsort(-posterior.mean(known), kind="stable")[: n_smart // 2]]
        return np.concatenate([uniform, box.jitter(known, _JITTERS[1], rng)])

    def _climb(self, posterior: GaussianProcess, box: Box, starts: Floats, n_steps: int) -> tuple[Floats, Floats]:
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
        points = box.clip(found.x.reshape(starts.shape) * unit)
        return points, self._values(posterior, points)

    @staticmethod
    def _best(box: Box, points: Floats, values: Floats, chosen: list[Floats], n: int, rng: "Generator") -> Floats:
        """The highest of `points` `[k, d]`, as float32 holds it, that keeps its distance; else a uniform one."""
        for row in np.argsort(-values, kind="stable"):
            point = box.rounded(points[row : row + 1])
            if _are_apart(point, chosen, box.separation(n))[0]:
                return np.asarray(point[0])
        return box.draw_apart(chosen, n, rng)


class UcbOptions(Options):
    """Options of the sampler `ucb`."""

    kappa: float = Field(10.0, ge=0.0, description="Standard deviations added to the posterior mean.")
    n_warmup: int = Field(1000, ge=1, description="Uniform points tried before climbing starts from the best of them.")
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
        return BatchUcb(kappa=self.options.kappa).suggest_batch(
            GaussianProcess.fit(history.latents, history.objectives),
            Box.of(np.asarray(space.bounds, float)),
            n,
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


def _are_apart(points: Floats, chosen: list[Floats], separation: float) -> Any:
    """Which of `points` `[k, d]` differ from every chosen one by at least `separation`."""
    if not chosen:
        return np.ones(len(points), dtype=np.bool_)
    distances = np.linalg.norm(points[:, None] - np.array(chosen), axis=2).min(axis=1)
    return (distances >= separation) & (distances > 0.0)


def _check(history: History, n: int) -> None:
    if n < 1:
        raise InputError(f"a sampler proposes at least one point, not {n}")
    rows, n_latent = len(history.objectives), len(history.bounds)
    if history.latents.shape != (rows, n_latent):
        raise InputError(f"the history holds latents {history.latents.shape} where [{rows}, {n_latent}] is due")
    if not np.isfinite(history.latents).all() or np.isinf(history.objectives).any():
        raise InputError("the history holds a latent or an objective that is not finite")
