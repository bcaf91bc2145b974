"""Generators: autoencoders behind the protocol. Only `fit` loads torch; a fitted model encodes and decodes in numpy."""

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.sparse import csr_array

from agd.chem.elements import AUTOENCODER_COLUMNS, AUTOENCODER_ELEMENTS, N_ELEMENTS
from agd.chem.onehot import is_encodable, pairs
from agd.plugins.autoencoders.measuring import measure
from agd.plugins.checks import EMPTY, VOCABULARY, check_latents, check_tensors, narrowed, split, vocabulary
from agd.progress import Progress, silent
from agd.protocols import Options
from agd.types import Counts, Decoded, FittedModel, Floats, Latents, Tensors, TrainingTable

_BLOCK = 128
"""Rows decoded at once, padded: one shape of matrix product, so that a row never depends on its neighbours."""

_FEW = 2


class SetAutoencoderOptions(Options):
    """Hyper-parameters of `SetAutoencoder`."""

    n_latent: int = Field(128, ge=2, le=1024, description="Length of a latent vector.")
    max_count: int = Field(20, ge=1, le=100, description="Largest number of atoms of one element.")
    hidden: int = Field(256, ge=8, le=8192, description="Width of the decoder's hidden layer.")
    factors: int = Field(16, ge=1, le=256, description="Length of the count vectors that all elements share.")
    epochs: int = Field(4, ge=1, le=1000, description="Most passes over the training rows.")
    patience: int = Field(3, ge=1, le=1000, description="Epochs without a better round trip before training stops.")
    batch: int = Field(128, ge=16, le=65536, description="Rows per step.")
    learning_rate: float = Field(4e-3, gt=0, le=1, description="First step size of AdamW; it falls linearly to zero.")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="Weight decay of AdamW.")
    augmentation: float = Field(0.5, ge=0, le=10, description="Synthetic rows per real row in each epoch.")
    noise: float = Field(0.6, ge=0, le=5, description="Noise on latent vectors in training, in standard deviations.")
    variational: bool = Field(
        default=False,
        description="Learn the noise of each row and dimension, starting from `noise`, against a KL term.",
    )
    kl_weight: float = Field(0.1, ge=0, le=100, description="Weight of the KL term where `variational` is set.")
    min_rows: int = Field(30_000, ge=1, description="Fewest real rows in an epoch; a smaller table is repeated.")
    certainty: float = Field(
        3.0,
        ge=0,
        description="Least |ln odds| of presence, over all elements, at which fewer than two elements are believed; "
        "below it the two most probable are taken. 0 believes the plain argmax.",
    )

    @model_validator(mode="after")
    def _learnt_noise_starts_above_zero(self) -> Self:
        if self.variational and self.noise == 0:
            raise ValueError("variational = true needs a noise above 0 to start from: leave noise out")
        return self


class SetAutoencoder:
    """Autoencoder of compositions as sets of (element, count) pairs: linear encoder, one softmax for each element."""

    options_type: ClassVar[type[Options]] = SetAutoencoderOptions
    architecture_version: ClassVar[int] = 1

    def __init__(self, tensors: Tensors, options: SetAutoencoderOptions) -> None:
        """Take tensors that `load` has checked."""
        self._options = options
        self._tensors: dict[str, Floats] = {
            name: tensor.astype(np.float64) for name, tensor in tensors.items() if name != VOCABULARY
        }

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        """Train on the rows that are not held out; stop by, and measure on, those that are.

        Raises:
            InputError: no row to train on, a row outside the vocabulary, or a training that diverged.
        """
        from agd.nets.set_autoencoder import Architecture, Recipe, fit_network
        from agd.nets.training import Schedule

        chosen = narrowed(options, SetAutoencoderOptions, "a set autoencoder")
        seen, held_out = split(table, chosen.max_count)
        architecture = Architecture(
            n_elements=seen.shape[1],
            max_count=chosen.max_count,
            n_latent=chosen.n_latent,
            n_hidden=chosen.hidden,
            n_factors=chosen.factors,
            first_noise=chosen.noise if chosen.variational else None,
        )
        recipe = Recipe(
            schedule=Schedule(chosen.epochs, chosen.learning_rate, chosen.weight_decay, chosen.patience),
            batch=chosen.batch,
            augmentation=chosen.augmentation,
            noise=chosen.noise,
            min_rows=chosen.min_rows,
            kl_weight=chosen.kl_weight,
        )
        network, trained = fit_network(seen, held_out, architecture, recipe, seed=seed, progress=progress)
        tensors: Tensors = {**network.tensors(), VOCABULARY: vocabulary()}
        metrics = {"epochs": float(trained.n_epochs), "best_epoch": float(trained.best_epoch)}
        if chosen.variational:
            metrics["kl_nats_per_row"] = network.mean_kl(held_out if len(held_out) else seen)
        return FittedModel(tensors, metrics | measure(cls(tensors, chosen), table, seed=seed))

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild a fitted model; raises ModelError where tensors, vocabulary and options disagree."""
        chosen = narrowed(options, SetAutoencoderOptions, "a set autoencoder")
        check_tensors(tensors, _shapes(chosen), "set", cls.architecture_version)
        return cls(tensors, chosen)

    @classmethod
    def is_representable(cls, counts: Counts, options: Options) -> NDArray[np.bool_]:
        """Which rows `[n]` have only elements of the vocabulary, at most `max_count` atoms of each, and any at all."""
        return is_encodable(counts, narrowed(options, SetAutoencoderOptions, "a set autoencoder").max_count)

    @property
    def n_latent(self) -> int:
        """Length of a latent vector."""
        return self._options.n_latent

    def encode(self, counts: Counts) -> Latents:
        """`[n, 103]` counts to `[n, n_latent]`; a row outside the vocabulary raises InputError naming it."""
        cells = pairs(counts, self._options.max_count)
        codes = self._tensors["codes"].reshape(-1, self.n_latent)
        columns = cells.elements * self._options.max_count + cells.counts - 1
        starts = np.searchsorted(cells.rows, np.arange(len(counts) + 1))
        bags = csr_array(  # type: ignore[no-untyped-call]  # scipy carries no types
            (np.ones(len(columns)), columns, starts), shape=(len(counts), len(codes))
        )
        latents: Floats = bags @ codes + self._tensors["origin"]
        return latents.astype(np.float32)

    def decode(self, latents: Latents) -> Decoded:
        """`[n, n_latent]` to compositions; the only failure is the empty composition.

        Raises:
            InputError: the latent vectors have another length or are not finite.
        """
        check_latents(latents, self.n_latent)
        counts = np.zeros((len(latents), N_ELEMENTS), np.int32)
        for start in range(0, len(latents), _BLOCK):
            rows = latents[start : start + _BLOCK]
            block = np.zeros((_BLOCK, self.n_latent))
            block[: len(rows)] = rows.astype(np.float32)
            decided = _most_probable(self._logits(block), self._options.certainty)
            counts[start : start + len(rows), AUTOENCODER_COLUMNS] = decided[: len(rows)]
        return Decoded(counts, dict.fromkeys(np.nonzero(~counts.any(axis=1))[0].tolist(), EMPTY))

    def _logits(self, latents: Floats) -> Floats:
        """`[n, n_latent]` to `[n, 87, max_count + 1]`."""
        t = self._tensors
        hidden = np.maximum(latents @ t["hidden_weight"].T + t["hidden_bias"], 0.0)
        factors = np.concatenate([latents, hidden], axis=1) @ t["factor_weight"].T + t["factor_bias"]
        logits: Floats = factors.reshape(len(latents), len(AUTOENCODER_ELEMENTS), -1) @ t["count_vectors"].T
        return logits + t["count_bias"]


def _most_probable(logits: Floats, certainty: float) -> NDArray[np.int64]:
    """`[n, n_elements, max_count + 1]` to counts `[n, n_elements]`.

    Each element takes its most probable count. Where that leaves fewer than two elements, and any element is decided
    by less than `certainty`, the two elements likeliest to be present are taken with their likeliest count above zero.
    """
    likeliest = logits[:, :, 1:].argmax(axis=2) + 1
    log_odds = logits[:, :, 1:].max(axis=2) - logits[:, :, 0]
    is_present = log_odds > 0
    is_doubtful = (is_present.sum(axis=1) < _FEW) & (np.abs(log_odds).min(axis=1) < certainty)
    first_two = np.argsort(-log_odds[is_doubtful], axis=1, kind="stable")[:, :_FEW]
    is_present[np.nonzero(is_doubtful)[0][:, None], first_two] = True
    counts: NDArray[np.int64] = np.where(is_present, likeliest, 0)
    return counts


def _shapes(options: SetAutoencoderOptions) -> dict[str, tuple[int, ...]]:
    """Shapes of the float32 tensors that a fitted model is made of."""
    o, n_elements = options, len(AUTOENCODER_ELEMENTS)
    return {
        "codes": (n_elements, o.max_count, o.n_latent),
        "origin": (o.n_latent,),
        "hidden_weight": (o.hidden, o.n_latent),
        "hidden_bias": (o.hidden,),
        "factor_weight": (n_elements * o.factors, o.n_latent + o.hidden),
        "factor_bias": (n_elements * o.factors,),
        "count_vectors": (o.max_count + 1, o.factors),
        "count_bias": (n_elements, o.max_count + 1),
    }
