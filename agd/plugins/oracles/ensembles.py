"""Several oracles that answer as one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
from pydantic import Field, field_validator

from agd import registry
from agd.errors import InputError, ModelError
from agd.nets.arrays import checked, part, prefixed
from agd.plugins.oracles.composition_oracle import CompositionOracleOptions, finished, measure, own
from agd.plugins.oracles.training_answers import SeenRows, TrainingAnswers
from agd.protocols import Options, Oracle, Progress, Share, silent
from agd.seeds import member_seed
from agd.types import Counts, FittedModel, Floats, Prediction, Tensors, TrainingTable

if TYPE_CHECKING:
    from agd.nets.calibration import OutOfFold

_GROUP: Final = "agd.oracles"
_KIND: Final = "ensemble"
_OWN_ARRAYS: Final = {"calibration": np.float64, "architecture_version": np.int32}
_NEEDED: Final = CompositionOracleOptions.model_fields.keys()


class EnsembleOptions(CompositionOracleOptions):
    """Options of the oracle `ensemble`."""

    members: tuple[str, ...] = Field(
        ("extra_trees", "hist_gradient_boosting"),
        min_length=2,
        description="Kinds of the oracles, each fitted with its default options.",
    )

    @field_validator("members")
    @classmethod
    def _can_be_members(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        known = [name for name in registry.names(_GROUP) if name != _KIND]
        for kind in members:
            if kind == _KIND:
                raise ValueError("an ensemble cannot be a member of an ensemble: name its members instead")
            if kind not in known:
                raise ValueError(f"no oracle {kind!r}{registry.suggestion(kind, known)}")
        if len(set(members)) != len(members):
            raise ValueError("a member is named twice: name each kind once")
        return members


class Ensemble:
    """Mean of its members, each fitted with default options and a seed of its own.

    The uncertainty is calibrated on the members' out-of-fold answers: a positive linear fit of 1, their mean sigma,
    their disagreement and |mean|.
    """

    options_type: ClassVar[type[Options]] = EnsembleOptions
    architecture_version: ClassVar[int] = 1

    def __init__(
        self, members: Sequence[Oracle], calibration: Floats, options: EnsembleOptions, answers: TrainingAnswers | None
    ) -> None:
        self.members, self.calibration, self.options, self.answers = members, calibration, options, answers

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
        out_of_fold, tensors["calibration"] = _calibrated(said, rows)
        kept = rows.answers(out_of_fold)
        fitted_oracle = cls(members, tensors["calibration"], options, kept if options.out_of_fold else None)
        if options.out_of_fold:
            tensors |= kept.to_tensors()
        return FittedModel(tensors, measure(table, rows, out_of_fold, options, fitted_oracle.label))

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild the members; raises ModelError where arrays have been altered or members are not these."""
        from agd.nets.calibration import is_calibration

        options = own(options, EnsembleOptions, _KIND)
        answers, rest = TrainingAnswers.split(tensors)
        parts = {kind: part(_prefix(kind), rest) for kind in options.members}
        named = {name for kind, arrays in parts.items() for name in prefixed(_prefix(kind), arrays)}
        arrays = checked({name: rest[name] for name in rest.keys() - named}, _OWN_ARRAYS, "the ensemble")
        plugins = [_plugin(kind) for kind in options.members]
        if arrays["architecture_version"].tolist() != [plugin.architecture_version for plugin in plugins]:
            raise ModelError("the ensemble has been altered, or its members are of another architecture")
        if not is_calibration(arrays["calibration"], n_columns=3):
            raise ModelError("the ensemble has been altered: its calibration")
        members = [
            plugin.load(tensors, _member_options(plugin))
            for plugin, tensors in zip(plugins, parts.values(), strict=True)
        ]
        return cls(members, arrays["calibration"], options, answers if options.out_of_fold else None)

    def label(self, counts: Counts) -> Prediction:
        """Predict compositions `[n, 103]`; raises InputError for a row without atoms."""
        from agd.nets.calibration import uncertainties

        mean, columns = _together([member.label(counts) for member in self.members])
        prediction = Prediction(mean, uncertainties(self.calibration, columns))
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


def _together(said: Sequence[Prediction]) -> tuple[Floats, list[Floats]]:
    """Mean `[n]`, and what the uncertainty depends on: mean sigma, disagreement and |mean|, `[n]` each."""
    n = len(said)
    mean: Floats = sum((one.values for one in said[1:]), said[0].values) / n
    sigma: Floats = sum((one.uncertainties for one in said[1:]), said[0].uncertainties) / n
    squares: Floats = sum(((one.values - mean) ** 2 for one in said[1:]), (said[0].values - mean) ** 2) / n
    return mean, [sigma, np.sqrt(squares), np.abs(mean)]


def _calibrated(said: Sequence[Prediction], rows: SeenRows) -> "tuple[OutOfFold, Floats]":
    """Judge the members' out-of-fold answers `[m]` on all rows `[n]`."""
    from agd.nets.calibration import OutOfFold, calibrate, uncertainties

    by_row = [Prediction(one.values[rows.groups], one.uncertainties[rows.groups]) for one in said]
    mean, columns = _together(by_row)
    calibration = calibrate(columns, np.abs(rows.values - mean), float(rows.values.std()))
    is_judged = np.ones(len(mean), dtype=np.bool_)
    return OutOfFold(mean, uncertainties(calibration, columns), is_judged), calibration
