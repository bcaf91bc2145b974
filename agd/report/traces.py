"""A campaign as arrays, one entry per suggestion in order of (iteration, rank), and what is measured on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agd.db.connection import AnyRow
from agd.plausible import plausible_range
from agd.target import Bounds, are_feasible, are_results
from agd.types import Floats

OUTCOMES: Final = ("new", "duplicate", "known", "rejected", "unanswered", "undecodable")

_LEVELS: Final = np.linspace(0.05, 0.95, 19)
_FEWEST: Final = 20
_NINETY: Final = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What came of each suggestion, all `[n]`: values in the property's unit, NaN where there is none.

    `is_find` marks distinct finds only, `is_feasible` what meets every further target; `calls` counts those charged so
    far. `expected` and `expected_sd` are the sampler's, of the property.
    """

    bounds: Bounds
    iteration: NDArray[np.int64]
    outcome: NDArray[np.str_]
    calls: NDArray[np.int64]
    is_labelled: NDArray[np.bool_]
    is_find: NDArray[np.bool_]
    is_feasible: NDArray[np.bool_]
    value: Floats
    expected: Floats
    expected_sd: Floats
    latent_id: NDArray[np.int64]

    @property
    def n_calls(self) -> int:
        """Calls charged in all."""
        return int(self.calls[-1]) if len(self.calls) else 0

    def finds(self) -> tuple[Floats, Floats]:
        """Distinct finds after each call: calls, finds, from (0, 0) on, where they change and at the end."""
        return _steps(self.calls, np.cumsum(self.is_find).astype(np.float64), 0.0, self.n_calls)

    def best(self) -> tuple[Floats, Floats]:
        """The best label so far after each call, in the property's unit, from the first label on.

        Of several properties it is the first one's, among compositions that meet the targets of the others.
        """
        at = np.flatnonzero(self.is_labelled & self.is_feasible)
        if not len(at):
            return np.empty(0), np.empty(0)
        values = self.value[at]
        scores = self.bounds.objective(values)
        is_better = np.r_[True, scores[1:] > np.maximum.accumulate(scores)[:-1]]
        leader = np.maximum.accumulate(np.where(is_better, np.arange(len(at)), 0))
        return _steps(self.calls[at], values[leader], None, self.n_calls)

    def best_value(self) -> float | None:
        """The label nearest to the target, then the farthest beyond its one bound; the first of equals.

        Where something meets all further targets, nothing else counts.
        """
        is_chosen = self.is_labelled & self.is_feasible
        values = self.value[is_chosen if is_chosen.any() else self.is_labelled]
        return float(values[np.argmax(self.bounds.objective(values))]) if len(values) else None

    def agreement(self) -> tuple[Floats, Floats, Floats]:
        """Expected and labelled values of the property, and the sd, of new labels that the sampler had expected."""
        has_both = self.is_labelled & ~np.isnan(self.expected) & ~np.isnan(self.expected_sd)
        return self.expected[has_both], self.value[has_both], self.expected_sd[has_both]


def trace_of(
    rows: Sequence[AnyRow], bounds: Bounds, property_name: str, further: Sequence[tuple[Bounds, str]] = ()
) -> Trace:
    """Arrays of the rows of `agd.db.reading.reports.trace`; `further` are bounds and property of the other targets."""
    outcome = np.array([row.outcome or "" for row in rows], dtype=np.str_)
    told = _floats([row.value for row in rows])
    is_retracted = np.array([row.is_retracted for row in rows], dtype=np.bool_)
    is_labelled = are_results(outcome, told, is_retracted, property_name)
    shape = (len(rows), len(further))
    others = _floats([value for row in rows for value in row.further_values or ()]).reshape(shape)
    are_gone = np.array([gone for row in rows for gone in row.further_are_retracted or ()], np.bool_).reshape(shape)
    is_feasible = are_feasible(further, others, are_gone)
    return Trace(
        bounds=bounds,
        iteration=np.array([row.iteration for row in rows], dtype=np.int64),
        outcome=outcome,
        calls=np.cumsum([row.is_charged for row in rows], dtype=np.int64),
        is_labelled=is_labelled,
        is_find=is_labelled & bounds.holds(told) & is_feasible,
        is_feasible=is_feasible,
        value=np.where(plausible_range(property_name).holds(told), told, np.nan),
        expected=_floats([row.expected for row in rows]),
        expected_sd=_floats([row.expected_sd for row in rows]),
        latent_id=np.array([row.latent_id for row in rows if row.latent_id is not None], dtype=np.int64),
    )


def per_iteration(trace: Trace) -> tuple[NDArray[np.int64], dict[str, NDArray[np.int64]]]:
    """Iteration numbers, and by outcome how many suggestions of each came to it."""
    numbers, place = np.unique(trace.iteration, return_inverse=True)
    counts = {
        outcome: np.bincount(place[trace.outcome == outcome], minlength=len(numbers)).astype(np.int64)
        for outcome in OUTCOMES
    }
    return numbers, counts


def reliability(predicted: Floats, labelled: Floats, sd: Floats) -> tuple[Floats, Floats] | None:
    """Nominal levels of central intervals and the share of labels inside them; None where labels are too few."""
    is_usable = sd > 0
    if is_usable.sum() < _FEWEST:
        return None
    z = np.abs(labelled - predicted)[is_usable] / sd[is_usable]
    inside = [float(np.mean(z <= factor_of(level))) for level in _LEVELS.tolist()]
    return _LEVELS, np.array(inside)


def oracle_coverage(metrics: dict[str, float]) -> list[tuple[float, float]]:
    """(nominal level, share of held-out rows inside) that an oracle's metrics tell, by level."""
    found = [
        (level_of(factor), metrics[key])
        for key, factor in (("coverage_1_sigma", 1.0), ("coverage_2_sigma", 2.0))
        if key in metrics
    ]
    if "coverage_interval_90" in metrics:
        found.append((_NINETY, metrics["coverage_interval_90"]))
    elif metrics.get("interval_90", 0) > 0:  # the factor in sigmas that covers 90 %
        found.append((level_of(metrics["interval_90"]), _NINETY))
    return sorted(found)


def level_of(factor: float) -> float:
    """The share of a normal distribution within so many sigmas of its mean."""
    return 2 * NormalDist().cdf(factor) - 1


def factor_of(level: float) -> float:
    """How many sigmas on either side hold that share of a normal distribution."""
    return NormalDist().inv_cdf((1 + level) / 2)


def principal_plane(points: Floats, more: Floats) -> tuple[Floats, Floats, tuple[float, float]]:
    """Both clouds `[n, d]`, `[m, d]` in the plane that holds most variance of the two: `[n, 2]`, `[m, 2]`, shares."""
    both = np.concatenate([points, more])
    centre = both.mean(axis=0)
    _, singular, axes = np.linalg.svd(both - centre, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2].sum(axis=1, keepdims=True) + 1e-12)
    variance = singular**2 / max(float(np.sum(singular**2)), 1e-300)
    shares = (float(variance[0]), float(variance[1]) if len(variance) > 1 else 0.0)
    return (points - centre) @ axes.T, (more - centre) @ axes.T, shares


def _floats(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _steps(calls: NDArray[np.int64], values: Floats, start: float | None, n_calls: int) -> tuple[Floats, Floats]:
    """The corners of a step curve over calls: its last value at each call, where that changes, and at the end."""
    is_last = np.r_[calls[1:] != calls[:-1], True] if len(calls) else np.zeros(0, np.bool_)
    x, y = calls[is_last].astype(np.float64), values[is_last]
    if start is not None:
        x, y = np.r_[0.0, x], np.r_[start, y]
    is_corner = np.r_[True, y[1:] != y[:-1]] if len(y) else np.zeros(0, np.bool_)
    x, y = x[is_corner], y[is_corner]
    return (np.r_[x, n_calls], np.r_[y, y[-1]]) if len(x) and x[-1] < n_calls else (x, y)
