"""Trees that are told what another model answers: where dear labels are few, those of many cheap ones lead the way."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.chem.descriptors import MAGPIE_FEATURES, magpie_and_fractions
from agd.chem.elements import N_ELEMENTS
from agd.errors import InputError, ModelError
from agd.nets.arrays import checked
from agd.plugins.oracles.composition_oracle import (
    CompositionOracleOptions,
    finished,
    measure,
    own,
    rescaled,
    stored_scale,
)
from agd.plugins.oracles.training_answers import SeenRows, TrainingAnswers
from agd.progress import Progress, silent
from agd.protocols import Options
from agd.types import Counts, FittedModel, Floats, Prediction, Tensors, TrainingTable

if TYPE_CHECKING:
    from agd.nets.calibration import RangeScale
    from agd.nets.forest import Forest

_KIND = "informed_trees"
_IS_TOLD = "is_told"
_N_FEATURES = len(MAGPIE_FEATURES) + N_ELEMENTS


class InformedTreesOptions(CompositionOracleOptions):
    """Options of the oracle `informed_trees`."""

    n_trees: int = Field(200, ge=1, le=10_000, description="Trees of the forest.")
    max_features: float = Field(0.4, gt=0.0, le=1.0, description="Share of the features tried at each split.")
    min_samples_leaf: int = Field(1, ge=1, description="Fewest training rows in a leaf; more make a smaller model.")
    answer: Literal["mean", "median"] = Field("median", description="How the answers of the trees become one.")


class InformedTrees:
    """Extremely randomised trees on Magpie descriptors, the fraction of each element, and another model's answers.

    Those answers are columns of the table; without them the trees learn from the composition alone. The uncertainty is
    calibrated on out-of-bag rows.
    """

    kind: ClassVar[str] = _KIND
    options_type: ClassVar[type[Options]] = InformedTreesOptions
    architecture_version: ClassVar[int] = 1
    takes_answers: ClassVar[bool] = True

    def __init__(
        self,
        forest: "Forest",
        options: InformedTreesOptions,
        scale: "RangeScale",
        answers: TrainingAnswers | None,
    ) -> None:
        self.forest, self.options, self.scale, self.answers = forest, options, scale, answers
        self.is_told = forest.n_features > _N_FEATURES

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        """Fit the rows not held out; raises InputError for a table without finite values."""
        from agd.nets.forest import Forest

        options = own(options, InformedTreesOptions, _KIND)
        rows, is_out = SeenRows.of(table, _KIND), table.is_held_out
        forest, out_of_fold = Forest.fit(
            _features(rows.counts, None if table.answers is None else table.answers[~is_out]),
            rows.values,
            n_trees=options.n_trees,
            max_features=options.max_features,
            min_samples_leaf=options.min_samples_leaf,
            seed=seed,
            grower="extra_trees",
            answer=options.answer,
            groups=rows.groups,
            progress=progress,
        )
        scale, out_of_fold = rescaled(out_of_fold, rows, options)
        answers = rows.answers(out_of_fold) if options.out_of_fold else None
        fitted = cls(forest, options, scale, answers)
        told = None if table.answers is None else table.answers[is_out]
        metrics = measure(table, rows, out_of_fold, options, lambda counts: fitted._label(counts, told))
        tensors = {
            **forest.to_tensors(),
            **scale.to_tensors(),
            **(answers.to_tensors() if answers else {}),
            _IS_TOLD: np.array([fitted.is_told], dtype=np.uint8),
        }
        return FittedModel(tensors, metrics)

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild the model from its arrays; raises ModelError where they have been altered."""
        from agd.nets.forest import Forest

        options = own(options, InformedTreesOptions, _KIND)
        answers, rest = TrainingAnswers.split(tensors)
        scale, rest = stored_scale(rest, options)
        told = checked({name: array for name, array in rest.items() if name == _IS_TOLD}, {_IS_TOLD: np.uint8}, _KIND)
        is_told = told[_IS_TOLD].tolist()
        if is_told not in ([0], [1]):
            raise ModelError(f"{_KIND} has been altered: whether it is told answers")
        trees = {name: array for name, array in rest.items() if name != _IS_TOLD}
        forest = Forest.from_tensors(trees, n_features=_N_FEATURES + is_told[0], answer=options.answer)
        return cls(forest, options, scale, answers if options.out_of_fold else None)

    def label(self, counts: Counts) -> Prediction:
        """Predict compositions `[n, 103]`; raises ModelError where it was fitted with another model's answers."""
        if self.is_told:
            raise ModelError(f"{_KIND} was fitted with another model's answers, and answers with them alone")
        return self._label(counts, None)

    def label_told(self, counts: Counts, answers: Floats) -> Prediction:
        """Predict compositions `[n, 103]`, told what the other model answers `[n]`."""
        if not self.is_told:
            raise InputError(f"{_KIND} was fitted without another model's answers")
        return self._label(counts, answers)

    def _label(self, counts: Counts, answers: Floats | None) -> Prediction:
        values, uncertainties = self.forest.predict(_features(counts, answers))
        prediction = Prediction(values, self.scale.scaled(values, uncertainties))
        return finished(prediction, counts, self.answers, self.options)


def _features(counts: Counts, answers: Floats | None) -> NDArray[np.float32]:
    """`[n, 235]`, or `[n, 236]` with the other model's answers."""
    features = magpie_and_fractions(counts)
    return features if answers is None else np.column_stack([features, answers.astype(np.float32)])
