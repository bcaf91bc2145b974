"""The published autoencoder (arXiv 2103.00608) and a quick one of the same code, behind the protocol.

A composition is a matrix of 87 elements by counts. Each cell of a decoded matrix is one where its probability exceeds
one half; two ones for one element make the latent vector undecodable, and nothing is repaired.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.chem.elements import AUTOENCODER_COLUMNS, AUTOENCODER_ELEMENTS, N_ELEMENTS
from agd.chem.onehot import is_encodable, one_hot
from agd.plugins.autoencoders.measuring import measure
from agd.plugins.checks import EMPTY, VOCABULARY, check_latents, check_tensors, narrowed, split, vocabulary
from agd.progress import Progress, silent
from agd.protocols import Options
from agd.types import Counts, Decoded, FittedModel, Floats, Latents, Tensors, TrainingTable

if TYPE_CHECKING:
    from agd.nets.paper_autoencoder import OneHotNetwork
    from agd.nets.training import Trained

_BLOCK = 128
"""Rows computed at once, padded: one shape of every product, so that a row never depends on its neighbours."""

_CONVOLUTION_BLOCK = 32

_ONE = 1
_TWO = 2


class _OneHotOptions(Options):
    n_latent: int = Field(128, ge=2, le=1024, description="Length of a latent vector.")
    max_count: int = Field(20, ge=1, le=100, description="Largest number of atoms of one element.")
    batch: int = Field(128, ge=1, le=65536, description="Rows per step.")


class PaperAutoencoderOptions(_OneHotOptions):
    """Hyper-parameters of `PaperAutoencoder`; the defaults are the published ones."""

    max_count: int = Field(
        20,
        ge=5,
        le=100,
        description="Largest number of atoms of one element; at least 5, for each of two 3 x 3 convolutions takes two.",
    )
    filters_outer: int = Field(32, ge=1, le=1024, description="Filters of the convolutions next to the matrix.")
    filters_inner: int = Field(128, ge=1, le=1024, description="Filters of those next to the latent vector.")
    epochs: int = Field(300, ge=1, le=10_000, description="Passes over the training rows.")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="Step size of Adam, constant.")


class DensePaperAutoencoderOptions(_OneHotOptions):
    """Hyper-parameters of `DensePaperAutoencoder`."""

    hidden_outer: int = Field(712, ge=8, le=8192, description="Width of the layers next to the matrix.")
    hidden_inner: int = Field(512, ge=8, le=8192, description="Width of the layers next to the latent vector.")
    epochs: int = Field(7, ge=1, le=1000, description="Most passes over the training rows.")
    patience: int = Field(4, ge=1, le=1000, description="Epochs without a better round trip before training stops.")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="First step size of Adam; it falls linearly to zero.")
    min_rows: int = Field(30_000, ge=1, description="Fewest rows in an epoch; a smaller table is repeated.")


class _OneHotAutoencoder(ABC):
    """What both have in common: the code, the decision at one half, and the measures."""

    architecture_version: ClassVar[int] = 1
    _block: ClassVar[int]

    def __init__(self, options: _OneHotOptions) -> None:
        self._n_latent, self._max_count = options.n_latent, options.max_count

    @classmethod
    def is_representable(cls, counts: Counts, options: Options) -> NDArray[np.bool_]:
        """Which rows `[n]` have only elements of the vocabulary, at most `max_count` atoms of each, and any at all."""
        return is_encodable(counts, narrowed(options, _OneHotOptions, "a paper autoencoder").max_count)

    @property
    def n_latent(self) -> int:
        """Length of a latent vector."""
        return self._n_latent

    def encode(self, counts: Counts) -> Latents:
        """`[n, 103]` counts to `[n, n_latent]`; a row outside the vocabulary raises InputError naming it."""
        matrices = one_hot(counts, self._max_count)
        latents = np.empty((len(counts), self._n_latent), np.float32)
        for start in range(0, len(counts), self._block):
            latents[start : start + self._block] = self._encode(self._padded(matrices, start))[: len(counts) - start]
        return latents

    def decode(self, latents: Latents) -> Decoded:
        """`[n, n_latent]` to compositions; fails where an element has two counts, or none has any.

        Raises:
            InputError: the latent vectors have another length or are not finite.
        """
        check_latents(latents, self._n_latent)
        single = latents.astype(np.float32)
        counts = np.zeros((len(latents), N_ELEMENTS), np.int32)
        failures: dict[int, str] = {}
        for start in range(0, len(latents), self._block):
            is_one = self._decode(self._padded(single, start))[: len(latents) - start] > 0
            rows, reasons = decided(is_one)
            counts[start : start + len(rows)] = rows
            failures |= {start + row: reason for row, reason in reasons.items()}
        return Decoded(counts, failures)

    def _padded(self, rows: NDArray[np.generic], start: int) -> NDArray[np.generic]:
        block = np.zeros((self._block, *rows.shape[1:]), rows.dtype)
        part = rows[start : start + self._block]
        block[: len(part)] = part
        return block

    @abstractmethod
    def _encode(self, matrices: NDArray[np.generic]) -> NDArray[np.floating]:
        """One block `[block, 87, max_count]` to `[block, n_latent]`."""

    @abstractmethod
    def _decode(self, latents: NDArray[np.generic]) -> NDArray[np.floating]:
        """One block `[block, n_latent]` to logits `[block, 87, max_count]`."""


class PaperAutoencoder(_OneHotAutoencoder):
    """The published convolutional autoencoder: binary cross-entropy, Adam, 300 epochs, the least held-out loss kept.

    Training takes days on one CPU thread at full size, and says how long before it starts. It runs on a GPU where torch
    sees one; the model then depends on that device. A fitted model encodes and decodes with torch on the CPU.
    """

    options_type: ClassVar[type[Options]] = PaperAutoencoderOptions
    _block = _CONVOLUTION_BLOCK

    def __init__(self, tensors: Tensors, options: PaperAutoencoderOptions) -> None:
        """Take tensors that `load` has checked."""
        super().__init__(options)
        self._network = _convolutional(options)
        self._network.set_tensors(tensors)

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        """Train on the rows that are not held out; choose the epoch by, and measure on, those that are.

        Raises:
            InputError: no row to train on, a row outside the vocabulary, or a training that diverged.
        """
        from agd.nets.paper_autoencoder import Recipe, fit_published
        from agd.nets.training import Schedule

        chosen = narrowed(options, PaperAutoencoderOptions, "the paper autoencoder")
        seen, held_out = split(table, chosen.max_count)
        schedule = Schedule(
            chosen.epochs, chosen.learning_rate, weight_decay=0.0, patience=chosen.epochs, is_constant=True
        )
        network = _convolutional(chosen)
        trained = fit_published(network, seen, held_out, Recipe(schedule, chosen.batch), seed=seed, progress=progress)
        tensors = _tensors(network)
        least = {f"{'held_out' if len(held_out) else 'training'}_loss": -trained.best_score}
        return FittedModel(tensors, _epochs(trained) | least | measure(cls(tensors, chosen), table, seed=seed))

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild a fitted model; raises ModelError where tensors, vocabulary and options disagree."""
        chosen = narrowed(options, PaperAutoencoderOptions, "the paper autoencoder")
        check_tensors(tensors, _convolutional(chosen).shapes(), "paper", cls.architecture_version)
        return cls(tensors, chosen)

    def _encode(self, matrices: NDArray[np.generic]) -> NDArray[np.floating]:
        import torch

        with torch.no_grad():
            latents: NDArray[np.float32] = self._network.encode(torch.from_numpy(matrices).float()).numpy()
        return latents

    def _decode(self, latents: NDArray[np.generic]) -> NDArray[np.floating]:
        import torch

        with torch.no_grad():
            logits: NDArray[np.float32] = self._network.decode(torch.from_numpy(latents)).numpy()
        return logits


class DensePaperAutoencoder(_OneHotAutoencoder):
    """The published code and decision with dense layers, which learn in minutes; no torch once fitted."""

    options_type: ClassVar[type[Options]] = DensePaperAutoencoderOptions
    _block = _BLOCK

    def __init__(self, tensors: Tensors, options: DensePaperAutoencoderOptions) -> None:
        """Take tensors that `load` has checked."""
        super().__init__(options)
        self._tensors: dict[str, Floats] = {
            name: tensor.astype(np.float64) for name, tensor in tensors.items() if name != VOCABULARY
        }

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        """Train on the rows that are not held out; stop by, and measure on, those that are.

        Raises:
            InputError: no row to train on, a row outside the vocabulary, or a training that diverged.
        """
        from agd.nets.paper_autoencoder import Recipe, dense, fit_dense
        from agd.nets.training import Schedule

        chosen = narrowed(options, DensePaperAutoencoderOptions, "the paper-dense autoencoder")
        seen, held_out = split(table, chosen.max_count)
        schedule = Schedule(chosen.epochs, chosen.learning_rate, weight_decay=0.0, patience=chosen.patience)
        recipe = Recipe(schedule, chosen.batch, chosen.min_rows)
        network = dense(chosen.max_count, chosen.n_latent, chosen.hidden_outer, chosen.hidden_inner)
        trained = fit_dense(network, seen, held_out, recipe, seed=seed, progress=progress)
        tensors = _tensors(network)
        return FittedModel(tensors, _epochs(trained) | measure(cls(tensors, chosen), table, seed=seed))

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild a fitted model; raises ModelError where tensors, vocabulary and options disagree."""
        chosen = narrowed(options, DensePaperAutoencoderOptions, "the paper-dense autoencoder")
        check_tensors(tensors, _shapes(chosen), "paper-dense", cls.architecture_version)
        return cls(tensors, chosen)

    def _encode(self, matrices: NDArray[np.generic]) -> NDArray[np.floating]:
        t = self._tensors
        sums = matrices.reshape(len(matrices), -1).astype(np.float64) @ t["encoder.dense_1.weight"]
        outer = np.maximum(sums + t["encoder.dense_1.bias"], 0.0)
        inner = np.maximum(self._linear("encoder.dense_2", outer), 0.0)
        return self._linear("encoder.latent", inner)

    def _decode(self, latents: NDArray[np.generic]) -> NDArray[np.floating]:
        inner = np.maximum(self._linear("decoder.dense_1", latents.astype(np.float64)), 0.0)
        outer = np.maximum(self._linear("decoder.dense_2", inner), 0.0)
        return self._linear("decoder.dense_3", outer).reshape(len(latents), len(AUTOENCODER_ELEMENTS), -1)

    def _linear(self, layer: str, rows: Floats) -> Floats:
        return rows @ self._tensors[f"{layer}.weight"].T + self._tensors[f"{layer}.bias"]


def decided(is_one: NDArray[np.bool_]) -> tuple[Counts, dict[int, str]]:
    """Read decoded matrices `[n, 87, max_count]` by the published rule: counts `[n, 103]` and reasons of failure.

    An element with a one has the count of its column, one without is absent. A row in which an element has two ones or
    more, or none has any, fails, and its counts are all zero.
    """
    n_ones = np.count_nonzero(is_one, axis=2)
    is_ambiguous = (n_ones > _ONE).any(axis=1)
    inside = np.where(n_ones == _ONE, is_one.argmax(axis=2) + 1, 0)
    inside[is_ambiguous] = 0
    counts = np.zeros((len(is_one), N_ELEMENTS), np.int32)
    counts[:, AUTOENCODER_COLUMNS] = inside
    failures = dict.fromkeys(np.nonzero(~counts.any(axis=1))[0].tolist(), EMPTY)
    for row in np.nonzero(is_ambiguous)[0].tolist():
        element = int(np.argmax(n_ones[row] > _ONE))
        number = "two" if n_ones[row, element] == _TWO else str(n_ones[row, element])
        failures[row] = f"{number} counts for {AUTOENCODER_ELEMENTS[element]}"
    return counts, failures


def _convolutional(options: PaperAutoencoderOptions) -> "OneHotNetwork":
    from agd.nets.paper_autoencoder import convolutional

    return convolutional(options.max_count, options.n_latent, options.filters_outer, options.filters_inner)


def _shapes(options: DensePaperAutoencoderOptions) -> Mapping[str, tuple[int, ...]]:
    """Shapes of the float32 tensors that a fitted dense model is made of; the first weight stands the other way."""
    o, n_cells = options, len(AUTOENCODER_ELEMENTS) * options.max_count
    layers = {
        "encoder.dense_2": (o.hidden_inner, o.hidden_outer),
        "encoder.latent": (o.n_latent, o.hidden_inner),
        "decoder.dense_1": (o.hidden_inner, o.n_latent),
        "decoder.dense_2": (o.hidden_outer, o.hidden_inner),
        "decoder.dense_3": (n_cells, o.hidden_outer),
    }
    weights = {f"{name}.weight": shape for name, shape in layers.items()}
    biases = {f"{name}.bias": shape[:1] for name, shape in layers.items()}
    return {
        "encoder.dense_1.weight": (n_cells, o.hidden_outer),
        "encoder.dense_1.bias": (o.hidden_outer,),
        **weights,
        **biases,
    }


def _tensors(network: "OneHotNetwork") -> Tensors:
    return {**network.tensors(), VOCABULARY: vocabulary()}


def _epochs(trained: "Trained") -> dict[str, float]:
    return {"epochs": float(trained.n_epochs), "best_epoch": float(trained.best_epoch)}
