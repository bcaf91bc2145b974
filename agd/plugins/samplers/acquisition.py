"""What a sampler climbs: acquisition functions of a posterior mean and standard deviation, with their slopes."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, ndtr

from agd.types import Floats

_LOG_ROOT_2_PI = 0.5 * float(np.log(2.0 * np.pi))
_NEAR, _FAR = -1.0, -200.0
"""Standard deviations below the best: nearer than the first the plain formula holds, beyond the second a series."""


class Acquisition(Protocol):
    """A function of posterior means and deviations, both `[k]`, in units of the objective.

    What is climbed is a height: any increasing function of the value.
    """

    def value(self, mean: Floats, sd: Floats) -> Floats:
        """The acquisition `[k]` that is recorded."""

    def height(self, mean: Floats, sd: Floats) -> Floats:
        """What is climbed, `[k]`."""

    def slopes(self, mean: Floats, sd: Floats) -> tuple[Floats, Floats]:
        """Derivatives `[k]` of the height by mean and by deviation."""

    def unit(self, scale: float) -> float:
        """A large difference of heights, given the spread of the objectives."""


@dataclass(frozen=True, slots=True)
class UpperBound:
    """Mean plus `kappa` deviations (Srinivas et al., arXiv 0912.3995); its height is its value."""

    kappa: float

    def value(self, mean: Floats, sd: Floats) -> Floats:
        """The upper confidence bound `[k]`."""
        return np.asarray(mean + self.kappa * sd)

    def height(self, mean: Floats, sd: Floats) -> Floats:
        """The same."""
        return self.value(mean, sd)

    def slopes(self, mean: Floats, sd: Floats) -> tuple[Floats, Floats]:
        """Constants."""
        return np.ones_like(mean), np.full_like(sd, self.kappa)

    def unit(self, scale: float) -> float:
        """Height of one prior deviation."""
        return scale * (1.0 + self.kappa)


@dataclass(frozen=True, slots=True)
class Improvement:
    """Expected improvement over `best + xi` (Jones et al., doi 10.1023/A:1008306431147).

    In many dimensions it underflows nearly everywhere; its height is its logarithm (Ament et al., arXiv 2310.20708).
    """

    best: float
    xi: float

    def value(self, mean: Floats, sd: Floats) -> Floats:
        """The expected improvement `[k]`."""
        return np.exp(self.height(mean, sd))

    def height(self, mean: Floats, sd: Floats) -> Floats:
        """Its logarithm."""
        near, far, is_near = self._deviations(mean, sd)
        far_height = -0.5 * far**2 - _LOG_ROOT_2_PI + np.log(_share(far))
        return np.asarray(np.log(sd) + np.where(is_near, np.log(_gain(near)), far_height))

    def slopes(self, mean: Floats, sd: Floats) -> tuple[Floats, Floats]:
        """Phi / EI and phi / EI, of the normal distribution at the improvement in deviations."""
        near, far, is_near = self._deviations(mean, sd)
        gain, share = sd * _gain(near), sd * _share(far)
        by_mean = np.where(is_near, ndtr(near) / gain, _mills(far) / share)
        return by_mean, np.where(is_near, _density(near) / gain, 1.0 / share)

    def unit(self, scale: float) -> float:  # noqa: ARG002  # a logarithm has no unit
        """One: a factor e."""
        return 1.0

    def _deviations(self, mean: Floats, sd: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """The improvement in deviations, cut to where the plain formula holds and to where it does not; and which."""
        z = (mean - self.best - self.xi) / sd
        return np.maximum(z, _NEAR), np.minimum(z, _NEAR), z > _NEAR


def feasibility(mean: Floats, sd: Floats, low: float | None, high: float | None) -> Floats:
    """The probability `[k]` that a property lies within bounds (Gardner et al., ICML 2014, section 3)."""
    sd = np.maximum(sd, np.finfo(np.float64).tiny)
    below = 0.0 if low is None else ndtr((low - mean) / sd)
    return np.asarray((1.0 if high is None else ndtr((high - mean) / sd)) - below)


def feasible_share(acquired: Floats, probability: Floats, worst: float) -> Floats:
    """What is left of an acquisition `[..., k]` in the objective's unit where it counts only if all else holds.

    What does not hold is worth the `worst` objective, as in BoTorch's `ConstrainedMCObjective` (Balandat et al., arXiv
    1910.06403); a product as it stands would reward what is unlikely where the acquisition is negative.
    """
    above = acquired - worst
    return np.asarray(worst + np.maximum(above, 0.0) * probability + np.minimum(above, 0.0))


def _density(z: Floats) -> Floats:
    """phi(z) of the normal distribution."""
    return np.exp(-0.5 * z**2 - _LOG_ROOT_2_PI)


def _gain(z: Floats) -> Floats:
    """Expected improvement in deviations: phi(z) + z Phi(z), for z not far below zero."""
    return np.asarray(_density(z) + z * ndtr(z))


def _mills(z: Floats) -> Floats:
    """Phi(z) / phi(z) of the normal distribution, for negative z."""
    return np.asarray(np.sqrt(0.5 * np.pi) * erfcx(-z * np.sqrt(0.5)))


def _share(z: Floats) -> Floats:
    """1 + z Phi(z) / phi(z), for negative z; far below zero, where nothing of the difference is left, its series."""
    square = z**-2.0
    return np.where(z > _FAR, 1.0 + z * _mills(z), square * (1.0 - 3.0 * square * (1.0 - 5.0 * square)))
