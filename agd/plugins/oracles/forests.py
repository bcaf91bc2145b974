"""Forests as oracles: what answers a property for a composition."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.chem.descriptors import MAGPIE_FEATURES, magpie
from agd.plugins.oracles.composition_oracle import CompositionOracleOptions, DescriptorOracle, own
from agd.plugins.oracles.training_answers import SeenRows
from agd.protocols import Options, Progress
from agd.types import Counts, Tensors

if TYPE_CHECKING:
    from agd.nets.calibration import OutOfFold
    from agd.nets.forest import Forest


class ForestOptions(CompositionOracleOptions):
    """Options of both forests."""

    n_trees: int = Field(100, ge=1, le=10_000, description="Trees of the forest.")
    max_features: float = Field(1 / 3, gt=0.0, le=1.0, description="Share of the features tried at each split.")
    min_samples_leaf: int = Field(2, ge=1, description="Fewest training rows in a leaf; more make a smaller model.")


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
            groups=rows.groups,
            progress=progress,
        )

    @classmethod
    def _load(cls, tensors: Tensors, options: CompositionOracleOptions) -> "Forest":
        from agd.nets.forest import Forest

        del options
        return Forest.from_tensors(tensors, n_features=len(MAGPIE_FEATURES))

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
