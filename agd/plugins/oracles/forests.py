"""Forests as oracles: what answers a property for a composition."""

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.chem.descriptors import MAGPIE_FEATURES, magpie
from agd.nets.error_measures import measure_errors
from agd.plugins.oracles.composition_oracle import CompositionOracleOptions, DescriptorOracle, own, raised
from agd.plugins.oracles.training_answers import SeenRows
from agd.progress import Progress
from agd.protocols import Options
from agd.types import Counts, Floats, Tensors

if TYPE_CHECKING:
    from agd.nets.calibration import OutOfFold
    from agd.nets.forest import Forest


class ForestOptions(CompositionOracleOptions):
    """Options of both forests."""

    n_trees: int = Field(100, ge=1, le=10_000, description="Trees of the forest.")
    max_features: float = Field(1 / 3, gt=0.0, le=1.0, description="Share of the features tried at each split.")
    min_samples_leaf: int = Field(2, ge=1, description="Fewest training rows in a leaf; more make a smaller model.")
    answer: Literal["mean", "median"] = Field(
        "mean",
        exclude_if=lambda answer: answer == "mean",
        description="How the answers of the trees become one; by the median fewer rows are far off.",
    )


class RandomForestOptions(ForestOptions):
    """Options of the oracle `random_forest`."""


class ExtraTreesOptions(ForestOptions):
    """Options of the oracle `extra_trees`."""

    max_features: float = Field(0.6, gt=0.0, le=1.0, description="Share of the features tried at each split.")


class _ForestOracle(DescriptorOracle):
    grower: ClassVar[Literal["random_forest", "extra_trees"]]

    @classmethod
    def _fit(
        cls, rows: SeenRows, options: CompositionOracleOptions, seed: int, progress: Progress
    ) -> "tuple[Forest, OutOfFold]":
        from agd.nets.forest import Forest

        options = own(options, ForestOptions, cls.kind)
        return Forest.fit(
            cls.describe(rows.counts),
            rows.values,
            n_trees=options.n_trees,
            max_features=options.max_features,
            min_samples_leaf=options.min_samples_leaf,
            seed=seed,
            grower=cls.grower,
            answer=options.answer,
            groups=rows.groups,
            progress=progress,
        )

    @classmethod
    def _load(cls, tensors: Tensors, options: CompositionOracleOptions) -> "Forest":
        from agd.nets.forest import Forest

        options = own(options, ForestOptions, cls.kind)
        return Forest.from_tensors(tensors, n_features=len(MAGPIE_FEATURES), answer=options.answer)

    def _measure_others(self, values: Floats, counts: Counts) -> dict[str, float]:
        """Of the other way to make one answer of many: `median_mae` beside `mae`."""
        from agd.nets.forest import Forest

        assert isinstance(self.regressor, Forest)  # noqa: S101  nothing else is fitted or loaded
        other = replace(self.regressor, answer="median" if self.regressor.answer == "mean" else "mean")
        said, _ = other.predict(self.describe(counts))
        return {
            f"{other.answer}_{name}": value
            for name, value in measure_errors(values, raised(said, self.options)).items()
        }

    @staticmethod
    def describe(counts: Counts) -> NDArray[np.floating]:
        """The 132 Magpie descriptors."""
        return magpie(counts)


class RandomForest(_ForestOracle):
    """Random forest on the 132 Magpie descriptors, its uncertainty calibrated on out-of-bag rows."""

    kind: ClassVar[str] = "random_forest"
    options_type: ClassVar[type[Options]] = RandomForestOptions
    grower = "random_forest"


class ExtraTrees(_ForestOracle):
    """Extremely randomised trees (doi:10.1007/s10994-006-6226-1) on bootstrap samples, as `random_forest` otherwise."""

    kind: ClassVar[str] = "extra_trees"
    options_type: ClassVar[type[Options]] = ExtraTreesOptions
    grower = "extra_trees"
