"""Oracles: what answers a property for a composition."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import Field

from agd.chem.descriptors import MAGPIE_FEATURES, magpie
from agd.errors import InputError
from agd.protocols import Options, Progress, silent
from agd.types import Counts, FittedModel, Floats, Prediction, Tensors, TrainingTable

if TYPE_CHECKING:
    from agd.nets.forest import Forest

_CHUNK = 16_384


class RandomForestOptions(Options):
    """Options of the oracle `random_forest`."""

    n_trees: int = Field(100, ge=1, le=10_000, description="Trees of the forest.")
    max_features: float = Field(1 / 3, gt=0.0, le=1.0, description="Share of the features tried at each split.")
    min_samples_leaf: int = Field(2, ge=1, description="Fewest training rows in a leaf; more make a smaller model.")
    minimum: float = Field(0.0, description="Least value the property can have, in its unit; lower ones are raised.")


class RandomForest:
    """Random forest on the 132 Magpie descriptors, its uncertainty calibrated on out-of-bag rows.

    Descriptors are always finite (an element's missing value is imputed), so every composition with atoms has a label.
    """

    options_type: ClassVar[type[Options]] = RandomForestOptions
    architecture_version: ClassVar[int] = 1

    def __init__(self, forest: "Forest", options: RandomForestOptions) -> None:
        self.forest, self.options = forest, options

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        """Grow the forest on the rows not held out; raises InputError for a table without finite values."""
        from agd.nets.forest import Forest

        options = _own(options)
        if table.values is None or not np.isfinite(table.values).all():
            raise InputError("a random forest needs a finite value for every row of its training table")
        is_seen = ~table.is_held_out
        if not is_seen.any():
            raise InputError("a random forest needs at least one row that is not held out")
        forest = Forest.fit(
            magpie(table.counts[is_seen]),
            table.values[is_seen],
            n_trees=options.n_trees,
            max_features=options.max_features,
            min_samples_leaf=options.min_samples_leaf,
            seed=seed,
            progress=progress,
        )
        metrics = {"n_train": float(is_seen.sum()), "n_held_out": float(table.is_held_out.sum())}
        if table.is_held_out.any():
            prediction = cls(forest, options).label(table.counts[table.is_held_out])
            metrics.update(_measure(table.values[table.is_held_out], prediction))
        return FittedModel(forest.to_tensors(), metrics)

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild the forest from its arrays; raises ModelError where they have been altered."""
        from agd.nets.forest import Forest

        return cls(Forest.from_tensors(tensors, n_features=len(MAGPIE_FEATURES)), _own(options))

    def label(self, counts: Counts) -> Prediction:
        """Predict compositions `[n, 103]`; raises InputError for a row without atoms."""
        values, uncertainties = np.empty(len(counts)), np.empty(len(counts))
        for start in range(0, len(counts), _CHUNK):
            rows = slice(start, start + _CHUNK)
            values[rows], uncertainties[rows] = self.forest.predict(magpie(counts[rows]))
        return Prediction(np.maximum(values, self.options.minimum), uncertainties)


def _own(options: Options) -> RandomForestOptions:
    if not isinstance(options, RandomForestOptions):
        raise TypeError(f"random_forest takes RandomForestOptions, not {type(options).__name__}")
    return options


def _measure(values: Floats, prediction: Prediction) -> Mapping[str, float]:
    """Score predictions of held-out rows; a correlation of constants is left out."""
    from scipy.stats import rankdata

    errors = np.abs(prediction.values - values)
    metrics = {
        "mae": errors.mean(),
        "rmse": np.sqrt(np.mean(errors**2)),
        "coverage_1_sigma": np.mean(errors <= prediction.uncertainties),
        "coverage_2_sigma": np.mean(errors <= 2.0 * prediction.uncertainties),
    }
    if np.ptp(values) > 0.0:
        metrics["r2"] = 1.0 - np.mean(errors**2) / values.var()
    if np.ptp(errors) > 0.0 and np.ptp(prediction.uncertainties) > 0.0:
        metrics["spearman_uncertainty_error"] = np.corrcoef(rankdata(prediction.uncertainties), rankdata(errors))[0, 1]
    return {name: float(value) for name, value in metrics.items()}
