"""Trust regions in latent space: candidates around several of the best labelled points (arXiv 1910.01739)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.chem.analogues import keys_of
from agd.chem.descriptors import magpie_and_fractions
from agd.chem.formula import parse_formulas
from agd.plugins.samplers.box import Box, are_apart
from agd.plugins.samplers.uniform import Uniform, UniformOptions, checked_box
from agd.plugins.samplers.weighing import Batch, Cap, Known, WeighingOptions, caps_on_systems, weigh
from agd.protocols import Options, Space
from agd.types import Counts, Floats, History, Proposals

if TYPE_CHECKING:
    from numpy.random import Generator

_LEAST, _FIRST, _MOST = 0.5, 1.0, 2.0
"""Radii, in standard deviations: nearer than half of one a point decodes to its centre."""
_STEP = 1.5
"""Factor by which successes widen the radius, and failures narrow it."""
_SUCCESSES, _FAILURES = 3, 5
"""Batches in a row that do so."""
_IS_BETTER = 1e-3
"""Share of the best objective by which a batch has to pass it."""
_GROWTH = 1.25
"""Factor by which the radius grows while too little is new."""
_N_ROUNDS = 12


class TrustRegionOptions(WeighingOptions):
    """Options of the sampler `trust-region`."""

    max_per_system_in_batch: int | None = Field(
        2, ge=1, description="Most suggestions of one chemical system in an iteration."
    )
    max_per_system: int | None = Field(3, ge=1, description="Most suggestions of one chemical system in the campaign.")
    features: Literal["magpie", "latent"] = Field(
        "magpie",
        description="What the surrogate sees: Magpie descriptors and element fractions of what a point stands for, or"
        " the point.",
    )
    n_centres: int = Field(5, ge=1, description="Best labelled points, each of a chemical system of its own.")
    n_perturbed: int = Field(
        2000, ge=1, le=100_000, description="Points drawn around the centres, and again at each larger radius."
    )
    n_new: int = Field(
        200,
        ge=1,
        description="New compositions among which a batch is chosen: the radius grows until there are so many.",
    )


class TrustRegion:
    """Points near the best labelled ones, weighed by what was learned from every label so far.

    The centres are the best labelled points of different chemical systems, and a batch is filled from all of them.
    Points around them are drawn with a normal deviate of a radius in standard deviations of the initial points. Three
    batches in a row that found a better one widen the radius, five that did not narrow it, both counted anew in the
    history; and while fewer than `n_new` new compositions come, it grows. Where a batch cannot be filled so, as in a
    history without labels, points are uniform. In the published loop it proposes n points as in any other.
    """

    options_type: ClassVar[type[Options]] = TrustRegionOptions
    space: ClassVar[Space] = "latent"
    draws_from_pool: ClassVar[bool] = False
    takes_several_properties: ClassVar[bool] = False

    def __init__(self, options: Options) -> None:
        if not isinstance(options, TrustRegionOptions):
            raise TypeError(f"trust-region takes TrustRegionOptions, not {type(options).__name__}")
        self.options = options

    def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
        """Propose `n` points, of which only uniform ones may stand for nothing new."""
        box, rng = checked_box(history, n), np.random.default_rng(seed)
        known = _labelled(history)
        if not len(known):
            return Uniform(UniformOptions()).suggest(history, n, seed=seed)
        centres = _centres(history, known, self.options.n_centres)
        around = _Around(box, box.clip(history.latents[centres]), _deviations(history, box), history)
        radius = radius_of(history.objectives, history.n_initial, n)
        made = around.grown(radius, self.options.n_perturbed, max(n, self.options.n_new), rng)
        batch = self._batch(history, known, made, len(centres), n, seed)
        return _filled(batch, made.points, box, n, rng)

    def _batch(
        self, history: History, known: NDArray[np.intp], made: "_Candidates", n_centres: int, n: int, seed: int
    ) -> Batch:
        def features() -> tuple[NDArray[np.floating], NDArray[np.floating]]:
            if self.options.features == "latent" or made.counts is None or history.counts is None:
                return history.latents[known], made.points
            return magpie_and_fractions(history.counts[known]), magpie_and_fractions(made.counts)

        trust = None if history.weights is None else history.weights[known]
        told = Known(history.objectives[known], trust=trust)
        weights = weigh(told, len(made.points), features, self.options, n, seed=seed)

        def chosen(n_of_centre: int) -> Batch:
            caps = [] if made.counts is None else caps_on_systems(made.counts, history, self.options)
            return weights.batch(n, [Cap(made.centres.tolist(), n_of_centre), *caps])

        batch = chosen(-(-n // n_centres))
        return batch if len(batch.rows) == n else chosen(n)


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """Points `[m, d]`, the number of the centre of each `[m]`, and what they stand for, `[m, 103]`, if it is known."""

    points: Floats
    centres: NDArray[np.intp]
    counts: Counts | None


@dataclass(frozen=True, slots=True, eq=False)
class _Around:
    """Centres `[c, d]` in a box, the standard deviation `[d]` of each dimension, and what the campaign knows."""

    box: Box
    centres: Floats
    deviations: Floats
    history: History

    def grown(self, radius: float, n: int, n_new: int, rng: "Generator") -> _Candidates:
        """`n` points around the centres at each of some radii, the first given; those that are new, each once."""
        points, of = np.zeros((0, self.centres.shape[1])), np.zeros(0, np.intp)
        formulas: dict[str, int] = {}
        for _ in range(_N_ROUNDS):
            drawn, drawn_of = self._drawn(radius, n, rng)
            if self.history.read is None:
                return _Candidates(drawn, drawn_of, None)
            start = len(points)
            points, of = np.concatenate([points, drawn]), np.concatenate([of, drawn_of])
            for i, formula in enumerate(self.history.read(drawn), start):
                if formula is not None and formula not in self.history.seen:
                    formulas.setdefault(formula, i)
            if len(formulas) >= n_new:
                break
            radius *= _GROWTH
        counts, _ = parse_formulas(list(formulas))
        rows = np.array(list(formulas.values()), np.intp)
        return _Candidates(points[rows], of[rows], counts)

    def _drawn(self, radius: float, n: int, rng: "Generator") -> tuple[Floats, NDArray[np.intp]]:
        of = np.arange(n) % len(self.centres)
        moves = radius * self.deviations * rng.standard_normal((n, len(self.deviations)))
        return self.box.rounded(self.centres[of] + moves), of


def radius_of(objectives: Floats, n_initial: int, n: int) -> float:
    """The radius that a campaign's batches of `n` have led to, in standard deviations.

    `objectives` are those of a history, of which the first `n_initial` belong to no batch.
    """
    radius, n_better, n_not = _FIRST, 0, 0
    best = np.nanmax(objectives[:n_initial], initial=-np.inf)
    for start in range(n_initial, len(objectives), n):
        reached = np.nanmax(objectives[start : start + n], initial=-np.inf)
        is_better = reached > best + _IS_BETTER * abs(best) if np.isfinite(best) else np.isfinite(reached)
        n_better, n_not = (n_better + 1, 0) if is_better else (0, n_not + 1)
        best = max(best, reached)
        if n_better == _SUCCESSES:
            radius, n_better = min(radius * _STEP, _MOST), 0
        elif n_not == _FAILURES:
            radius, n_not = max(radius / _STEP, _LEAST), 0
    return radius


def _labelled(history: History) -> NDArray[np.intp]:
    """The rows that have a label and, where it is known what rows stand for, stand for something."""
    is_known = ~np.isnan(history.objectives)
    return np.flatnonzero(is_known if history.counts is None else is_known & history.counts.any(axis=1))


def _centres(history: History, known: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """The best of the rows known, at most `n`, each of another chemical system or, where none is known, point."""
    ranked = known[np.argsort(-history.objectives[known], kind="stable")]
    if history.counts is None:
        _, first = np.unique(history.latents[ranked], axis=0, return_index=True)
    else:
        _, first = np.unique(keys_of((history.counts[ranked] > 0).astype(np.int32)), return_index=True)
    return ranked[np.sort(first)][:n]


def _deviations(history: History, box: Box) -> Floats:
    """The standard deviation `[d]` of the initial points; where they are one, of uniform ones of the box."""
    initial = history.latents[: history.n_initial or len(history.latents)]
    deviations = initial.std(axis=0)
    return np.asarray(np.where(deviations > 0.0, deviations, box.width / np.sqrt(12.0)))


def _filled(batch: Batch, points: Floats, box: Box, n: int, rng: "Generator") -> Proposals:
    """The batch, in `points` `[m, d]`, and uniform points, whose measures are NaN, until there are `n`."""
    chosen: list[Floats] = []
    kept: list[int] = []
    for position, row in enumerate(batch.rows):
        if are_apart(points[[row]], chosen, 0.0)[0]:
            chosen.append(points[row])
            kept.append(position)
    n_uniform = n - len(chosen)
    while len(chosen) < n:
        chosen.append(box.draw_apart(chosen, n, rng))
    unknown = np.full(n_uniform, np.nan)
    mean, sd, acquisition = (
        np.concatenate([measure[kept], unknown]) for measure in (batch.mean, batch.sd, batch.acquisition)
    )
    return Proposals(posterior_mean=mean, posterior_sd=sd, acquisition=acquisition, latents=np.array(chosen))
