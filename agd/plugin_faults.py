"""What a plug-in of another package does wrong at work is laid at its door: by name, package and place."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agd import registry
from agd.chem.elements import N_ELEMENTS
from agd.errors import AgdError, FaultyPluginError
from agd.progress import Progress, silent
from agd.protocols import FormulaGenerator, Generator, Options, Oracle, Sampler, StructureOracle, ToldOracle
from agd.types import (
    Counts,
    Decoded,
    FittedModel,
    Floats,
    History,
    Latents,
    Prediction,
    Proposals,
    Structure,
    StructureTable,
    TrainingTable,
)


@contextmanager
def blamed(group: str, name: str, member: str) -> Iterator[None]:
    """Name the plug-in in what it raises meanwhile, but for errors that tell the user already, or that may pass.

    A fault in agd's own stays as it is.
    """
    plugin = registry.find(group, name)
    try:
        yield
    except (AgdError, OSError, MemoryError):
        raise
    except Exception as error:
        if plugin is None or plugin.is_own:
            raise
        why = str(error) if isinstance(error, _MisshapenError) else _told(plugin, error)
        raise FaultyPluginError(f"the {plugin} failed in {member} ({why}): {plugin.cure()}") from error


def fit(
    group: str, name: str, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent
) -> FittedModel:
    """Fit a plug-in to a table.

    Raises:
        FaultyPluginError: one of another package failed, or gave no numbers.
    """
    plugin = registry.load(group, name)
    return _fitted(group, name, lambda: plugin.fit(table, options, seed=seed, progress=progress))


def fit_structures(
    name: str,
    table: StructureTable,
    options: Options,
    *,
    seed: int,
    checkpoint: Path | None,
    progress: Progress = silent,
) -> FittedModel:
    """Fit an oracle of structures to a table; raises as `fit`."""
    group = "agd.structure_oracles"
    plugin = registry.load(group, name)
    return _fitted(group, name, lambda: plugin.fit(table, options, seed=seed, checkpoint=checkpoint, progress=progress))


def _fitted(group: str, name: str, fit: Callable[[], FittedModel]) -> FittedModel:
    with blamed(group, name, "fit"):
        fitted = fit()
        _require_type(fitted, FittedModel)
        for metric, value in fitted.metrics.items():
            _require(np.isfinite(value), f"metric {metric!r} is {value}")
    return fitted


def guarded(group: str, name: str, made: Any) -> Any:
    """An instance of a plug-in; what one of another package gives has the shapes that its protocol says.

    It then raises FaultyPluginError where it fails, or gives something else.
    """
    plugin = registry.find(group, name)
    return made if plugin is None or plugin.is_own else _GUARDS[group](name, made)


class _MisshapenError(Exception):
    """Something is not as its protocol says."""


@dataclass(frozen=True, slots=True)
class _Sampler:
    name: str
    made: Sampler

    def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
        with blamed("agd.samplers", self.name, "suggest"):
            proposals = self.made.suggest(history, n, seed=seed)
            _require_type(proposals, Proposals)
            points = np.atleast_1d(proposals.counts if proposals.latents is None else proposals.latents)  # type: ignore[arg-type]  # one of them is there
            n_rows = len(points)
            _require(n_rows, "it proposes nothing: raise ExhaustedError")
            if proposals.latents is not None:
                _require_array(proposals.latents, (n_rows, len(history.bounds)), "floating", "latents")
            else:
                _require_array(proposals.counts, (n_rows, N_ELEMENTS), "integer", "counts")
            for measure in ("posterior_mean", "posterior_sd", "acquisition"):
                _require_array(getattr(proposals, measure), (n_rows,), "floating", measure, may_be_nan=True)
            for number, one in proposals.expected.items():
                _require(number in range(1, len(history.sought) + 1), f"property {number!r} was not asked for")
                for part in ("values", "uncertainties"):
                    _require_array(getattr(one, part), (n_rows,), "floating", f"expected {part}")
        return proposals


@dataclass(frozen=True, slots=True)
class _Generator:
    name: str
    made: Generator

    @property
    def n_latent(self) -> int:
        return self.made.n_latent

    def encode(self, counts: Counts) -> Latents:
        with blamed("agd.generators", self.name, "encode"):
            latents = self.made.encode(counts)
            _require_array(latents, (len(counts), self.n_latent), "floating", "latents")
        return latents

    def decode(self, latents: Latents) -> Decoded:
        with blamed("agd.generators", self.name, "decode"):
            decoded = self.made.decode(latents)
            _require_type(decoded, Decoded)
            _require_array(decoded.counts, (len(latents), N_ELEMENTS), "integer", "counts")
            is_failed = np.zeros(len(latents), np.bool_)
            is_failed[list(decoded.failures)] = True
            is_wrong = is_failed == decoded.counts.any(axis=1)
            _require(not is_wrong.any(), f"row {is_wrong.argmax()} has no atoms and no reason, or both")
        return decoded


@dataclass(frozen=True, slots=True)
class _FormulaGenerator:
    name: str
    made: FormulaGenerator

    def sample(self, start: int, n: int, *, seed: int) -> Counts:
        with blamed("agd.formula_generators", self.name, "sample"):
            counts = self.made.sample(start, n, seed=seed)
            _require_array(counts, (n, N_ELEMENTS), "integer", "counts")
        return counts


@dataclass(frozen=True, slots=True)
class _StructureOracle:
    name: str
    made: StructureOracle

    def label(self, structures: Sequence[Structure]) -> Prediction:
        with blamed("agd.structure_oracles", self.name, "label"):
            prediction = self.made.label(structures)
            _require_type(prediction, Prediction)
            for part in ("values", "uncertainties"):
                _require_array(getattr(prediction, part), (len(structures),), "floating", part)
        return prediction


@dataclass(frozen=True, slots=True)
class _Oracle:
    name: str
    made: Oracle

    def label(self, counts: Counts) -> Prediction:
        with blamed("agd.oracles", self.name, "label"):
            return self._checked(counts, self.made.label(counts))

    def label_told(self, counts: Counts, answers: Floats) -> Prediction:
        with blamed("agd.oracles", self.name, "label_told"):
            assert isinstance(self.made, ToldOracle)  # noqa: S101  no other is given answers
            return self._checked(counts, self.made.label_told(counts, answers))

    @staticmethod
    def _checked(counts: Counts, prediction: Prediction) -> Prediction:
        _require_type(prediction, Prediction)
        for part in ("values", "uncertainties"):  # what is not finite is no answer for its row alone
            _require_array(getattr(prediction, part), (len(counts),), "floating", part, may_be_nan=True)
        return prediction


_GUARDS = {
    "agd.samplers": _Sampler,
    "agd.generators": _Generator,
    "agd.formula_generators": _FormulaGenerator,
    "agd.oracles": _Oracle,
    "agd.structure_oracles": _StructureOracle,
}


def _require(is_kept: Any, found: str) -> None:
    if not is_kept:
        raise _MisshapenError(found)


def _require_type(given: object, expected: type) -> None:
    _require(isinstance(given, expected), f"it gives {type(given).__name__}, not {expected.__name__}")


def _require_array(given: object, shape: tuple[int, ...], kind: str, what: str, *, may_be_nan: bool = False) -> None:
    array = np.asarray(given)
    _require(array.shape == shape, f"{what} are {list(array.shape)}, not {list(shape)}")
    _require(np.issubdtype(array.dtype, getattr(np, kind)), f"{what} are of type {array.dtype}, not {kind}")
    _require(may_be_nan or np.isfinite(array).all(), f"{what} are not finite")


def _told(plugin: registry.Plugin, error: BaseException) -> str:
    """Class and words of an error, and the last line of the plug-in's own package that it came from."""
    package, place, frame = plugin.entry.module.partition(".")[0], "", error.__traceback__
    while frame is not None:
        if str(frame.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == package:
            place = f", {frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"
        frame = frame.tb_next
    return registry.reason(error) + place
