"""What the oracles that are fitted to compositions share: options, measures, and one way to fit, load and label."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.nets.error_measures import measure_errors
from agd.plugins.oracles.training_answers import SeenRows, TrainingAnswers
from agd.protocols import Options, Progress, silent
from agd.types import Counts, FittedModel, Floats, Prediction, Tensors, TrainingTable

if TYPE_CHECKING:
    from agd.nets.calibration import OutOfFold

_CHUNK = 16_384
_INTERVAL = 0.9
_OwnOptions = TypeVar("_OwnOptions", bound=Options)


class CompositionOracleOptions(Options):
    """Options that all of them have."""

    minimum: float | None = Field(
        None,
        description="Least value, in the property's unit, lower ones being raised; the property's bound by default.",
    )
    out_of_fold: bool = Field(
        default=True,
        description="Whether a composition of the training table is answered by models that did not see it.",
    )


class Regressor(Protocol):
    """What is fitted to descriptors."""

    def predict(self, features: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Values and one-sigma uncertainties, both `[n]`."""

    def to_tensors(self) -> Tensors:
        """Its arrays."""


class DescriptorOracle(ABC):
    """A regressor on descriptors; with `out_of_fold`, its training compositions have the answers kept for them.

    Descriptors are always finite (an element's missing value is imputed), so every composition with atoms has a label.
    """

    kind: ClassVar[str]
    options_type: ClassVar[type[Options]] = CompositionOracleOptions
    architecture_version: ClassVar[int] = 1

    def __init__(
        self, regressor: Regressor, options: CompositionOracleOptions, answers: TrainingAnswers | None = None
    ) -> None:
        self.regressor, self.options, self.answers = regressor, options, answers

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        """Fit the rows not held out; raises InputError for a table without finite values."""
        options = own(options, CompositionOracleOptions, cls.kind)
        rows = SeenRows.of(table, cls.kind)
        regressor, out_of_fold = cls._fit(rows, options, seed, progress)
        answers = rows.answers(out_of_fold) if options.out_of_fold else None
        fitted = cls(regressor, options, answers)
        tensors = {**regressor.to_tensors(), **(answers.to_tensors() if answers else {})}
        return FittedModel(tensors, measure(table, rows, out_of_fold, options, fitted.label))

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild the model from its arrays; raises ModelError where they have been altered.

        Where it keeps no answers for its training compositions, they are predicted like any other.
        """
        options = own(options, CompositionOracleOptions, cls.kind)
        answers, rest = TrainingAnswers.split(tensors)
        return cls(cls._load(rest, options), options, answers if options.out_of_fold else None)

    def label(self, counts: Counts) -> Prediction:
        """Predict compositions `[n, 103]`; raises InputError for a row without atoms."""
        values, uncertainties = np.empty(len(counts)), np.empty(len(counts))
        for start in range(0, len(counts), _CHUNK):
            rows = slice(start, start + _CHUNK)
            values[rows], uncertainties[rows] = self.regressor.predict(self.describe(counts[rows]))
        return finished(Prediction(values, uncertainties), counts, self.answers, self.options)

    @classmethod
    @abstractmethod
    def _fit(
        cls, rows: SeenRows, options: CompositionOracleOptions, seed: int, progress: Progress
    ) -> "tuple[Regressor, OutOfFold]":
        """Fit and judge the rows."""

    @classmethod
    @abstractmethod
    def _load(cls, tensors: Tensors, options: CompositionOracleOptions) -> Regressor:
        """Rebuild the regressor."""

    @staticmethod
    @abstractmethod
    def describe(counts: Counts) -> NDArray[np.floating]:
        """Descriptors `[n, n_features]` of compositions `[n, 103]`."""


class Labels(Protocol):
    """Labels compositions."""

    def __call__(self, counts: Counts, /) -> Prediction:
        """Predict `[n, 103]`."""


def own(options: Options, expected: type[_OwnOptions], kind: str) -> _OwnOptions:
    """The options, if they are of the expected type."""
    if not isinstance(options, expected):
        raise TypeError(f"{kind} takes {expected.__name__}, not {type(options).__name__}")
    return options


def finished(
    prediction: Prediction, counts: Counts, answers: TrainingAnswers | None, options: CompositionOracleOptions
) -> Prediction:
    """Put in what is kept for training compositions, and raise values to the minimum."""
    if answers is not None:
        prediction = answers.instead_of(prediction, counts)
    return Prediction(raised(prediction.values, options), prediction.uncertainties)


def measure(
    table: TrainingTable,
    rows: SeenRows,
    out_of_fold: "OutOfFold",
    options: CompositionOracleOptions,
    label: Labels,
) -> Mapping[str, float]:
    """Score the out-of-fold answers of the training rows and the labels of the held-out ones.

    `interval_90` is how many sigmas hold 90 % of the out-of-fold errors (split conformal prediction, Lei et al. 2018,
    doi:10.1080/01621459.2017.1307116); too few rows have none. A correlation of constants is left out.
    """
    metrics = {"n_train": float(len(rows.values)), "n_held_out": float(table.is_held_out.sum())}
    is_judged = out_of_fold.is_judged
    values = rows.values[is_judged]
    errors = np.abs(raised(out_of_fold.values[is_judged], options) - values)
    rank = int(np.ceil((len(errors) + 1) * _INTERVAL))
    if len(errors):
        metrics["out_of_fold_mae"] = float(errors.mean())
        metrics["out_of_fold_coverage_1_sigma"] = float(np.mean(errors <= out_of_fold.uncertainties[is_judged]))
        if np.ptp(values) > 0.0:
            metrics["out_of_fold_r2"] = float(1.0 - np.mean(errors**2) / values.var())
    if rank <= len(errors):
        metrics["interval_90"] = float(np.sort(errors / out_of_fold.uncertainties[is_judged])[rank - 1])
    if table.values is not None and table.is_held_out.any():
        prediction = label(table.counts[table.is_held_out])
        metrics.update(_measure_held_out(table.values[table.is_held_out], prediction, metrics.get("interval_90")))
    return metrics


def _measure_held_out(values: Floats, prediction: Prediction, interval_90: float | None) -> Mapping[str, float]:
    from scipy.stats import rankdata

    errors = np.abs(prediction.values - values)
    metrics = measure_errors(values, prediction.values) | {
        "coverage_1_sigma": float(np.mean(errors <= prediction.uncertainties)),
        "coverage_2_sigma": float(np.mean(errors <= 2.0 * prediction.uncertainties)),
    }
    if interval_90 is not None:
        metrics["coverage_interval_90"] = float(np.mean(errors <= interval_90 * prediction.uncertainties))
    if np.ptp(errors) > 0.0 and np.ptp(prediction.uncertainties) > 0.0:
        ranks = rankdata(prediction.uncertainties), rankdata(errors)
        metrics["spearman_uncertainty_error"] = float(np.corrcoef(*ranks)[0, 1])
    return metrics


def raised(values: Floats, options: CompositionOracleOptions) -> Floats:
    """Raise values to the least that the property can have, where it has one."""
    return values if options.minimum is None else np.maximum(values, options.minimum)
