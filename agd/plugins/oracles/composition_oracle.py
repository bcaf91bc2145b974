"""What the oracles that are fitted to compositions share: options, measures, and one way to fit, load and label."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.errors import ModelError
from agd.nets.error_measures import measure_errors
from agd.plugins.oracles.training_answers import SeenRows, TrainingAnswers
from agd.progress import Progress, silent
from agd.protocols import Options
from agd.types import Counts, FittedModel, Floats, Prediction, Tensors, TrainingTable

if TYPE_CHECKING:
    from agd.nets.calibration import OutOfFold, RangeScale

_CHUNK = 16_384
_INTERVAL = 0.9
_UPPER_TAIL = 0.95
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
    calibration: Literal["overall", "by_range"] = Field(
        "overall",
        exclude_if=lambda calibration: calibration == "overall",
        description="Whether 68 % of the errors are within one sigma overall, or in every range of answers too.",
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
        self,
        regressor: Regressor,
        options: CompositionOracleOptions,
        scale: "RangeScale",
        answers: TrainingAnswers | None = None,
    ) -> None:
        self.regressor, self.options, self.scale, self.answers = regressor, options, scale, answers

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        """Fit the rows not held out; raises InputError for a table without finite values."""
        options = own(options, CompositionOracleOptions, cls.kind)
        rows = SeenRows.of(table, cls.kind)
        regressor, out_of_fold = cls._fit(rows, options, seed, progress)
        scale, out_of_fold = rescaled(out_of_fold, rows, options)
        answers = rows.answers(out_of_fold) if options.out_of_fold else None
        fitted = cls(regressor, options, scale, answers)
        tensors = {**regressor.to_tensors(), **scale.to_tensors(), **(answers.to_tensors() if answers else {})}
        metrics = dict(measure(table, rows, out_of_fold, options, fitted.label))
        if table.values is not None and table.is_held_out.any():
            metrics |= fitted._measure_others(table.values[table.is_held_out], table.counts[table.is_held_out])
        return FittedModel(tensors, metrics)

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild the model from its arrays; raises ModelError where they have been altered.

        Where it keeps no answers for its training compositions, they are predicted like any other.
        """
        options = own(options, CompositionOracleOptions, cls.kind)
        answers, rest = TrainingAnswers.split(tensors)
        scale, rest = stored_scale(rest, options)
        return cls(cls._load(rest, options), options, scale, answers if options.out_of_fold else None)

    def label(self, counts: Counts) -> Prediction:
        """Predict compositions `[n, 103]`; raises InputError for a row without atoms."""
        values, uncertainties = np.empty(len(counts)), np.empty(len(counts))
        for start in range(0, len(counts), _CHUNK):
            rows = slice(start, start + _CHUNK)
            values[rows], uncertainties[rows] = self.regressor.predict(self.describe(counts[rows]))
        prediction = Prediction(values, self.scale.scaled(values, uncertainties))
        return finished(prediction, counts, self.answers, self.options)

    def _measure_others(self, values: Floats, counts: Counts) -> Mapping[str, float]:
        """Further measures of held-out `values` `[n]` of `counts` `[n, 103]`."""
        del values, counts
        return {}

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


def rescaled(
    out_of_fold: "OutOfFold", rows: SeenRows, options: CompositionOracleOptions
) -> "tuple[RangeScale, OutOfFold]":
    """The scale of uncertainties that the options ask for, and the out-of-fold answers by it."""
    from agd.nets.calibration import RangeScale

    scale = RangeScale.fit(out_of_fold, rows.values) if options.calibration == "by_range" else RangeScale.none()
    return scale, scale.applied(out_of_fold)


def stored_scale(tensors: Tensors, options: CompositionOracleOptions) -> "tuple[RangeScale, Tensors]":
    """The scale of a stored model, and its other tensors; raises ModelError where the options speak of another."""
    from agd.nets.calibration import RangeScale

    scale, rest = RangeScale.split(tensors)
    if bool(scale.to_tensors()) != (options.calibration == "by_range"):
        raise ModelError("the model was calibrated otherwise: load it with the options it was trained with")
    return scale, rest


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
    The upper tail are answers of at least `upper_tail_from`, the 95 % quantile of the training values.
    """
    tail = float(np.quantile(rows.values, _UPPER_TAIL))
    metrics = {
        "n_train": float(len(rows.values)),
        "n_held_out": float(table.is_held_out.sum()),
        "upper_tail_from": tail,
    }
    is_judged = out_of_fold.is_judged
    values = rows.values[is_judged]
    answers, sigmas = raised(out_of_fold.values[is_judged], options), out_of_fold.uncertainties[is_judged]
    errors = np.abs(answers - values)
    rank = int(np.ceil((len(errors) + 1) * _INTERVAL))
    if len(errors):
        metrics["out_of_fold_mae"] = float(errors.mean())
        metrics |= {f"out_of_fold_{name}": share for name, share in _coverages(errors, sigmas, answers >= tail).items()}
        if np.ptp(values) > 0.0:
            metrics["out_of_fold_r2"] = float(1.0 - np.mean(errors**2) / values.var())
    if rank <= len(errors):
        metrics["interval_90"] = float(np.sort(errors / sigmas)[rank - 1])
    if table.values is not None and table.is_held_out.any():
        prediction = label(table.counts[table.is_held_out])
        is_tail = prediction.values >= tail
        metrics |= _measure_held_out(
            table.values[table.is_held_out], prediction, is_tail, interval_90=metrics.get("interval_90")
        )
    return metrics


def _coverages(errors: Floats, sigmas: Floats, is_tail: NDArray[np.bool_]) -> dict[str, float]:
    """Shares of errors `[n]` within one sigma `[n]`; of a tail without rows there is none."""
    is_within = errors <= sigmas
    shares = {"coverage_1_sigma": float(is_within.mean())}
    return shares | ({"coverage_1_sigma_upper_tail": float(is_within[is_tail].mean())} if is_tail.any() else {})


def _measure_held_out(
    values: Floats, prediction: Prediction, is_tail: NDArray[np.bool_], *, interval_90: float | None
) -> Mapping[str, float]:
    from scipy.stats import rankdata

    errors = np.abs(prediction.values - values)
    metrics = measure_errors(values, prediction.values) | _coverages(errors, prediction.uncertainties, is_tail)
    metrics["coverage_2_sigma"] = float(np.mean(errors <= 2.0 * prediction.uncertainties))
    if interval_90 is not None:
        metrics["coverage_interval_90"] = float(np.mean(errors <= interval_90 * prediction.uncertainties))
    if np.ptp(errors) > 0.0 and np.ptp(prediction.uncertainties) > 0.0:
        ranks = rankdata(prediction.uncertainties), rankdata(errors)
        metrics["spearman_uncertainty_error"] = float(np.corrcoef(*ranks)[0, 1])
    return metrics


def raised(values: Floats, options: CompositionOracleOptions) -> Floats:
    """Raise values to the least that the property can have, where it has one."""
    return values if options.minimum is None else np.maximum(values, options.minimum)
