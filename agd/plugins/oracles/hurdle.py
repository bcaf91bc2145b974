"""A hurdle model: whether the property is zero is one question, how large it is where it is not another."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from agd.errors import InputError, ModelError
from agd.nets.arrays import checked, part, prefixed
from agd.plugins.oracles.composition_oracle import (
    CompositionOracleOptions,
    finished,
    measure,
    own,
    rescaled,
    stored_scale,
)
from agd.plugins.oracles.ensembles import Ensemble, EnsembleOptions, possible_members
from agd.plugins.oracles.training_answers import SeenRows, TrainingAnswers
from agd.progress import Progress, Share, silent
from agd.protocols import Options
from agd.types import Counts, FittedModel, Floats, Prediction, Tensors, TrainingTable

if TYPE_CHECKING:
    from agd.nets.calibration import OutOfFold, RangeScale

_KIND: Final = "hurdle"
_GATE: Final = "gate"
_SIZE: Final = "size"
_N_COLUMNS: Final = 3


class HurdleOptions(CompositionOracleOptions):
    """Options of the oracle `hurdle`."""

    gate: tuple[str, ...] = Field(
        ("extra_trees", "hist_gradient_boosting"),
        min_length=2,
        description="Kinds of the oracles that tell whether a value is zero, each fitted with its default options.",
    )
    members: tuple[str, ...] = Field(
        ("hist_gradient_boosting", "networks"),
        min_length=2,
        description="Kinds of the oracles that learn the values other than zero, likewise.",
    )
    zero_below: float = Field(
        0.5, ge=0.0, le=1.0, description="Probability of a value other than zero below which the answer is zero."
    )

    @field_validator("gate", "members")
    @classmethod
    def _can_be_members(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        return possible_members(members, without=(_KIND, "ensemble"))


class Hurdle:
    """Metals have a band gap of zero, and a regressor of all gaps blurs them with narrow ones.

    One ensemble, the gate, tells the probability of a value other than zero, one learns the values other than zero; the
    answer is their product, or zero where the first is too small (Cragg 1971, doi:10.2307/1909582). Trees tell zeros
    better than networks, which learn sizes better. The uncertainty is calibrated on rows that are not answered by zero:
    a positive linear fit of 1, that of the value and that of the gate, both times what they act on, and |answer|. A
    table without zeros needs no gate, and one of zeros alone has no size.
    """

    options_type: ClassVar[type[Options]] = HurdleOptions
    architecture_version: ClassVar[int] = 1

    def __init__(
        self,
        parts: "tuple[Ensemble | None, Ensemble]",
        calibration: Floats,
        options: HurdleOptions,
        scale: "RangeScale",
        answers: TrainingAnswers | None,
    ) -> None:
        (self.gate, self.size), self.calibration, self.options = parts, calibration, options
        self.scale, self.answers = scale, answers

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        """Fit the rows not held out; raises InputError for a table without finite values, or of zeros alone."""
        options = own(options, HurdleOptions, _KIND)
        rows = SeenRows.of(table, _KIND)
        is_zero = rows.values == 0.0
        if is_zero.all():
            raise InputError(f"the oracle {_KIND} needs a value other than zero to learn from: all of the table's are")
        tensors: dict[str, NDArray[np.generic]] = {}
        fits = {_SIZE: (rows.counts[~is_zero], rows.values[~is_zero])}
        if is_zero.any():
            fits = {_GATE: (rows.counts, (~is_zero).astype(np.float64)), **fits}
        said: dict[str, Prediction] = {}
        for i, (name, (counts, values)) in enumerate(fits.items()):
            seen = TrainingTable(counts, values, np.zeros(len(values), dtype=np.bool_))
            fitted = Ensemble.fit(
                seen, _inner(name, options, out_of_fold=True), seed=seed, progress=Share(progress, i, len(fits), name)
            )
            # A zero was not learned from as a size: what is said of it is blind, too.
            said[name] = Ensemble.load(fitted.tensors, _inner(name, options, out_of_fold=True)).label(rows.distinct)
            tensors |= prefixed(name, TrainingAnswers.split(fitted.tensors)[1])
        probability, mean, columns = _together(said.get(_GATE), said[_SIZE], options)
        calibration, scale, out_of_fold = _judged(mean, columns, rows, options)
        tensors |= {"calibration": calibration, **scale.to_tensors()}
        kept = rows.answers(out_of_fold)
        if options.out_of_fold:
            tensors |= kept.to_tensors()
        model = cls.load(tensors, options)
        metrics = {**measure(table, rows, out_of_fold, options, model.label), "zero_share": float(is_zero.mean())}
        metrics |= _auc("out_of_fold_zero_auc", is_zero, probability[rows.groups])
        if table.values is not None and table.is_held_out.any():
            held_out = model.probability(table.counts[table.is_held_out])
            metrics |= _auc("zero_auc", table.values[table.is_held_out] == 0.0, held_out)
        return FittedModel(tensors, metrics)

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild both ensembles; raises ModelError where arrays have been altered or members are not these."""
        from agd.nets.calibration import is_calibration

        options = own(options, HurdleOptions, _KIND)
        answers, rest = TrainingAnswers.split(tensors)
        scale, rest = stored_scale(rest, options)
        gate, size = (part(name, rest) for name in (_GATE, _SIZE))
        others = rest.keys() - prefixed(_GATE, gate).keys() - prefixed(_SIZE, size).keys()
        arrays = checked({name: rest[name] for name in others}, {"calibration": np.float64}, f"the {_KIND}")
        if not is_calibration(arrays["calibration"], n_columns=_N_COLUMNS):
            raise ModelError(f"the {_KIND} has been altered: its calibration")
        inner = {name: _inner(name, options, out_of_fold=False) for name in (_GATE, _SIZE)}
        parts = (Ensemble.load(gate, inner[_GATE]) if gate else None, Ensemble.load(size, inner[_SIZE]))
        return cls(parts, arrays["calibration"], options, scale, answers if options.out_of_fold else None)

    def label(self, counts: Counts) -> Prediction:
        """Predict compositions `[n, 103]`; raises InputError for a row without atoms."""
        from agd.nets.calibration import uncertainties

        gate = None if self.gate is None else self.gate.label(counts)
        _, mean, columns = _together(gate, self.size.label(counts), self.options)
        sigma = self.scale.scaled(mean, uncertainties(self.calibration, columns))
        return finished(Prediction(mean, sigma), counts, self.answers, self.options)

    def probability(self, counts: Counts) -> Floats:
        """The probability `[n]` that compositions `[n, 103]` have a value other than zero, as this model sees them."""
        return np.ones(len(counts)) if self.gate is None else _probability(self.gate.label(counts))


def _inner(name: str, options: HurdleOptions, *, out_of_fold: bool) -> EnsembleOptions:
    """The options of the gate, or of the size."""
    members = options.gate if name == _GATE else options.members
    return EnsembleOptions(members=members, weights="fitted", out_of_fold=out_of_fold)


def _probability(gate: Prediction) -> Floats:
    return np.clip(gate.values, 0.0, 1.0)


def _together(gate: Prediction | None, size: Prediction, options: HurdleOptions) -> tuple[Floats, Floats, list[Floats]]:
    """Probability of a value other than zero, answer, and what the uncertainty depends on, `[n]` each."""
    probability = np.ones(len(size.values)) if gate is None else _probability(gate)
    mean = np.where(probability < options.zero_below, 0.0, probability * size.values)
    of_gate = np.sqrt(probability * (1.0 - probability)) * np.abs(size.values)
    return probability, mean, [probability * size.uncertainties, of_gate, np.abs(mean)]


def _judged(
    mean: Floats, columns: list[Floats], rows: SeenRows, options: HurdleOptions
) -> "tuple[Floats, RangeScale, OutOfFold]":
    """Calibrate what is said of the distinct compositions `[m]` on the rows `[n]` that are not answered by zero.

    Most metals are answered by zero, and exactly: they would make every other uncertainty too small.
    """
    from agd.nets.calibration import OutOfFold, calibrate, uncertainties

    mean, columns = mean[rows.groups], [column[rows.groups] for column in columns]
    is_judged = mean != 0.0
    residuals = np.abs(rows.values - mean)[is_judged]
    calibration = calibrate([column[is_judged] for column in columns], residuals, float(rows.values.std()))
    scale, out_of_fold = rescaled(OutOfFold(mean, uncertainties(calibration, columns), is_judged), rows, options)
    return calibration, scale, replace(out_of_fold, is_judged=np.ones(len(mean), dtype=np.bool_))


def _auc(name: str, is_zero: NDArray[np.bool_], probability: Floats) -> Mapping[str, float]:
    """Area under the receiver operating curve of what is zero, where both kinds are there."""
    from sklearn.metrics import roc_auc_score

    if is_zero.all() or not is_zero.any():
        return {}
    return {name: float(roc_auc_score(is_zero, -probability))}
