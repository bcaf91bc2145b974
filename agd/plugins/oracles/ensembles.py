"""Several oracles that answer as one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from agd import registry
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
from agd.plugins.oracles.training_answers import SeenRows, TrainingAnswers
from agd.progress import Progress, Share, silent
from agd.protocols import Options, Oracle
from agd.seeds import member_seed
from agd.types import Counts, FittedModel, Floats, Prediction, Tensors, TrainingTable

if TYPE_CHECKING:
    from agd.nets.calibration import OutOfFold, RangeScale
    from agd.nets.quantile_mapping import QuantileMap

_GROUP: Final = "agd.oracles"
_KIND: Final = "ensemble"
_OWN_ARRAYS: Final = {"calibration": np.float64, "architecture_version": np.int32}
_NEEDED: Final = frozenset({"minimum", "out_of_fold"})


class EnsembleOptions(CompositionOracleOptions):
    """Options of the oracle `ensemble`."""

    members: tuple[str, ...] = Field(
        ("extra_trees", "hist_gradient_boosting"),
        min_length=2,
        description="Kinds of the oracles, each fitted with its default options.",
    )
    weights: Literal["equal", "fitted"] = Field(
        "equal",
        exclude_if=lambda weights: weights == "equal",
        description="Weights of the members: all the same, or by how well their out-of-fold answers tell the values.",
    )
    quantile_mapping: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        exclude_if=lambda share: share == 0.0,
        description="How far answers, drawn to the middle, are brought to the distribution of the values.",
    )

    @field_validator("members")
    @classmethod
    def _can_be_members(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        return possible_members(members, without=(_KIND,))


def possible_members(members: tuple[str, ...], without: Collection[str]) -> tuple[str, ...]:
    """The kinds, if each is an oracle that is installed, named once, and none of those `without`."""
    known = [name for name in registry.names(_GROUP) if name not in without]
    for kind in members:
        if kind in without:
            raise ValueError(f"{kind!r} cannot be a member of an ensemble: name its members instead")
        if kind not in known:
            raise ValueError(f"no oracle {kind!r}{registry.suggestion(kind, known)}")
    if len(set(members)) != len(members):
        raise ValueError("a member is named twice: name each kind once")
    return members


class Ensemble:
    """Mean of its members, each fitted with default options and a seed of its own.

    Fitted weights are those of stacked regressions (Breiman 1996, doi:10.1007/BF00117832), not below zero, of sum 1.
    A mean is too seldom far from the middle: mapped by quantiles it finds more of the widest gaps, at a little more
    squared error.

    The uncertainty is calibrated on the members' out-of-fold answers: a positive linear fit of 1, their mean sigma,
    their disagreement and |answer|.
    """

    options_type: ClassVar[type[Options]] = EnsembleOptions
    architecture_version: ClassVar[int] = 1

    def __init__(
        self, members: Sequence[Oracle], rule: "_Rule", options: EnsembleOptions, answers: TrainingAnswers | None
    ) -> None:
        self.members, self.rule, self.options, self.answers = members, rule, options, answers

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        """Fit the members on the rows not held out; raises InputError for a table without finite values."""
        options = own(options, EnsembleOptions, _KIND)
        rows = SeenRows.of(table, _KIND)
        plugins = [_plugin(kind) for kind in options.members]
        seen = TrainingTable(rows.counts, rows.values, np.zeros(len(rows.values), dtype=np.bool_))
        tensors: dict[str, Any] = {
            "architecture_version": np.array([plugin.architecture_version for plugin in plugins], dtype=np.int32)
        }
        said: list[Prediction] = []
        members: list[Oracle] = []
        for i, (kind, plugin) in enumerate(zip(options.members, plugins, strict=True)):
            share = Share(progress, i, len(plugins), kind)
            fitted = plugin.fit(seen, _member_options(plugin), seed=member_seed(seed, kind), progress=share)
            answers, rest = TrainingAnswers.split(fitted.tensors)
            if answers is None or not np.array_equal(answers.counts, rows.distinct):
                raise InputError(
                    f"the oracle {kind} keeps no out-of-fold answers: it cannot be a member of an ensemble"
                )
            said.append(Prediction(answers.values, answers.uncertainties))
            tensors |= prefixed(_prefix(kind), rest)
            members.append(plugin.load(rest, _member_options(plugin)))
        rule, out_of_fold = _Rule.fit(said, rows, options)
        tensors |= rule.to_tensors()
        kept = rows.answers(out_of_fold)
        fitted_oracle = cls(members, rule, options, kept if options.out_of_fold else None)
        if options.out_of_fold:
            tensors |= kept.to_tensors()
        return FittedModel(tensors, measure(table, rows, out_of_fold, options, fitted_oracle.label))

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild the members; raises ModelError where arrays have been altered or members are not these."""
        from agd.nets.quantile_mapping import QuantileMap

        options = own(options, EnsembleOptions, _KIND)
        answers, rest = TrainingAnswers.split(tensors)
        scale, rest = stored_scale(rest, options)
        quantiles, rest = QuantileMap.split(rest)
        if bool(quantiles.to_tensors()) != (options.quantile_mapping > 0.0):
            raise ModelError("the ensemble was mapped otherwise: load it with the options it was trained with")
        parts = {kind: part(_prefix(kind), rest) for kind in options.members}
        named = {name for kind, arrays in parts.items() for name in prefixed(_prefix(kind), arrays)}
        kinds = {**_OWN_ARRAYS, **({} if options.weights == "equal" else {"weights": np.float64})}
        arrays = checked({name: rest[name] for name in rest.keys() - named}, kinds, "the ensemble")
        plugins = [_plugin(kind) for kind in options.members]
        if arrays["architecture_version"].tolist() != [plugin.architecture_version for plugin in plugins]:
            raise ModelError("the ensemble has been altered, or its members are of another architecture")
        rule = _Rule.of(arrays, quantiles, scale, len(plugins))
        members = [
            plugin.load(tensors, _member_options(plugin))
            for plugin, tensors in zip(plugins, parts.values(), strict=True)
        ]
        return cls(members, rule, options, answers if options.out_of_fold else None)

    def label(self, counts: Counts) -> Prediction:
        """Predict compositions `[n, 103]`; raises InputError for a row without atoms."""
        prediction = self.rule.together([member.label(counts) for member in self.members])
        return finished(prediction, counts, self.answers, self.options)


def _plugin(kind: str) -> type[Oracle]:
    found: type[Oracle] = registry.load(_GROUP, kind)
    fields = found.options_type.model_fields
    if not fields.keys() >= _NEEDED or ("n_folds" in fields and fields["n_folds"].default == 0):
        raise InputError(f"the oracle {kind} keeps no out-of-fold answers: it cannot be a member of an ensemble")
    return found


def _member_options(plugin: type[Oracle]) -> Options:
    """Its defaults, but values are not raised to a minimum before they are averaged."""
    return plugin.options_type()


def _prefix(kind: str) -> str:
    return f"member.{kind}"


@dataclass(frozen=True, slots=True, eq=False)
class _Rule:
    """How the members' answers become one: their weights `[m]`, or None where all count alike, and the uncertainty."""

    weights: Floats | None
    quantiles: "QuantileMap"
    calibration: Floats
    scale: "RangeScale"

    @classmethod
    def fit(cls, said: Sequence[Prediction], rows: SeenRows, options: EnsembleOptions) -> "tuple[_Rule, OutOfFold]":
        """Judge the members' out-of-fold answers of the distinct compositions on all rows `[n]`."""
        from agd.nets.calibration import OutOfFold, calibrate, uncertainties
        from agd.nets.quantile_mapping import QuantileMap

        by_row = [Prediction(one.values[rows.groups], one.uncertainties[rows.groups]) for one in said]
        weights = None if options.weights == "equal" else _stacked(by_row, rows.values)
        quantiles = QuantileMap.none()
        if options.quantile_mapping > 0.0:
            mean, _ = _together(by_row, weights, quantiles)
            quantiles = QuantileMap.fit(mean, rows.values, options.quantile_mapping)
        mean, columns = _together(by_row, weights, quantiles)
        calibration = calibrate(columns, np.abs(rows.values - mean), float(rows.values.std()))
        out_of_fold = OutOfFold(mean, uncertainties(calibration, columns), np.ones(len(mean), dtype=np.bool_))
        scale, out_of_fold = rescaled(out_of_fold, rows, options)
        return cls(weights, quantiles, calibration, scale), out_of_fold

    @classmethod
    def of(
        cls, arrays: Mapping[str, NDArray[Any]], quantiles: "QuantileMap", scale: "RangeScale", n_members: int
    ) -> "_Rule":
        """Rebuild it; raises ModelError where arrays have been altered."""
        from agd.nets.calibration import is_calibration

        weights = arrays.get("weights")
        if weights is not None and (len(weights) != n_members or (weights < 0.0).any() or not weights.any()):
            raise ModelError("the ensemble has been altered: its weights")
        if not is_calibration(arrays["calibration"], n_columns=3):
            raise ModelError("the ensemble has been altered: its calibration")
        return cls(weights, quantiles, arrays["calibration"], scale)

    def together(self, said: Sequence[Prediction]) -> Prediction:
        """One answer of the members' `[n]`."""
        from agd.nets.calibration import uncertainties

        mean, columns = _together(said, self.weights, self.quantiles)
        return Prediction(mean, self.scale.scaled(mean, uncertainties(self.calibration, columns)))

    def to_tensors(self) -> Tensors:
        """Its arrays."""
        own_arrays = {"calibration": self.calibration, **({} if self.weights is None else {"weights": self.weights})}
        return {**own_arrays, **self.quantiles.to_tensors(), **self.scale.to_tensors()}


def _stacked(said: Sequence[Prediction], values: Floats) -> Floats:
    """Weights of the members, by least squares on their out-of-fold answers; all the same where they tell nothing."""
    from scipy.optimize import nnls  # type: ignore[attr-defined]  # scipy ships no types

    weights, _ = nnls(np.stack([one.values for one in said], axis=1), values)
    total = weights.sum()
    return np.asarray(weights / total) if total > 0.0 else np.full(len(said), 1.0 / len(said))


def _together(
    said: Sequence[Prediction], weights: Floats | None, quantiles: "QuantileMap"
) -> tuple[Floats, list[Floats]]:
    """Answer `[n]`, and what the uncertainty depends on: mean sigma, disagreement and |answer|, `[n]` each."""
    mean = _mean([one.values for one in said], weights)
    sigma = _mean([one.uncertainties for one in said], weights)
    squares = _mean([(one.values - mean) ** 2 for one in said], weights)
    answers = quantiles.mapped(mean)
    return answers, [sigma, np.sqrt(squares), np.abs(answers)]


def _mean(rows: Sequence[Floats], weights: Floats | None) -> Floats:
    """Mean of rows `[n]`, summed in their order: no rounding depends on the other columns."""
    if weights is None:
        total: Floats = sum(rows[1:], rows[0]) / len(rows)
        return total
    weighted = [weight * row for weight, row in zip(weights, rows, strict=True)]
    return _mean(weighted, None) * len(rows)
