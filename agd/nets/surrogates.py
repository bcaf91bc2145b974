"""Surrogates: what a search believes of compositions that nobody has labelled, and how sure it is."""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agd.nets.threads import n_threads
from agd.types import Floats

Surrogate: TypeAlias = Literal["extra_trees", "gaussian_process"]
"""Extremely randomised trees (doi:10.1007/s10994-006-6226-1) on bootstrap samples, or a Gaussian process."""

N_TREES = 80
MAX_FEATURES = 0.4

_NOISES = (1e-4, 1e-2, 0.1, 0.3)
"""Variances of the noise, in units of the values', among which the evidence chooses: descriptors do not tell all."""


def believe(
    kind: Surrogate, features: NDArray[np.floating], values: Floats, asked: NDArray[np.floating], *, seed: int
) -> tuple[Floats, Floats]:
    """Mean and standard deviation, both `[m]`, of `asked` `[m, d]`, learned from `features` `[n, d]`, `values` `[n]`.

    The trees' deviation is that of their answers; the process sees features in their standard deviations.
    """
    if kind == "gaussian_process":
        return _process(features, values, asked)
    from sklearn.ensemble import ExtraTreesRegressor

    forest = ExtraTreesRegressor(  # type: ignore[no-untyped-call]  # scikit-learn ships no types
        n_estimators=N_TREES, max_features=MAX_FEATURES, bootstrap=True, random_state=seed, n_jobs=n_threads()
    )
    forest.fit(np.asarray(features, np.float32), values)
    asked = np.ascontiguousarray(asked, np.float32)
    total, squares = np.zeros(len(asked)), np.zeros(len(asked))
    for tree in forest.estimators_:
        answers = tree.tree_.predict(asked)[:, 0]
        total += answers
        squares += answers * answers
    mean = total / N_TREES
    return mean, np.sqrt(np.maximum(squares / N_TREES - mean * mean, 0.0))


def _process(features: NDArray[np.floating], values: Floats, asked: NDArray[np.floating]) -> tuple[Floats, Floats]:
    from agd.nets.gp import GaussianProcess, fit_length_scale_and_noise

    known = np.asarray(features, np.float64)
    centre, scale = known.mean(axis=0), known.std(axis=0)
    varies = scale > 0.0
    standard = [(np.asarray(rows, np.float64)[:, varies] - centre[varies]) / scale[varies] for rows in (known, asked)]
    targets = (values - values.mean()) / (values.std() or 1.0)
    length_scale, noise = fit_length_scale_and_noise(standard[0], targets, _NOISES)
    return GaussianProcess.fit(standard[0], values, length_scale=length_scale, noise=noise).posterior(standard[1])
