"""Surrogates: what a search believes of compositions that nobody has labelled, and how sure it is."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agd.nets.threads import n_threads
from agd.types import Floats

Surrogate: TypeAlias = Literal["extra_trees", "gaussian_process", "networks"]
"""Extremely randomised trees (doi:10.1007/s10994-006-6226-1) on bootstrap samples, a Gaussian process, or an ensemble
of small networks."""

WEIGHING: Final = ("extra_trees", "networks")
"""Those that can weigh the rows they learn from."""

N_TREES = 80
MAX_FEATURES = 0.4

_TREES_OF_A_DRAW = 8
"""One tree has few different answers, of which the best belong to many compositions, and is too wide a draw."""

_N_JOINT = 2000
"""Compositions of which a Gaussian process draws together: their covariance is a matrix."""

_NOISES = (1e-4, 1e-2, 0.1, 0.3)
"""Variances of the noise, in units of the values', among which the evidence chooses: descriptors do not tell all."""


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """Mean and standard deviation, both `[m]`, and joint draws `[n_draws, m]`, NaN where nothing is drawn."""

    mean: Floats
    sd: Floats
    draws: Floats


def believe(
    kind: Surrogate,
    features: NDArray[np.floating],
    values: Floats,
    asked: NDArray[np.floating],
    *,
    seed: int,
    n_draws: int = 0,
    weights: Floats | None = None,
) -> Belief:
    """What is believed of `asked` `[m, d]`, learned from `features` `[n, d]` and `values` `[n]`.

    Where there are `weights` `[n]`, trees weigh their rows by them and networks draw theirs; a process takes none.

    The deviation of trees is that of their answers, and a draw is the mean of eight random trees; that of networks is
    widened to hold for rows that they have not learned, and a draw is one of them. The process sees features in their
    standard deviations, and draws at the 2,000 of the highest mean and two deviations.
    """
    rng = np.random.default_rng(seed)
    if kind == "gaussian_process":
        if weights is not None:
            raise ValueError(f"{kind} weighs no rows")
        return _process(features, values, asked, rng, n_draws)
    if kind == "networks":
        from agd.nets.network_ensemble import answers

        said, widening = answers(features, values, asked, seed=seed, weights=weights)
        order = np.concatenate([np.zeros(0, np.intp), *(rng.permutation(len(said)) for _ in range(n_draws))])
        return Belief(said.mean(axis=0), widening * said.std(axis=0), said[order[:n_draws]])
    return _trees(features, values, asked, rng, n_draws, seed, weights)


def _trees(
    features: NDArray[np.floating],
    values: Floats,
    asked: NDArray[np.floating],
    rng: np.random.Generator,
    n_draws: int,
    seed: int,
    weights: Floats | None,
) -> Belief:
    from sklearn import config_context  # type: ignore[attr-defined]  # scikit-learn ships no types
    from sklearn.ensemble import ExtraTreesRegressor

    forest = ExtraTreesRegressor(  # type: ignore[no-untyped-call]  # scikit-learn ships no types
        n_estimators=N_TREES, max_features=MAX_FEATURES, bootstrap=True, random_state=seed, n_jobs=n_threads()
    )
    with config_context(assume_finite=True, skip_parameter_validation=True):  # else asked anew of each tree
        forest.fit(np.asarray(features, np.float32), values, sample_weight=weights)
    asked = np.ascontiguousarray(asked, np.float32)
    total, squares = np.zeros(len(asked)), np.zeros(len(asked))
    shares = rng.multinomial(_TREES_OF_A_DRAW, np.full(N_TREES, 1.0 / N_TREES), size=n_draws) / _TREES_OF_A_DRAW
    draws = np.zeros((n_draws, len(asked)))
    for tree, share in zip(forest.estimators_, shares.T, strict=True):
        answers = tree.tree_.predict(asked)[:, 0]
        total += answers
        squares += answers * answers
        draws[share > 0.0] += share[share > 0.0, None] * answers
    mean = total / N_TREES
    return Belief(mean, np.sqrt(np.maximum(squares / N_TREES - mean * mean, 0.0)), draws)


def _process(
    features: NDArray[np.floating],
    values: Floats,
    asked: NDArray[np.floating],
    rng: np.random.Generator,
    n_draws: int,
) -> Belief:
    from agd.nets.gp import GaussianProcess, fit_length_scale_and_noise

    known = np.asarray(features, np.float64)
    centre, scale = known.mean(axis=0), known.std(axis=0)
    varies = scale > 0.0
    standard = [(np.asarray(rows, np.float64)[:, varies] - centre[varies]) / scale[varies] for rows in (known, asked)]
    targets = (values - values.mean()) / (values.std() or 1.0)
    length_scale, noise = fit_length_scale_and_noise(standard[0], targets, _NOISES)
    process = GaussianProcess.fit(standard[0], values, length_scale=length_scale, noise=noise)
    mean, sd = process.posterior(standard[1])
    draws = np.full((n_draws, len(mean)), np.nan)
    if n_draws:
        joint = np.sort(np.argsort(-(mean + 2.0 * sd), kind="stable")[:_N_JOINT])
        draws[:, joint] = process.draws(standard[1][joint], n_draws, rng)
    return Belief(mean, sd, draws)
