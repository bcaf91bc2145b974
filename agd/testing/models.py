"""What everything promises that is fitted to a table and rebuilt from its tensors."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

from agd.errors import InputError, ModelError
from agd.nets.checkpoint import load_tensors, save_tensors
from agd.protocols import Options
from agd.testing.plugins import PluginContract, other_global_randomness
from agd.testing.promises import kept, once, promised, require, require_error, require_same
from agd.types import FittedModel, Tensors, TrainingTable

SEED = 7


@dataclass
class Told:
    """Keeps what a fit tells of its progress."""

    reports: list[tuple[int, int, str]] = field(default_factory=list)

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """One report."""
        self.reports.append((done, total, note))


@dataclass(frozen=True)
class Trained:
    """A model that was fitted once for all the checks of a contract."""

    plugin: Any
    options: Options
    table: Any
    fitted: FittedModel
    model: Any


class ModelContract(PluginContract):
    """The contract of an autoencoder, a generator of formulas or an oracle."""

    brief: ClassVar[Mapping[str, Any]] = {}
    """Options of the fits that are only compared with each other, over the others: fewer epochs, for instance."""

    learns_from_held_out: ClassVar[bool] = False
    """Whether the held-out rows decide anything, such as when training stops."""

    free_lengths: ClassVar[Sequence[str]] = ()
    """Tensors that may be of any length, so that nobody can see whether one was cut."""

    @classmethod
    @abstractmethod
    def table(cls) -> Any:
        """What it is fitted to, an agd.types.TrainingTable; at least some dozens of rows, some of them held out."""

    @classmethod
    def with_other_held_out_rows(cls, table: Any) -> Any:
        """The table with the held-out rows in another order, their values far away."""
        return _with_other_held_out_rows(table)

    @classmethod
    @abstractmethod
    def answers(cls, model: Any) -> Mapping[str, Any]:
        """Arrays that tell whether two models are the same, by name."""

    @classmethod
    @once
    def trained(cls) -> Trained:
        """The plug-in, fitted and loaded."""
        plugin, options = cls.plugin_class(), cls.chosen()
        with kept(cls, "an ordinary table can be fitted, and what was fitted be loaded", cure="mend fit or load"):
            table = cls.table()
            fitted = plugin.fit(table, options, seed=SEED)
            return Trained(plugin, options, table, fitted, plugin.load(fitted.tensors, options))

    @promised(
        "architecture_version is a whole number from 1 on",
        cure="say `architecture_version: ClassVar[int] = 1`, one more whenever older tensors can no longer be loaded",
    )
    def test_the_architecture_has_a_version(self) -> None:
        """It is kept with every model, and a model of another version is not loaded."""
        version = self.plugin_class().architecture_version
        require(isinstance(version, int) and version >= 1, f"it is {version!r}")

    @promised(
        "load rebuilds a model with every member of its protocol",
        cure="let load return an instance of the class, see agd.protocols",
    )
    def test_what_is_loaded_has_the_members_of_its_protocol(self) -> None:
        """As agd.protocols says."""
        model = self.trained().model
        require(isinstance(model, self.protocol), f"it gives a {type(model).__name__}, no {self.protocol.__name__}")

    @promised("fit gives agd.types.FittedModel: arrays by name", cure="store numbers or fixed-length text, no objects")
    def test_tensors_are_plain_arrays(self) -> None:
        """They are kept as an .npz file that is read without pickle."""
        fitted = self.trained().fitted
        require(isinstance(fitted, FittedModel), f"it gives a {type(fitted).__name__}")
        for name, tensor in fitted.tensors.items():
            require(isinstance(name, str), f"a tensor is named {name!r}")
            require(isinstance(tensor, np.ndarray), f"tensor {name!r} is a {type(tensor).__name__}")
            require(not tensor.dtype.hasobject, f"tensor {name!r} holds Python objects")

    @promised(
        "a model rebuilt from its stored tensors answers bit for bit alike",
        cure="put everything that an answer depends on into tensors or options, with its type",
    )
    def test_a_stored_model_answers_alike(self) -> None:
        """Through a file, as a campaign does."""
        trained = self.trained()
        with TemporaryDirectory() as folder:
            sha256 = save_tensors(Path(folder), trained.fitted.tensors)
            stored = trained.plugin.load(load_tensors(Path(folder), sha256), trained.options)
        self._require_alike(self.answers(stored), self.answers(trained.model), "the stored model differs in")

    @promised(
        "a model has no memory: the same question has the same answer",
        cure="compute answers from arguments and tensors alone, and draw random numbers from a generator of the seed",
    )
    def test_asking_twice_gives_the_same(self) -> None:
        """Whatever was asked before, and whatever the global random numbers are."""
        model = self.trained().model
        first = self.answers(model)
        with other_global_randomness():
            self._require_alike(self.answers(model), first, "asked again it differs in")

    @promised(
        "fit is a pure function of table, options and seed, and another seed gives another model",
        cure="seed every random number from `seed` (torch.manual_seed within fit, too); say `is_random = False` in the "
        "contract of a model that draws none",
    )
    def test_the_seed_decides(self) -> None:
        """A model version is named by its recipe: table, options and seed."""
        plugin, options, table = self.plugin_class(), self.chosen(**self.brief), self.trained().table
        one = plugin.fit(table, options, seed=1)
        with other_global_randomness():
            again = plugin.fit(table, options, seed=1)
        self._require_alike(one.tensors, again.tensors, "two fits of seed 1 differ in tensor")
        require(dict(one.metrics) == dict(again.metrics), "two fits of seed 1 differ in their metrics")
        if self.is_random:
            other = plugin.fit(table, options, seed=2).tensors
            is_other = any(not np.array_equal(tensor, other.get(name)) for name, tensor in one.tensors.items())
            require(is_other, "fits of seeds 1 and 2 give the same tensors")

    @promised(
        "held-out rows are seen by no parameter",
        cure="fit on `~table.is_held_out` only; say `learns_from_held_out = True` in the contract of a model "
        "that stops by them",
    )
    def test_held_out_rows_are_never_seen(self) -> None:
        """The metrics are measured on them."""
        if self.learns_from_held_out:
            return
        trained = self.trained()
        other = trained.plugin.fit(self.with_other_held_out_rows(trained.table), trained.options, seed=SEED)
        self._require_alike(trained.fitted.tensors, other.tensors, "with other held-out rows it differs in tensor")

    @promised("the table is left as it was", cure="work on copies: `table.counts.copy()`")
    def test_the_table_is_untouched(self) -> None:
        """Others are fitted to it."""
        table, fresh = self.trained().table, self.table()
        for name in ("counts", "values", "is_held_out"):
            if getattr(table, name, None) is not None:
                require_same(getattr(fresh, name), getattr(table, name), f"table.{name} is changed")

    @promised(
        "metrics are finite numbers, measured on the held-out rows",
        cure='return FittedModel(tensors, {"mae": float(...)}), and leave out what cannot be measured',
    )
    def test_metrics_are_finite_numbers(self) -> None:
        """A person reads them in `agd models`."""
        metrics = self.trained().fitted.metrics
        require(metrics, "there is none")
        for name, value in metrics.items():
            is_number = isinstance(value, (int, float)) and np.isfinite(value)
            require(is_number, f"metric {name!r} is {value!r}")

    @promised(
        "progress is told, never backwards, and ends at its total",
        cure="call `progress(done, total)` after each round, the last time with done == total",
    )
    def test_progress_is_told(self) -> None:
        """A person watches it."""
        told = Told()
        self.plugin_class().fit(self.trained().table, self.chosen(**self.brief), seed=SEED, progress=told)
        done = [report[0] for report in told.reports]
        require(done, "nothing is told")
        require(done == sorted(done), f"it goes backwards: {done}")
        require(told.reports[-1][0] == told.reports[-1][1], f"it ends at {told.reports[-1][:2]}")
        require(all(isinstance(note, str) for _, _, note in told.reports), "a note is no text")

    @promised(
        "a table whose rows are all held out is refused by InputError",
        cure="raise agd.errors.InputError where `table.is_held_out.all()`",
    )
    def test_a_table_without_training_rows_is_refused(self) -> None:
        """In one line."""
        trained = self.trained()
        nothing = replace(trained.table, is_held_out=np.ones_like(trained.table.is_held_out))
        require_error(
            InputError,
            lambda: trained.plugin.fit(nothing, trained.options, seed=SEED),
            "a table without a row to train on",
        )

    @promised(
        "load refuses tensors that are missing, cut or of another type by ModelError",
        cure="compare names, shapes and types of the tensors with what the options ask for, and raise "
        "agd.errors.ModelError; name tensors of free length in `free_lengths` of the contract",
    )
    def test_damaged_tensors_are_refused(self) -> None:
        """In one line."""
        trained = self.trained()
        for what, damaged in self._damaged(trained.fitted.tensors):
            require_error(ModelError, lambda d=damaged: trained.plugin.load(d, trained.options), what)  # type: ignore[misc]  # mypy gives a lambda's default no type

    def _damaged(self, tensors: Tensors) -> Iterator[tuple[str, Tensors]]:
        for name, tensor in tensors.items():
            rest = {other: kept for other, kept in tensors.items() if other != name}
            yield f"tensors without {name!r}", rest
            if tensor.ndim and name not in self.free_lengths:
                yield f"tensor {name!r} without its last row", {**rest, name: tensor[:-1]}
            if np.issubdtype(tensor.dtype, np.number):
                yield f"tensor {name!r} of complex numbers", {**rest, name: tensor.astype(np.complex128)}

    @staticmethod
    def _require_alike(one: Mapping[str, Any], other: Mapping[str, Any], what: str) -> None:
        require(one.keys() == other.keys(), f"{what} {', '.join(sorted(one.keys() ^ other.keys()))}")
        for name, array in one.items():
            require_same(array, other[name], f"{what} {name}")


def _with_other_held_out_rows(table: TrainingTable) -> TrainingTable:
    """The table with the held-out rows in another order, their values far away."""
    counts = table.counts.copy()
    rows = np.flatnonzero(table.is_held_out)
    counts[rows] = counts[rows[0]]
    values = None if table.values is None else np.where(table.is_held_out, table.values + 99.0, table.values)
    return replace(table, counts=counts, values=values)
