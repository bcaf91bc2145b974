"""Gaussian process with a Matérn 5/2 kernel of one length scale, for many points in many dimensions.

The model is that of scikit-learn's `GaussianProcessRegressor(Matern(nu=2.5), alpha=1e-6, normalize_y=True)`
(Rasmussen and Williams, Gaussian Processes for Machine Learning, algorithm 2.1); the algebra is batched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from scipy.optimize import minimize_scalar

from agd.types import Floats

if TYPE_CHECKING:
    from numpy.random import Generator

NOISE = 1e-6
"""Variance on the diagonal, in units of the normalised targets, where nothing else is said."""

MAX_ROWS_FOR_LENGTH_SCALE = 1000
"""With more labelled rows than this the length scale is fitted on so many, evenly spaced in their order."""

_MAX_ROWS_FOR_GRID = 256
_MAX_PEAKS = 3
_GRID = np.linspace(-5.0, 5.0, 41)
"""log10 of the trial length scales; its ends are the bounds."""
_MARGIN = 5.0
"""Nats below the highest peak on few rows at which another is still followed on more rows."""
_TOLERANCE = 1e-4
_VARIANCE_FLOOR = 1e-12
_CHUNK = 512


def squared_distances(a: Floats, b: Floats) -> Floats:
    """Squared Euclidean distances of `[n, d]` and `[m, d]`: `[n, m]`; exact to the rounding of the squared norms."""
    squares = a @ b.T
    squares *= -2.0
    squares += np.einsum("nd,nd->n", a, a)[:, None]
    squares += np.einsum("md,md->m", b, b)
    return np.maximum(squares, 0.0, out=squares)


def matern(scaled: Floats) -> Floats:
    """Matérn 5/2 correlation at distances of any shape in units of the length scale over the square root of 5."""
    correlation = scaled * scaled
    correlation /= 3.0
    correlation += scaled
    correlation += 1.0
    correlation *= np.exp(-scaled)
    return correlation


def log_marginal_likelihood(distances: Floats, targets: Floats, length_scale: float, noise: float = NOISE) -> float:
    """Log evidence of normalised `targets` `[n]` at `distances` `[n, n]`; -inf where the kernel has no factor."""
    try:
        return _evidence(_cholesky(matern(distances * (np.sqrt(5.0) / length_scale)), noise), targets)
    except LinAlgError:
        return -np.inf


def fit_length_scale(points: Floats, targets: Floats) -> float:
    """Length scale of the largest marginal likelihood.

    On a few rows a grid over ten decades finds the peaks; Brent's method climbs them, and the likely ones on more rows.
    """
    rows = _evenly_spaced(len(points), MAX_ROWS_FOR_LENGTH_SCALE)
    distances, targets = np.sqrt(squared_distances(points[rows], points[rows])), targets[rows]
    few = _evenly_spaced(len(rows), _MAX_ROWS_FOR_GRID)
    few_distances, few_targets = distances[np.ix_(few, few)], targets[few]
    values = np.array([log_marginal_likelihood(few_distances, few_targets, 10.0**x) for x in _GRID])
    if np.ptp(values) == 0.0:
        return 1.0
    peaks = [_climb(few_distances, few_targets, x, half_width=0.25) for x in _GRID[_peaks(values)]]
    if len(few) < len(rows):
        likely = [x for value, x in peaks if value > max(peaks)[0] - _MARGIN]
        peaks = [_climb(distances, targets, x, half_width=0.1) for x in likely]
    return float(10.0 ** max(peaks)[1])


def fit_length_scale_and_noise(points: Floats, targets: Floats, noises: Sequence[float]) -> tuple[float, float]:
    """Length scale, and variance of the noise among `noises`, of the largest marginal likelihood on a few rows."""
    rows = _evenly_spaced(len(points), _MAX_ROWS_FOR_GRID)
    distances, targets = np.sqrt(squared_distances(points[rows], points[rows])), targets[rows]
    values = np.array(
        [[log_marginal_likelihood(distances, targets, 10.0**x, noise) for x in _GRID] for noise in noises]
    )
    if np.ptp(values) == 0.0:
        return 1.0, noises[0]
    row, column = divmod(int(values.argmax()), len(_GRID))
    _, peak = _climb(distances, targets, _GRID[column], half_width=0.25, noise=noises[row])
    return float(10.0**peak), noises[row]


@dataclass(frozen=True, slots=True, eq=False)
class GaussianProcess:
    """A posterior given points of which some have a value and the others are waiting for one.

    A point without a value is conditioned on at its own posterior mean: the mean stays, the variance shrinks.
    `points` is `[n + m, d]`, less `centre` `[d]`: those with a value first, then those without, then the m that came by
    `condition`. `values` and `weights` belong to the first points. `factor` `[n, n]` and `corner` `[m, m]` are lower
    triangular, `border` is `[n, m]`. `noise` is the variance on the diagonal, in units of the normalised values.
    """

    centre: Floats
    points: Floats
    values: Floats
    length_scale: float
    offset: float
    scale: float
    weights: Floats
    log_marginal_likelihood: float
    factor: Floats
    border: Floats
    corner: Floats
    noise: float

    @classmethod
    def fit(cls, points: Floats, values: Floats, *, length_scale: float | None = None, noise: float = NOISE) -> Self:
        """Condition on `points` `[n, d]` with `values` `[n]`, NaN where there is none; at least one is known.

        The length scale is fitted where none is given. Every row is conditioned on, however many fitted it.
        """
        is_known = ~np.isnan(values)
        n_known = int(is_known.sum())
        if n_known == 0:
            raise ValueError("a Gaussian process needs at least one known value")
        centre = points.mean(axis=0)
        points = np.concatenate([points[is_known], points[~is_known]]) - centre
        values = values[is_known]
        offset, scale = _normalisation(values)
        targets = (values - offset) / scale
        if length_scale is None:
            length_scale = fit_length_scale(points[:n_known], targets)
        factor = _cholesky(_upper_kernel(points, length_scale), noise)
        known_factor = factor[:n_known, :n_known]
        return cls(
            centre=centre,
            points=points,
            values=values,
            length_scale=length_scale,
            offset=offset,
            scale=scale,
            weights=_solve(known_factor, _solve(known_factor, targets), transposed=True),
            log_marginal_likelihood=_evidence(known_factor, targets),
            factor=factor,
            border=np.empty((len(points), 0)),
            corner=np.empty((0, 0)),
            noise=noise,
        )

    def condition(self, points: Floats, values: Floats | None = None) -> Self:
        """Condition on more `points` `[k, d]` by bordering the factor; without `values` `[k]` they wait for theirs.

        With values the posterior is that of a fit to everything at the same length scale: the targets are normalised
        anew. Values cannot come after a point that waits for one.
        """
        if values is not None and len(self.values) < len(self.points):
            raise ValueError("a Gaussian process with points that wait for a value takes no more values: fit it again")
        points = points - self.centre
        inner, outer = self._whiten(matern(self._scaled_distances(points)))
        prior = _upper_kernel(points, self.length_scale)
        m = len(self.corner)
        corner = np.zeros((m + len(points), m + len(points)))
        corner[:m, :m] = self.corner
        corner[m:, :m] = outer.T
        corner[m:, m:] = _cholesky(prior - inner.T @ inner - outer.T @ outer, self.noise)
        grown = replace(
            self,
            points=np.concatenate([self.points, points]),
            border=np.concatenate([self.border, inner], axis=1),
            corner=corner,
        )
        return grown if values is None else grown.revalued(np.concatenate([self.values, values]))

    def revalued(self, values: Floats) -> Self:
        """Give every point a value: `values` `[n + m]`, in the order of `points`."""
        offset, scale = _normalisation(values)
        inner, outer = self._whiten(((values - offset) / scale)[None])
        log_determinant = np.log(np.diag(self.factor)).sum() + np.log(np.diag(self.corner)).sum()
        squares = float(inner[:, 0] @ inner[:, 0] + outer[:, 0] @ outer[:, 0])
        return replace(
            self,
            values=values,
            offset=offset,
            scale=scale,
            weights=self._unwhiten(inner, outer)[0],
            log_marginal_likelihood=float(-0.5 * (squares + len(values) * np.log(2.0 * np.pi)) - log_determinant),
        )

    def mean(self, points: Floats) -> Floats:
        """Posterior mean `[k]` at `points` `[k, d]`, without the cost of a deviation."""
        points = points - self.centre
        parts = [points[start : start + _CHUNK] for start in range(0, len(points), _CHUNK)]
        return np.concatenate([np.empty(0), *(self._mean(matern(self._scaled_distances(part))) for part in parts)])

    def posterior(self, points: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, both `[k]`, at `points` `[k, d]`."""
        points = points - self.centre
        mean, sd = np.empty(len(points)), np.empty(len(points))
        for start in range(0, len(points), _CHUNK):
            rows = slice(start, start + _CHUNK)
            correlation = matern(self._scaled_distances(points[rows]))
            mean[rows] = self._mean(correlation)
            sd[rows] = self._sd(*self._whiten(correlation))
        return mean, sd

    def draws(self, points: Floats, n: int, rng: "Generator") -> Floats:
        """Joint draws `[n, k]` at `points` `[k, d]`, whose covariance `[k, k]` is held."""
        points = points - self.centre
        correlation = matern(self._scaled_distances(points))
        inner, outer = self._whiten(correlation)
        factor = _cholesky(_upper_kernel(points, self.length_scale) - inner.T @ inner - outer.T @ outer, NOISE)
        return np.asarray(self._mean(correlation) + self.scale * (rng.standard_normal((n, len(points))) @ factor.T))

    def posterior_gradients(self, points: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Mean and standard deviation `[k]` and their gradients `[k, d]` at `points` `[k, d]`."""
        points = points - self.centre
        scaled = self._scaled_distances(points)
        correlation = matern(scaled)
        inner, outer = self._whiten(correlation)
        sd = self._sd(inner, outer)
        # The gradient of a correlation is its slope times the vector from the conditioned point.
        slope = (scaled + 1.0) * np.exp(-scaled)
        slope *= -5.0 / (3.0 * self.length_scale**2)
        mean_pull = slope[:, : len(self.weights)] * (self.scale * self.weights)
        sd_pull = self._unwhiten(inner, outer) * slope
        sd_pull *= (-(self.scale**2) / sd)[:, None]
        return self._mean(correlation), sd, self._pull(mean_pull, points), self._pull(sd_pull, points)

    def _scaled_distances(self, points: Floats) -> Floats:
        """`[k, n + m]`, in units of the length scale over the square root of 5, of centred `points`."""
        distances = np.sqrt(squared_distances(points, self.points))
        distances *= np.sqrt(5.0) / self.length_scale
        return distances

    def _mean(self, correlation: Floats) -> Floats:
        return np.asarray(self.offset + self.scale * (correlation[:, : len(self.weights)] @ self.weights))

    def _sd(self, inner: Floats, outer: Floats) -> Floats:
        variance = 1.0 - np.einsum("nk,nk->k", inner, inner) - np.einsum("mk,mk->k", outer, outer)
        return np.asarray(self.scale * np.sqrt(np.maximum(variance, _VARIANCE_FLOOR)))

    def _whiten(self, correlation: Floats) -> tuple[Floats, Floats]:
        """Solve with the bordered factor: `[k, n + m]` to `[n, k]` and `[m, k]`."""
        n = len(self.factor)
        inner = _solve(self.factor, correlation[:, :n].T)
        return inner, _solve(self.corner, correlation[:, n:].T - self.border.T @ inner)

    def _unwhiten(self, inner: Floats, outer: Floats) -> Floats:
        """Solve with the transposed bordered factor: `[n, k]` and `[m, k]` to `[k, n + m]`."""
        outer = _solve(self.corner, outer, transposed=True)
        inner = _solve(self.factor, inner - self.border @ outer, transposed=True)
        return np.concatenate([inner, outer]).T

    def _pull(self, pull: Floats, points: Floats) -> Floats:
        """Sum of `pull[k, i] * (points[k] - self.points[i])` over i: `[k, d]`."""
        return np.asarray(points * pull.sum(axis=1)[:, None] - pull @ self.points[: pull.shape[1]])


def _normalisation(values: Floats) -> tuple[float, float]:
    """Mean and standard deviation, the latter 1 where all values are equal."""
    offset, scale = float(values.mean()), float(values.std())
    return offset, scale if scale > np.finfo(np.float64).eps * max(abs(offset), 1.0) else 1.0


def _upper_kernel(points: Floats, length_scale: float) -> Floats:
    """Correlations of all pairs `[n, n]`, computed in blocks of rows and only on and above the diagonal."""
    kernel = np.empty((len(points), len(points)))
    for start in range(0, len(points), _CHUNK):
        rows = slice(start, start + _CHUNK)
        distances = np.sqrt(squared_distances(points[rows], points[start:]))
        kernel[rows, start:] = matern(distances * (np.sqrt(5.0) / length_scale))
    return kernel


def _cholesky(upper: Floats, noise: float) -> Floats:
    """Lower factor, with the noise on the diagonal, in Fortran order and written over `upper`."""
    upper[np.diag_indices_from(upper)] += noise
    return np.asarray(cholesky(upper.T, lower=True, overwrite_a=True, check_finite=False))


def _solve(factor: Floats, right: Floats, *, transposed: bool = False) -> Floats:
    if len(factor) == 0:
        return right
    return np.asarray(solve_triangular(factor, right, lower=True, trans=int(transposed), check_finite=False))


def _evidence(factor: Floats, targets: Floats) -> float:
    whitened = _solve(factor, targets)
    return float(-0.5 * (whitened @ whitened + len(targets) * np.log(2.0 * np.pi)) - np.log(np.diag(factor)).sum())


def _climb(
    distances: Floats, targets: Floats, start: float, *, half_width: float, noise: float = NOISE
) -> tuple[float, float]:
    """Log evidence at the peak near `start`, and log10 of its length scale; widens while the peak is at the edge."""
    low, high = max(start - half_width, _GRID[0]), min(start + half_width, _GRID[-1])
    with np.errstate(invalid="ignore"):  # of two infinite values no parabola is made: the next step is a golden section
        found = minimize_scalar(  # type: ignore[no-untyped-call]  # scipy ships no types
            lambda x: -log_marginal_likelihood(distances, targets, 10.0**x, noise),
            bounds=(low, high),
            method="bounded",
            options={"xatol": _TOLERANCE},
        )
    is_at_low = low > _GRID[0] and found.x < low + 10.0 * _TOLERANCE
    is_at_high = high < _GRID[-1] and found.x > high - 10.0 * _TOLERANCE
    if is_at_low or is_at_high:
        return _climb(distances, targets, float(found.x), half_width=2.0 * half_width, noise=noise)
    return -float(found.fun), float(found.x)


def _peaks(values: Floats) -> NDArray[np.intp]:
    """Indices of the highest local maxima, highest first; on a plateau its first point."""
    padded = np.concatenate([[-np.inf], values, [-np.inf]])
    peaks = np.flatnonzero((padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:]))
    return peaks[np.argsort(-values[peaks], kind="stable")][:_MAX_PEAKS]


def _evenly_spaced(n: int, limit: int) -> NDArray[np.intp]:
    return np.arange(n) if n <= limit else np.linspace(0, n - 1, limit).astype(np.intp)
