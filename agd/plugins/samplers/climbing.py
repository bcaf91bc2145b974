"""The highest points of an acquisition in a box, by gradients of all starts together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from agd.nets.gp import GaussianProcess
from agd.plugins.samplers.acquisition import Acquisition
from agd.plugins.samplers.box import Box, are_apart
from agd.plugins.samplers.frontier import Frontier
from agd.plugins.samplers.published_batch import Measures
from agd.types import Floats, Proposals

if TYPE_CHECKING:
    from numpy.random import Generator

_FIRST_STEPS, _NEXT_STEPS = 40, 8
_HEAT_STEPS, _FINAL_STEPS = 3, 25  # of all starts, then of the best alone
_N_CLIMBERS, _N_CANDIDATES = 12, 32
_N_SPARE = 256
_JITTERS = (0.02, 0.05, 0.2)  # of a copy of a chosen or known point, in widths of the box
_SLACK = 2e-3
"""Fall of the highest candidate, in units of the acquisition, after which the candidates climb again."""


@dataclass(frozen=True, slots=True, eq=False)
class Ascent:
    """One search for high points: what is climbed, where, and with which random numbers."""

    acquisition: Acquisition
    box: Box
    frontier: Frontier
    rng: "Generator"

    def batch(self, posterior: GaussianProcess, n: int, *, n_random: int, n_smart: int) -> Proposals:
        """Choose `n` open points one after the other, each given those before it at their posterior mean."""
        starts = self._starts(posterior, best_known(posterior, n_smart // 2), n_random, n_smart)
        points, heights = self._climb(posterior, starts, _FIRST_STEPS)
        slack, top = _SLACK * self.acquisition.unit(posterior.scale), heights.max()
        chosen: list[Floats] = []
        measures: list[tuple[float, float]] = []
        while True:
            chosen.append(self._best(points, heights, chosen, n))
            self.frontier.close(chosen[-1])
            mean, sd = posterior.posterior(chosen[-1][None])
            measures.append((float(mean[0]), float(sd[0])))
            if len(chosen) == n:
                break
            posterior = posterior.condition(chosen[-1][None])
            near = np.concatenate([self.box.jitter(chosen[-1][None], share, self.rng) for share in _JITTERS])
            points = np.concatenate([points, near])
            points = self.frontier.only_open(points[are_apart(points, chosen, self.box.separation(n))])
            points, heights = self._ranked(posterior, points)
            if len(points) and heights[0] < top - slack:
                climbed, climbed_heights = self._climb(posterior, points[:_N_CLIMBERS], _NEXT_STEPS)
                points = np.concatenate([climbed, points[_N_CLIMBERS:], near])
                heights = np.concatenate([climbed_heights, heights[_N_CLIMBERS:], self._heights(posterior, near)])
                top = climbed_heights.max()
        means, sds = np.array(measures).T
        return Proposals(
            posterior_mean=means,
            posterior_sd=sds,
            acquisition=self.acquisition.value(means, sds),
            latents=np.array(chosen),
        )

    def top(self, posterior: GaussianProcess, known: Floats, *, n_random: int, n_smart: int) -> tuple[Floats, Measures]:
        """The highest point `[d]` that is found; `known` `[k, d]` are good ones to start beside.

        All starts climb a little and the best of them to the end, alone, which is several times quicker.
        """
        starts = self._starts(posterior, known, n_random, n_smart)
        points, heights = self._climb(posterior, starts, _HEAT_STEPS)
        points, _ = self._climb(posterior, points[[np.argmax(heights)]], _FINAL_STEPS)
        point = self.box.rounded(points)
        mean, sd = posterior.posterior(point)
        return np.asarray(point[0]), (float(mean[0]), float(sd[0]), float(self.acquisition.value(mean, sd)[0]))

    def _heights(self, posterior: GaussianProcess, points: Floats) -> Floats:
        return self.acquisition.height(*posterior.posterior(points))

    def _ranked(self, posterior: GaussianProcess, points: Floats) -> tuple[Floats, Floats]:
        """The highest of `points` `[k, d]` and their heights, in falling order."""
        heights = self._heights(posterior, points)
        order = np.argsort(-heights, kind="stable")[:_N_CANDIDATES]
        return points[order], heights[order]

    def _starts(self, posterior: GaussianProcess, known: Floats, n_random: int, n_smart: int) -> Floats:
        """The better half `[n_smart, d]` from uniform points, the other beside the `known` ones."""
        uniform = self.frontier.only_open(self.box.draw(max(n_random, n_smart), self.rng))
        uniform = self._highest(posterior, uniform, n_smart - n_smart // 2)
        beside = np.concatenate([self.box.jitter(known, share, self.rng) for share in _JITTERS])
        return np.concatenate([uniform, self._highest(posterior, self.frontier.only_open(beside), n_smart // 2)])

    def _highest(self, posterior: GaussianProcess, points: Floats, n: int) -> Floats:
        return points[np.argsort(-self._heights(posterior, points), kind="stable")[:n]]

    def _climb(self, posterior: GaussianProcess, starts: Floats, n_steps: int) -> tuple[Floats, Floats]:
        """Climb from all `starts` `[k, d]` as one problem, the sum of their heights (L-BFGS-B, Byrd et al. 1995)."""
        unit = posterior.length_scale
        sign_and_scale = -1.0 / self.acquisition.unit(posterior.scale)

        def descend(flat: Floats) -> tuple[float, Floats]:
            mean, sd, mean_gradient, sd_gradient = posterior.posterior_gradients(flat.reshape(starts.shape) * unit)
            by_mean, by_sd = self.acquisition.slopes(mean, sd)
            gradient = by_mean[:, None] * mean_gradient + by_sd[:, None] * sd_gradient
            height = self.acquisition.height(mean, sd).sum()
            return float(sign_and_scale * height), sign_and_scale * unit * gradient.ravel()

        found = minimize(  # type: ignore[no-untyped-call]  # scipy ships no types
            descend,
            starts.ravel() / unit,
            jac=True,
            method="L-BFGS-B",
            bounds=np.tile(np.stack([self.box.lower, self.box.upper], axis=1) / unit, (len(starts), 1)),
            options={"maxiter": n_steps, "ftol": 1e-10, "gtol": 1e-8},
        )
        points = self.frontier.retreat(starts, self.box.clip(found.x.reshape(starts.shape) * unit))
        return points, self._heights(posterior, points)

    def _best(self, points: Floats, heights: Floats, chosen: list[Floats], n: int) -> Floats:
        """The highest open one of `points` `[k, d]`, in float32, that keeps its distance; else a uniform one."""
        box = self.box
        rounded = box.rounded(points)
        is_fit = are_apart(rounded, chosen, box.separation(n)) & self.frontier.is_open(rounded)
        if is_fit.any():
            return np.asarray(rounded[np.argmax(np.where(is_fit, heights, -np.inf))])
        drawn = self.frontier.only_open(box.rounded(box.draw(_N_SPARE, self.rng)))
        drawn = drawn[are_apart(drawn, chosen, box.separation(n))]
        return np.asarray(drawn[0]) if len(drawn) else box.draw_apart(chosen, n, self.rng)


def best_known(posterior: GaussianProcess, n: int) -> Floats:
    """The labelled points of highest posterior mean, at most `n` of them: `[k, d]`."""
    known = posterior.points[: len(posterior.weights)] + posterior.centre
    return known[np.argsort(-posterior.mean(known), kind="stable")[:n]]
