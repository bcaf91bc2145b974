"""The contracts of `agd.testing` find what is broken, each fault by its promise, and nothing in what is whole."""

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, Field

from agd.errors import InputError, ModelError
from agd.progress import silent
from agd.protocols import Options
from agd.testing import (
    AutoencoderContract,
    BrokenPromiseError,
    FormulaGeneratorContract,
    OracleContract,
    SamplerContract,
)
from agd.testing.promises import checks_of
from agd.types import Decoded, FittedModel, History, Parent, Prediction, Proposals


def _foreign() -> ModuleType:
    path = Path(__file__).parents[1] / "fixtures" / "stranger" / "good" / "foreign.py"
    spec = spec_from_file_location("foreign", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


foreign = _foreign()
Linear, Counted = foreign.Linear, foreign.Counted


class Drawing:
    options_type = Options
    space = "latent"
    draws_from_pool = False
    takes_several_properties = False

    def __init__(self, options: Options) -> None:
        self.options = options

    def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
        return self.proposed(self.points(history, n, np.random.default_rng(seed)))

    def points(self, history: History, n: int, rng: np.random.Generator) -> Any:
        return rng.uniform(*history.bounds.T, (n, len(history.bounds))).astype(np.float32).astype(np.float64)

    def proposed(self, points: Any) -> Proposals:
        nan = np.full(len(points), np.nan)
        return Proposals(posterior_mean=nan, posterior_sd=nan, acquisition=nan, latents=points)


class Composing(Drawing):
    """Fluorides of seven atoms of a heavy element."""

    space = "formula"

    def points(self, history: History, n: int, rng: np.random.Generator) -> Any:
        del history
        counts = np.zeros((n, 103), np.int32)
        counts[:, 8] = 1
        counts[np.arange(n), 40 + rng.permutation(50)[:n]] = 7
        return counts

    def proposed(self, points: Any) -> Proposals:
        nan = np.full(len(points), np.nan)
        return Proposals(posterior_mean=nan, posterior_sd=nan, acquisition=nan, counts=points)


class Shuffling:
    """Rows of the table, with an element exchanged; in blocks of one."""

    options_type = Options
    architecture_version = 1

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    @classmethod
    def is_representable(cls, counts: Any) -> Any:
        return counts.any(axis=1) & (counts <= 8).all(axis=1)

    @classmethod
    def fit(cls, table: Any, options: Options, *, seed: int, progress: Any = silent) -> FittedModel:
        del options
        is_inside = cls.is_representable(table.counts)
        if not is_inside.all():
            raise InputError(f"row {np.argmin(is_inside)} has too many atoms, or none")
        if table.is_held_out.all():
            raise InputError("no row to train on: all are held out")
        progress(1, 1)
        seen = np.random.default_rng(seed).permutation(np.flatnonzero(~table.is_held_out))
        return FittedModel({"rows": table.counts[seen][:40]}, {"n_rows": float(len(seen))})

    @classmethod
    def load(cls, tensors: Any, options: Options) -> Any:
        del options
        rows = tensors.get("rows", np.zeros(0))
        if (rows.shape, rows.dtype) != ((40, 103), np.int32):
            raise ModelError(f"rows are {rows.dtype} {rows.shape}")
        return cls(tensors["rows"])

    def sample(self, start: int, n: int, *, seed: int) -> Any:
        chosen = [np.random.default_rng([seed, start + k]).integers(len(self.rows)) for k in range(n)]
        return self.rows[np.array(chosen, np.int64)]


class ModelOptions(BaseModel):
    n: int


class Undescribed(Options):
    n: int = 1


class Lax(Options, extra="ignore"):
    n: int = Field(1, description="A number.")


class WholeSampler(SamplerContract):
    plugin = Drawing


class WholeComposer(SamplerContract):
    plugin = Composing


class WholeOracle(OracleContract):
    plugin = Linear
    is_random = False


class WholeAutoencoder(AutoencoderContract):
    plugin = Counted
    is_random = False


class WholeGenerator(FormulaGeneratorContract):
    plugin = Shuffling


WHOLE = (WholeSampler, WholeComposer, WholeOracle, WholeAutoencoder, WholeGenerator)


@pytest.mark.parametrize("contract", WHOLE, ids=lambda one: one.plugin.__name__)
def test_what_is_whole_breaks_nothing(contract: Any) -> None:
    assert contract.broken_promises() == []


def _remembering(self: Any, history: History, n: int, rng: np.random.Generator) -> Any:
    self.n_asked = getattr(self, "n_asked", 0) + 1
    return Drawing.points(self, history, n, np.random.default_rng(rng.integers(1 << 30) + self.n_asked))


def _global(self: Any, history: History, n: int, rng: np.random.Generator) -> Any:
    del self, rng
    low, high = history.bounds.T
    return (low + (high - low) * np.random.random((n, len(low)))).astype(np.float32).astype(np.float64)  # noqa: NPY002


def _deaf(self: Any, history: History, n: int, rng: np.random.Generator) -> Any:
    del rng
    return Drawing.points(self, history, n, np.random.default_rng(0))


def _writing(self: Any, history: History, n: int, rng: np.random.Generator) -> Any:
    history.objectives[np.isnan(history.objectives)] = 0.0
    return Drawing.points(self, history, n, rng)


def _fragile(self: Any, history: History, n: int, rng: np.random.Generator) -> Any:
    return Drawing.points(self, history, n, rng)[np.nanargmax(history.objectives) * 0 :]


SAMPLERS = [
    ({"points": _remembering}, "pure function of history and seed", "the same instance gives other latents"),
    ({"points": _global}, "pure function of history and seed", "latents for the same history"),
    ({"points": _deaf}, "another seed gives other", "seeds 1 and 2 give the same"),
    ({"points": _writing}, "the history is left as it was", "history.objectives is changed, first in row 0"),
    ({"points": _fragile}, "suggest gives .* \\(history 'no label', n = 1\\)", "it raises ValueError: All-NaN"),
    ({"points": lambda s, h, n, r: np.repeat(Drawing.points(s, h, 1, r), n, axis=0)}, "distinct", "1 of 20 points"),
    ({"points": lambda s, h, n, r: Drawing.points(s, h, n, r) + 9}, "inside the bounds", "on axis 0, where the box is"),
    ({"points": lambda s, h, n, r: Drawing.points(s, h, n, r) * np.nan}, "are finite", "a point is not finite"),
    (
        {"points": lambda s, h, n, r: Drawing.points(s, h, n, r)[:, 1:]},
        "suggest gives",
        r"shape \[1, 5\], not \[1, 6\]",
    ),
    ({"suggest": lambda _s, _h, _n, *, seed: seed}, "suggest gives", "it gives int"),
    ({"options_type": ModelOptions}, "each option has a default", "no subclass of agd.protocols.Options"),
    ({"options_type": Undescribed}, "each option has a default and a description", "'n' has no description"),
    ({"options_type": Lax}, "options that do not exist are refused", "takes no_such_option = 1 without a word"),
    ({"__module__": "torch"}, "does not load torch", "`import torch` loads torch"),
    ({"suggest": None, "__init__": None}, "suggest gives", "it raises TypeError"),
]


def _of(formula: str, operator: str) -> Any:
    """Give every suggestion a parent."""

    def proposed(self: Any, points: Any) -> Proposals:
        return replace(Composing.proposed(self, points), parents=[[Parent(formula, operator)]] * len(points))

    return proposed


COMPOSERS = [
    ({"points": lambda _s, h, n, _r: h.counts[:n].copy()}, "none that the campaign knows", "is in history.seen"),
    (
        {"points": lambda s, h, n, r: np.arange(1, n + 1, dtype=np.int32)[:, None] * Composing.points(s, h, 1, r)},
        "whatever multiple they are written as",
        "a composition comes twice",
    ),
    ({"points": lambda s, h, n, r: Composing.points(s, h, n, r) * 0}, "compositions are distinct", "has no atoms"),
    ({"draws_from_pool": True}, "proposes candidates", "is no candidate"),
    ({"space": "latent"}, "where its space is latent", "of the space 'formula', and says 'latent'"),
    ({"proposed": _of("Na2Cl2", "swap")}, "parents are reduced formulas", "Na2Cl2 are no reduced formulas"),
    ({"proposed": _of("NaCl", " ")}, "parents are reduced formulas", "an operator is empty"),
]


def _batched(self: Any, counts: Any) -> Prediction:
    found = Linear.label(self, counts)
    return Prediction(found.values - (found.values.mean() if len(counts) else 0.0), found.uncertainties)


def _torn(self: Any, counts: Any) -> Prediction:
    found = Linear.label(self, counts)
    return Prediction(np.where(found.values > 1.0, np.nan, found.values), found.uncertainties)


def _counting(self: Any, counts: Any) -> Prediction:
    self.n = getattr(self, "n", 0) + 1
    return Prediction(Linear.label(self, counts).values + self.n, np.ones(len(counts)))


def _changed(change: Any) -> Any:
    """A fit of which the outcome is changed."""

    def fit(cls: Any, table: Any, options: Any, *, seed: int, progress: Any = silent) -> FittedModel:
        base = next(one for one in (Linear, Counted, Shuffling) if issubclass(cls, one))
        fitted = base.fit.__func__(cls, table, options, seed=seed, progress=progress)
        return FittedModel(*change(dict(fitted.tensors), dict(fitted.metrics), table))

    return classmethod(fit)


def _quiet(cls: Any, table: Any, options: Any, *, seed: int, progress: Any = silent) -> FittedModel:
    del progress
    return Linear.fit.__func__(cls, table, options, seed=seed)


def _lax(cls: Any, tensors: Any, options: Any) -> Any:
    del options
    return cls(tensors.get("weights", np.zeros(103)), tensors.get("spread", np.zeros(1)))


def _all_rows(cls: Any, table: Any, options: Any, *, seed: int, progress: Any = silent) -> FittedModel:
    if table.is_held_out.all():
        raise InputError("no row to train on")
    whole = type(table)(table.counts, table.values, np.zeros(len(table.counts), np.bool_))
    tensors = Linear.fit.__func__(cls, whole, options, seed=seed, progress=progress).tensors
    return FittedModel(tensors, {"mae": 0.0})


def _heedless(cls: Any, table: Any, options: Any, *, seed: int, progress: Any = silent) -> FittedModel:
    seen = table if not table.is_held_out.all() else type(table)(table.counts, table.values, ~table.is_held_out)
    return Linear.fit.__func__(cls, seen, options, seed=seed, progress=progress)


class Bounded(foreign.LinearOptions):
    minimum: float | None = Field(None, description="Least value.")


_ROW = np.random.default_rng()

ORACLES = [
    ({"label": _batched}, "labelled as if it were alone", r"rows slice\(0, 1, None\): values differ"),
    ({"label": _torn}, "label gives", "values: not finite in row"),
    ({"label": lambda s, c: Prediction(*2 * [Linear.label(s, c).values - 9.0])}, "label gives", "below zero"),
    ({"label": lambda s, c: Linear.label(s, c).values}, "label gives", "it gives a ndarray"),
    ({"label": _counting}, "a model has no memory", "asked again it differs in values"),
    ({"fit": _changed(lambda t, m, _: (t, {**m, "r2": np.nan}))}, "metrics are finite", "metric 'r2' is nan"),
    ({"fit": _changed(lambda t, _m, _t: (t, {}))}, "metrics are finite", "there is none"),
    (
        {"fit": _changed(lambda t, m, _: ({**t, "spread": _ROW.random(1)}, m))},
        "fit is a pure function",
        "two fits of seed 1 differ in tensor spread",
    ),
    ({"fit": classmethod(_quiet)}, "progress is told", "nothing is told"),
    ({"fit": classmethod(_all_rows)}, "held-out rows are seen by no parameter", "it differs in tensor"),
    ({"fit": classmethod(_heedless)}, "all held out is refused", "is taken without a word, where InputError is due"),
    (
        {"fit": _changed(lambda t, m, table: (table.counts.__setitem__((0, 0), 9), (t, m))[1])},
        "the table is left as it was",
        "table.counts is changed, first in row 0",
    ),
    ({"load": classmethod(_lax)}, "load refuses tensors", "tensors without 'weights' is taken without a word"),
    ({"options_type": Bounded}, "values are raised to the option `minimum`", "the values are others"),
    ({"architecture_version": "1.0"}, "it can be loaded", "its architecture_version is no int"),
    ({"architecture_version": 0}, "architecture_version is a whole number", "it is 0"),
    ({"fit": classmethod(lambda _c, _t, _o, *, seed: 1 // (0 * seed))}, "an ordinary table can be fitted", "ZeroDiv"),
    (
        {"label": lambda s, c: Prediction(np.maximum(Linear.label(s, c).values, 0.0), np.ones(len(c)))},
        "a property may be negative",
        "it answers 0.0",
    ),
]


def _decoded(change: Any) -> Any:
    def decode(self: Any, latents: Any) -> Decoded:
        found = Counted.decode(self, latents)
        return Decoded(*change(found.counts.copy(), dict(found.failures), latents))

    return decode


AUTOENCODERS = [
    ({"encode": lambda s, c: Counted.encode(s, c).astype(float)}, "encode gives", "latents: type float64, not float32"),
    ({"encode": lambda s, c: Counted.encode(s, c) + np.float32(len(c))}, "as if it were alone", "a row differs"),
    ({"encode": lambda s, c: (c / s.scale).astype(np.float32)}, "is refused by InputError", "without a word"),
    ({"decode": _decoded(lambda c, f, _: (c * (np.arange(len(c)) != 3)[:, None], f))}, "or fails", "and no reason"),
    ({"decode": _decoded(lambda c, f, _: (c + 1, f))}, "any point decodes", "decodes to what cannot be encoded"),
    (
        {"decode": _decoded(lambda c, f, _: (c.astype(np.int64), f))},
        "decode agd.types",
        "counts: type int64, not int32",
    ),
    ({"decode": _decoded(lambda c, f, _: (np.roll(c, 1, axis=1), f))}, "mostly comes back", "0.00 of"),
    ({"decode": lambda s, z: Counted.decode(s, np.nan_to_num(z))}, "not finite, are refused", "without a word"),
    (
        {"is_representable": classmethod(lambda _c, counts, _o: counts.sum(axis=1) < 20)},
        "is_representable tells",
        "a row without atoms is representable",
    ),
]

GENERATORS = [
    (
        {"sample": lambda s, start, n, *, seed: Shuffling.sample(s, 0, n, seed=seed + start)},
        "its number and the seed alone",
        "it differs",
    ),
    ({"sample": lambda s, a, n, *, seed: Shuffling.sample(s, a, n, seed=0 * seed)}, "seed alone", "seeds 3 and 4 give"),
    ({"sample": lambda s, a, n, *, seed: 9 * Shuffling.sample(s, a, n, seed=seed)}, "sample gives", "could learn from"),
    ({"sample": lambda s, a, n, *, seed: 1.0 * Shuffling.sample(s, a, n, seed=seed)}, "sample gives", "type float64"),
    (
        {"is_representable": classmethod(lambda _c, counts: np.ones(len(counts), np.bool_))},
        "is_representable tells",
        "a row without atoms is representable",
    ),
]

FAULTS = [
    pytest.param(contract, members, promise, found, id=f"{contract.plugin.__name__}-{number}")
    for contract, faults in zip(WHOLE, (SAMPLERS, COMPOSERS, ORACLES, AUTOENCODERS, GENERATORS), strict=True)
    for number, (members, promise, found) in enumerate(faults)
]


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("contract", "members", "promise", "found"), FAULTS)
def test_each_fault_is_found_by_its_promise(contract: Any, members: dict[str, Any], promise: str, found: str) -> None:
    named = type("Named", (contract,), {"plugin": type("Faulty", (contract.plugin,), members)})
    checks = [name for name, text in checks_of(named) if re.search(promise, text)]
    broken = list(_said_by(named, checks)) if checks else named.broken_promises()
    texts = [one.replace("\n", " ") for one in broken]
    wanted = partial(_says, promise, found)
    assert any(map(wanted, texts)), broken
    assert all("Faulty breaks a promise" in text and "  cure: " in text for text in broken)


def _said_by(contract: Any, checks: list[str]) -> Iterator[str]:
    for check in checks:
        try:
            getattr(contract(), check)()
        except BrokenPromiseError as error:
            yield str(error)


def _says(promise: str, found: str, text: str) -> bool:

    return re.search(f"promised: [^:]*{promise}.*found: .*{found}", text) is not None


def test_a_broken_promise_is_a_failed_assertion() -> None:
    contract = type("Named", (SamplerContract,), {"plugin": type("Deaf", (Drawing,), {"points": _deaf})})
    with pytest.raises(BrokenPromiseError, match="sampler Deaf breaks a promise\n  promised: another seed") as raised:
        contract().test_the_seed_decides()
    assert isinstance(raised.value, AssertionError)
