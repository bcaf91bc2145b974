"""Roost as an oracle and as a screener: a network on the stoichiometry of a composition, or several of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from agd.errors import InputError, ModelError
from agd.nets.arrays import n_stacked
from agd.nets.error_measures import measure_errors
from agd.plugins.oracles.composition_oracle import (
    CompositionOracleOptions,
    finished,
    measure,
    own,
    raised,
    rescaled,
    stored_scale,
)
from agd.plugins.oracles.training_answers import SeenRows, TrainingAnswers
from agd.progress import Progress, Share, silent
from agd.protocols import Options
from agd.seeds import spawn_seeds
from agd.types import Counts, FittedModel, Floats, Prediction, Tensors, TrainingTable

if TYPE_CHECKING:
    from agd.nets.calibration import OutOfFold, RangeScale
    from agd.nets.roost import Architecture, Network
    from agd.nets.training import Trained

_KIND: Final = "roost"
_CALIBRATION: Final = "calibration"


class RoostOptions(CompositionOracleOptions):
    """Options of the oracle `roost`; the defaults are those of arXiv 2103.00608."""

    epochs: int = Field(200, ge=1, le=10_000, description="Passes over the training rows.")
    learning_rate: float = Field(3e-4, gt=0.0, le=1.0, description="Step size of AdamW, constant.")
    weight_decay: float = Field(1e-6, ge=0.0, le=1.0, description="Weight decay of AdamW.")
    batch: int = Field(128, ge=1, le=65536, description="Rows per step.")
    patience: int | None = Field(
        None, ge=1, description="Epochs without a better validation MAE before training stops; by default it does not."
    )
    keep: Literal["best", "last"] = Field(
        "best", description="Which weights to keep: those of the best validation MAE, or of the last epoch."
    )
    validation: float = Field(
        0.25,
        ge=0.0,
        lt=1.0,
        description="Share of the compositions by whose MAE the weights are chosen, where the table names none.",
    )
    robust: bool = Field(
        default=False, description="Learn the scatter of each value too, by the likelihood of a Laplace distribution."
    )
    n_members: int = Field(1, ge=1, le=100, description="Networks that start from different weights; a deep ensemble.")
    n_folds: int = Field(
        0, ge=0, le=50, description="Folds, each with networks of its own, an answer being their mean; 0 for none."
    )
    n_layers: int = Field(3, ge=0, le=20, description="Message-passing layers.")
    n_heads: int = Field(3, ge=1, le=64, description="Attention heads of each.")
    node: int = Field(64, ge=2, le=4096, description="Length of an element's vector between them.")
    hidden: int = Field(256, ge=1, le=8192, description="Width of the hidden layers of gates and messages.")
    widths: tuple[int, ...] = Field(
        (1024, 512, 256, 128, 64), min_length=1, description="Widths of the residual layers after pooling."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to compute; `auto` is a GPU where torch sees one."
    )

    @model_validator(mode="after")
    def _can_be_calibrated(self) -> Self:
        if self.n_folds == 1:
            raise ValueError("n_folds = 1 would leave no row to fit: take 0 or at least 2")
        if self.validation == 0.0 and self.n_folds == 0:
            raise ValueError("validation = 0 leaves no row to tell the uncertainty by: set n_folds to 2 or more")
        if self.patience is not None and self.keep == "last":
            raise ValueError("patience waits for better weights, and keep = 'last' asks for others: leave one out")
        if min(self.widths) < 1:
            raise ValueError("widths must be at least 1")
        return self


class Roost:
    """The network of doi:10.1038/s41467-020-19964-7 with Matscholar's vectors of the elements.

    Fitting needs the extra `roost`, answering does not. The uncertainty is a positive linear fit of 1, the
    learnt scatter (`robust`), the members' spread (`n_members`) and |mean| to errors on rows the networks were not
    fitted to. By default these are the rows that chose the weights, and a composition of the training table is answered
    by a network that saw it; with `n_folds` they are all rows, each kept with what networks say that did not see it.
    The same seed, device and number of threads give the same networks.
    """

    options_type: ClassVar[type[Options]] = RoostOptions
    architecture_version: ClassVar[int] = 1

    def __init__(
        self,
        networks: "Sequence[Network]",
        calibration: Floats,
        options: RoostOptions,
        scale: "RangeScale",
        answers: TrainingAnswers | None,
    ) -> None:
        self.networks, self.calibration, self.options = networks, calibration, options
        self.scale, self.answers = scale, answers

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        """Fit the rows not held out.

        Raises:
            InputError: a table without finite values or rows to fit, no Matscholar vectors, or a training that
                diverged.
        """
        options = own(options, RoostOptions, _KIND)
        rows = SeenRows.of(table, _KIND)
        given = None if table.is_validation is None else table.is_validation[~table.is_held_out]
        folds = list(_folds(rows, given, options, seed))
        networks, others, trained = _fitted(rows, folds, options, seed, progress)
        calibration, out_of_fold = _judged(rows, folds, networks, options)
        scale, out_of_fold = rescaled(out_of_fold, rows, options)
        answers = rows.answers(out_of_fold) if options.out_of_fold and len(folds) > 1 else None
        fitted = cls(networks, calibration, options, scale, answers)
        metrics = measure(table, rows, out_of_fold, options, fitted.label)
        metrics = {**metrics, **_epochs(folds, trained), **_other(table, others, options), **fitted._size()}
        return FittedModel(fitted._tensors(), metrics)

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild the networks; raises ModelError where arrays have been altered or are of other options.

        Where it keeps no answers for its training compositions, they are predicted like any other.
        """
        from agd.nets.calibration import is_calibration
        from agd.nets.roost import Network

        options = own(options, RoostOptions, _KIND)
        answers, rest = TrainingAnswers.split(tensors)
        scale, rest = stored_scale(rest, options)
        shapes = Network(_sizes(options)).shapes()
        n = n_stacked(rest, shapes, (_CALIBRATION,), "the model of roost", counted_by="scale")
        if n % options.n_members:
            raise ModelError(
                f"the model of roost has {n} networks, no multiple of {options.n_members}: load it with the options it "
                "was trained with"
            )
        calibration = rest[_CALIBRATION]
        if calibration.dtype != np.float64 or not is_calibration(calibration.astype(np.float64), _n_columns(options)):
            raise ModelError("the model of roost has been altered: its calibration")
        networks = [Network(_sizes(options)) for _ in range(n)]
        for i, network in enumerate(networks):
            network.set_tensors({name: rest[name][i] for name in shapes})
            network.to(_device(options))
        kept = answers if options.out_of_fold else None
        return cls(networks, calibration.astype(np.float64), options, scale, kept)

    def label(self, counts: Counts) -> Prediction:
        """Predict compositions `[n, 103]`; raises InputError for a row without atoms."""
        from agd.nets.calibration import uncertainties

        mean, columns = _answers(self.networks, counts, self.options)
        prediction = Prediction(mean, self.scale.scaled(mean, uncertainties(self.calibration, columns)))
        return finished(prediction, counts, self.answers, self.options)

    def _tensors(self) -> Tensors:
        each = [network.tensors() for network in self.networks]
        stacked = {name: np.stack([tensors[name] for tensors in each]) for name in each[0]}
        kept = self.answers.to_tensors() if self.answers else {}
        return {**stacked, _CALIBRATION: self.calibration, **self.scale.to_tensors(), **kept}

    def _size(self) -> dict[str, float]:
        return {"n_parameters": float(sum(network.n_parameters for network in self.networks))}


@dataclass(frozen=True, slots=True, eq=False)
class _Fold:
    """Which seen rows `[n]` networks are fitted to, which choose their weights, and which judge them."""

    is_fitted: NDArray[np.bool_]
    is_validation: NDArray[np.bool_]
    is_judged: NDArray[np.bool_]


def _folds(rows: SeenRows, given: NDArray[np.bool_] | None, options: RoostOptions, seed: int) -> Iterator[_Fold]:
    """Rows of one composition share a fold; a fold's rows take no part in its networks, not even as validation."""
    n_groups = len(rows.distinct)
    n_folds = min(options.n_folds, n_groups)
    draws = np.random.default_rng(seed)
    fold_of = (draws.permutation(n_groups) % max(n_folds, 1))[rows.groups]
    for fold in range(max(n_folds, 1)):
        is_out = fold_of == fold if n_folds > 1 else np.zeros(len(rows.values), dtype=np.bool_)
        is_validation = _drawn(rows, ~is_out, options.validation, draws) if given is None else given & ~is_out
        is_fitted = ~is_out & ~is_validation
        if not is_fitted.any():
            raise InputError("the oracle roost needs a row to fit that is not held out, of validation or of a fold")
        yield _Fold(is_fitted, is_validation, is_out if n_folds > 1 else is_validation)


def _drawn(rows: SeenRows, is_inside: NDArray[np.bool_], share: float, draws: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a share of the compositions inside."""
    inside = np.unique(rows.groups[is_inside])
    n = min(int(np.ceil(share * len(inside))), len(inside) - 1)
    return is_inside & np.isin(rows.groups, draws.permutation(inside)[:n])


def _fitted(
    rows: SeenRows, folds: Sequence[_Fold], options: RoostOptions, seed: int, progress: Progress
) -> "tuple[list[Network], list[Network], list[Trained]]":
    from agd.nets.element_vectors import matscholar
    from agd.nets.roost import Recipe, Rows, fit
    from agd.nets.training import Schedule

    _check_atoms(rows.counts)
    schedule = Schedule(
        options.epochs,
        options.learning_rate,
        options.weight_decay,
        patience=options.patience or options.epochs,
        is_constant=True,
    )
    tasks = [fold for fold in folds for _ in range(options.n_members)]
    seeds = spawn_seeds(seed, len(tasks))
    networks, others, trained = [], [], []
    for i, fold in enumerate(tasks):
        inside = fold.is_fitted | fold.is_validation
        network, other, outcome = fit(
            Rows(rows.counts[inside], rows.values[inside], fold.is_validation[inside]),
            matscholar(),
            _sizes(options),
            Recipe(schedule, options.batch, keeps_best=options.keep == "best"),
            seed=seeds[i],
            device=_device(options),
            progress=Share(progress, i, len(tasks), f"network {i + 1}/{len(tasks)}" if len(tasks) > 1 else ""),
        )
        networks.append(network)
        others.append(other)
        trained.append(outcome)
    Share(progress, len(tasks) - 1, len(tasks))(1, 1)  # early stopping leaves some undone
    return networks, others, trained


def _judged(
    rows: SeenRows, folds: Sequence[_Fold], networks: "Sequence[Network]", options: RoostOptions
) -> "tuple[Floats, OutOfFold]":
    """Calibrate on the rows that judge, and say what is answered about them."""
    from agd.nets.calibration import OutOfFold, calibrate, uncertainties

    n = len(rows.values)
    mean, columns = np.zeros(n), [np.zeros(n) for _ in range(_n_columns(options))]
    is_judged = np.zeros(n, dtype=np.bool_)
    for i, fold in enumerate(folds):
        own_networks = networks[i * options.n_members : (i + 1) * options.n_members]
        mean[fold.is_judged], told = _answers(own_networks, rows.counts[fold.is_judged], options)
        for column, part in zip(columns, told, strict=True):
            column[fold.is_judged] = part
        is_judged |= fold.is_judged
    residuals = np.abs(rows.values - mean)[is_judged]
    calibration = calibrate([column[is_judged] for column in columns], residuals, float(rows.values.std()))
    return calibration, OutOfFold(mean, uncertainties(calibration, columns), is_judged)


def _answers(networks: "Sequence[Network]", counts: Counts, options: RoostOptions) -> tuple[Floats, list[Floats]]:
    """Mean `[n]`, and what the uncertainty depends on: scatter, spread within a fold, |mean|, `[n]` each."""
    from agd.nets.roost import predict

    _check_atoms(counts)
    values, scatters = predict(networks, counts, _device(options))
    mean = _mean(values)
    columns = [_mean(scatters)] if options.robust else []
    if options.n_members > 1:
        by_fold = [values[i : i + options.n_members] for i in range(0, len(values), options.n_members)]
        columns.append(_mean([_spread(part) for part in by_fold]))
    return mean, [*columns, np.abs(mean)]


def _mean(rows: Sequence[Floats] | Floats) -> Floats:
    """Mean of rows `[n]`, summed in their order: no rounding depends on the other columns."""
    total: Floats = sum(rows[1:], rows[0]) / len(rows)
    return total


def _spread(rows: Floats) -> Floats:
    spread: Floats = np.sqrt(_mean([(row - _mean(rows)) ** 2 for row in rows]))
    return spread


def _n_columns(options: RoostOptions) -> int:
    return 1 + options.robust + (options.n_members > 1)


def _epochs(folds: Sequence[_Fold], trained: "Sequence[Trained]") -> dict[str, float]:
    """Means over the networks."""
    metrics = {
        "n_epochs": float(np.mean([one.n_epochs for one in trained])),
        "best_epoch": float(np.mean([one.best_epoch for one in trained])),
    }
    if all(fold.is_validation.any() for fold in folds):
        metrics["validation_mae"] = float(np.mean([-one.best_score for one in trained]))
    return metrics


def _other(table: TrainingTable, others: "Sequence[Network]", options: RoostOptions) -> dict[str, float]:
    """What the weights that were not kept are worth on the held-out rows."""
    if table.values is None or not table.is_held_out.any():
        return {}
    values = table.values[table.is_held_out]
    mean, _ = _answers(others, table.counts[table.is_held_out], options)
    which = "last_epoch" if options.keep == "best" else "best_epoch"
    return {f"{which}_{name}": value for name, value in measure_errors(values, raised(mean, options)).items()}


def _sizes(options: RoostOptions) -> "Architecture":
    from agd.nets.element_vectors import N_MATSCHOLAR
    from agd.nets.roost import Architecture

    return Architecture(
        n_vector=N_MATSCHOLAR,
        n_node=options.node,
        n_hidden=options.hidden,
        n_heads=options.n_heads,
        n_layers=options.n_layers,
        widths=options.widths,
        is_robust=options.robust,
    )


def _device(options: RoostOptions) -> str:
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("roost: device = 'cuda', but torch sees no GPU: take 'auto' or 'cpu'")
    return "cuda" if options.device != "cpu" and torch.cuda.is_available() else "cpu"


def _check_atoms(counts: Counts) -> None:
    is_empty = ~counts.any(axis=1)
    if is_empty.any():
        raise InputError(f"row {int(np.argmax(is_empty))} of the counts has no atoms: roost has nothing to say of it")
