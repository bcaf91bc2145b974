"""Gradient boosting as oracles, cross-fitted: a model that did not see it speaks of every training row."""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.chem.descriptors import MAGPIE_FEATURES, magpie
from agd.chem.elements import N_ELEMENTS
from agd.nets.threads import n_threads
from agd.plugins.oracles.composition_oracle import CompositionOracleOptions, DescriptorOracle, own
from agd.plugins.oracles.training_answers import SeenRows
from agd.progress import Progress
from agd.protocols import Options
from agd.types import Counts, Tensors

if TYPE_CHECKING:
    from agd.nets.boosters import Library
    from agd.nets.boosting import CrossFitted
    from agd.nets.calibration import OutOfFold

_N_FEATURES: Final = len(MAGPIE_FEATURES) + N_ELEMENTS


class BoostingOptions(CompositionOracleOptions):
    """Options of both libraries."""

    n_folds: int = Field(5, ge=2, le=50, description="Folds, each with a booster of its own; an answer is their mean.")
    n_rounds: int = Field(200, ge=1, le=10_000, description="Trees of each booster.")
    n_leaves: int = Field(255, ge=2, le=4096, description="Most leaves of a tree.")
    learning_rate: float = Field(0.08, gt=0.0, le=1.0, description="Share of a tree's values that is added.")
    max_features: float = Field(0.25, gt=0.0, le=1.0, description="Share of the features tried.")
    min_samples_leaf: int = Field(5, ge=1, description="Fewest training rows in a leaf.")
    l2: float = Field(1.0, ge=0.0, description="Penalty on the squares of a tree's values.")


class HistGradientBoostingOptions(BoostingOptions):
    """Options of the oracle `hist_gradient_boosting`."""

    n_rounds: int = Field(100, ge=1, le=10_000, description="Trees of each booster.")
    learning_rate: float = Field(0.1, gt=0.0, le=1.0, description="Share of a tree's values that is added.")


class LightGbmOptions(BoostingOptions):
    """Options of the oracle `lightgbm`."""

    row_share: float = Field(0.8, gt=0.0, le=1.0, description="Share of the rows that a tree is grown on.")


class _BoostingOracle(DescriptorOracle):
    @classmethod
    def _fit(
        cls, rows: SeenRows, options: CompositionOracleOptions, seed: int, progress: Progress
    ) -> "tuple[CrossFitted, OutOfFold]":
        library = cls._library(n_threads())
        from agd.nets.boosters import Growth
        from agd.nets.boosting import CrossFitted

        options = own(options, BoostingOptions, cls.kind)
        growth = Growth(
            n_rounds=options.n_rounds,
            n_leaves=options.n_leaves,
            learning_rate=options.learning_rate,
            max_features=options.max_features,
            min_samples_leaf=options.min_samples_leaf,
            l2=options.l2,
            row_share=options.row_share if isinstance(options, LightGbmOptions) else 1.0,
        )
        return CrossFitted.fit(
            cls.describe(rows.counts),
            rows.values,
            library=library,
            growth=growth,
            n_folds=options.n_folds,
            seed=seed,
            groups=rows.groups,
            progress=progress,
        )

    @classmethod
    def _load(cls, tensors: Tensors, options: CompositionOracleOptions) -> "CrossFitted":
        library = cls._library(n_threads())
        from agd.nets.boosting import CrossFitted

        del options
        return CrossFitted.from_tensors(tensors, library=library, n_features=_N_FEATURES)

    @staticmethod
    def describe(counts: Counts) -> NDArray[np.floating]:
        """The 132 Magpie descriptors and the share of each of the 103 elements."""
        features = np.empty((len(counts), _N_FEATURES), dtype=np.float32)
        features[:, : len(MAGPIE_FEATURES)] = magpie(counts)
        features[:, len(MAGPIE_FEATURES) :] = counts / counts.sum(axis=1, keepdims=True)
        return features

    @staticmethod
    @abstractmethod
    def _library(n_threads: int) -> "Library":
        """What grows the boosters."""


class HistGradientBoosting(_BoostingOracle):
    """scikit-learn's histogram gradient boosting, kept as the arrays of its trees."""

    kind: ClassVar[str] = "hist_gradient_boosting"
    options_type: ClassVar[type[Options]] = HistGradientBoostingOptions

    @staticmethod
    def _library(n_threads: int) -> "Library":
        from agd.nets.boosters import HistLibrary

        return HistLibrary(n_threads)


class LightGbm(_BoostingOracle):
    """LightGBM, kept as its own text; it needs the extra `lightgbm`, also to be loaded."""

    kind: ClassVar[str] = "lightgbm"
    options_type: ClassVar[type[Options]] = LightGbmOptions

    @staticmethod
    def _library(n_threads: int) -> "Library":
        from agd.nets.boosters import LightLibrary

        return LightLibrary(n_threads)
