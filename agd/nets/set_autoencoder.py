"""An autoencoder of compositions as sets of (element, count) pairs: a linear encoder, a softmax for each element."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from agd.nets.training import Schedule, Trained, train
from agd.progress import Progress, silent

_STOP = 0.2
"""Probability that a synthetic count ends at 1, at 2, ...: their mean is about 5."""

_MAX_SCORED = 4_000

_DECODER = ("hidden_weight", "hidden_bias", "factor_weight", "factor_bias", "count_vectors", "count_bias")


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of the network; `n_factors` is the length of the count vectors, which all elements share.

    With `first_noise` the encoder is variational, and that is the standard deviation it starts from.
    """

    n_elements: int
    max_count: int
    n_latent: int
    n_hidden: int
    n_factors: int
    first_noise: float | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train it.

    An epoch shows at least `min_rows` real rows, a small table several times over, and `augmentation` synthetic rows
    for each; `noise` is the standard deviation of the normal noise added to the standardised latent vectors of a
    network that is not variational, `kl_weight` the weight of the KL term, per row, of one that is.
    """

    schedule: Schedule
    batch: int
    augmentation: float
    noise: float
    min_rows: int
    kl_weight: float = 0.0


class SetNetwork(nn.Module):
    """Encoder and decoder of count tables `[batch, n_elements]`, 0 for an absent element.

    A latent vector is a sum over the elements present of one vector per (element, count), the product of an element's
    matrix and a count vector, each dimension standardised. The decoder's logits are products too, of the same count
    vectors for all elements, so that a pair never seen in training has a code and a logit. They depend on the latent
    vector linearly (the matched filter of a linear code) and through one hidden layer.
    """

    def __init__(self, architecture: Architecture, generator: torch.Generator) -> None:
        """Draw the initial weights from `generator`."""
        super().__init__()
        a = self.architecture = architecture

        def normal(*shape: int, sd: float) -> nn.Parameter:
            return nn.Parameter(sd * torch.randn(*shape, generator=generator))

        n_in, n_out = a.n_latent + a.n_hidden, a.n_elements * a.n_factors
        self.count_in = normal(a.max_count, a.n_factors, sd=a.n_factors**-0.5)
        self.element_in = normal(a.n_elements, a.n_factors, a.n_latent, sd=1.0)
        self.standardise = nn.BatchNorm1d(a.n_latent, affine=False, momentum=0.02)
        self.hidden_weight = normal(a.n_hidden, a.n_latent, sd=(3 * a.n_latent) ** -0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(a.n_hidden))
        self.factor_weight = normal(n_out, n_in, sd=(3 * n_in) ** -0.5)
        self.factor_bias = nn.Parameter(torch.zeros(n_out))
        self.count_vectors = normal(a.max_count + 1, a.n_factors, sd=a.n_factors**-0.5)
        self.count_bias = nn.Parameter(torch.zeros(a.n_elements, a.max_count + 1))
        if a.first_noise is not None:
            self.spread_weight = nn.Parameter(torch.zeros(a.n_latent, a.n_latent))
            self.spread_bias = nn.Parameter(torch.full((a.n_latent,), 2 * math.log(a.first_noise)))

    def encode(self, counts: torch.Tensor) -> torch.Tensor:
        """`[batch, n_elements]` to `[batch, n_latent]`."""
        rows, elements = counts.nonzero(as_tuple=True)
        pairs = elements * self.architecture.max_count + counts[rows, elements] - 1
        starts = torch.searchsorted(rows, torch.arange(len(counts)))
        sums = functional.embedding_bag(pairs, self._codes().flatten(0, 1), starts, mode="sum")
        latents: torch.Tensor = self.standardise(sums)
        return latents

    def log_variances(self, latents: torch.Tensor) -> torch.Tensor:
        """`[batch, n_latent]` means to log-variances of the same shape; of a variational network only."""
        return functional.linear(latents, self.spread_weight, self.spread_bias)

    @torch.no_grad()
    def mean_kl(self, counts: NDArray[np.int64]) -> float:
        """KL divergence from the prior, in nats per row of `[n, n_elements]`; of a variational network only."""
        means = self.encode(torch.from_numpy(counts))
        return kl_from_standard_normal(means, self.log_variances(means)).mean().item()

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """`[batch, n_latent]` to logits `[batch, n_elements, max_count + 1]`."""
        hidden = functional.relu(functional.linear(latents, self.hidden_weight, self.hidden_bias))
        factors = functional.linear(torch.cat([latents, hidden], dim=1), self.factor_weight, self.factor_bias)
        by_element = factors.reshape(len(latents), self.architecture.n_elements, self.architecture.n_factors)
        return functional.linear(by_element, self.count_vectors) + self.count_bias

    @torch.no_grad()
    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Export what encoding and decoding need, the standardisation folded into the codes.

        A latent vector is the sum of its `codes` `[n_elements, max_count, n_latent]`, plus `origin` `[n_latent]`; the
        decoder's parameters keep their names and shapes.
        """
        mean, variance = (self.standardise.get_buffer(f"running_{name}") for name in ("mean", "var"))
        scale = (variance + self.standardise.eps).rsqrt()
        exported = {"codes": self._codes() * scale, "origin": -mean * scale}
        exported |= {name: self.get_parameter(name) for name in _DECODER}
        return {name: tensor.numpy(force=True).copy() for name, tensor in exported.items()}

    def _codes(self) -> torch.Tensor:
        """One vector per pair, `[n_elements, max_count, n_latent]`."""
        return torch.einsum("cf,efl->ecl", self.count_in, self.element_in)


def kl_from_standard_normal(means: torch.Tensor, log_variances: torch.Tensor) -> torch.Tensor:
    """KL divergence of N(mean, variance) from N(0, 1) over all dimensions: `[batch, n_latent]` to nats `[batch]`."""
    return 0.5 * (means.square() + log_variances.exp() - 1 - log_variances).sum(dim=1)


def synthetic_rows(
    counts: NDArray[np.int64], n: int, max_count: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw `n` rows `[n, n_elements]` with the pairs that a corpus leaves out.

    The elements of a random row of `counts` `[m, n_elements]` are rolled along the vocabulary, all by the same random
    shift; their counts are drawn anew from a geometric distribution truncated at `max_count`.
    """
    n_elements = counts.shape[1]
    parents = counts[generator.integers(len(counts), size=n)]
    shifts = generator.integers(n_elements, size=(n, 1))
    rolled = np.take_along_axis(parents, (np.arange(n_elements) + shifts) % n_elements, axis=1)
    rows, elements = np.nonzero(rolled)
    rolled[rows, elements] = (generator.geometric(_STOP, size=len(rows)) - 1) % max_count + 1
    return rolled


def fit_network(
    counts: NDArray[np.int64],
    held_out: NDArray[np.int64],
    architecture: Architecture,
    recipe: Recipe,
    *,
    seed: int,
    progress: Progress = silent,
) -> tuple[SetNetwork, Trained]:
    """Train on `counts` `[n, n_elements]`; stop, and choose the weights, by the exact round trip of `held_out`.

    `held_out` is `[m, n_elements]`; where it has no rows the training rows stand in.
    """
    draws = np.random.default_rng(seed)
    noise = torch.Generator().manual_seed(seed)
    network = SetNetwork(architecture, noise)
    n_repeats = max(1, -(-recipe.min_rows // len(counts)))
    n_synthetic = round(recipe.augmentation * n_repeats * len(counts))
    scored = held_out if len(held_out) else counts
    probe = torch.from_numpy(draws.permutation(scored)[:_MAX_SCORED])

    def batches(_epoch: int) -> Sequence[torch.Tensor]:
        synthetic = synthetic_rows(counts, n_synthetic, architecture.max_count, draws)
        rows = draws.permutation(np.concatenate([np.tile(counts, (n_repeats, 1)), synthetic]))
        return torch.from_numpy(rows).tensor_split(max(1, len(rows) // recipe.batch))

    def loss(batch: torch.Tensor) -> torch.Tensor:
        latents = network.encode(batch)
        normal = torch.randn(latents.shape, generator=noise)
        if architecture.first_noise is None:
            return reconstruction(latents + recipe.noise * normal, batch)
        spreads = network.log_variances(latents)
        sampled = latents + (0.5 * spreads).exp() * normal
        return reconstruction(sampled, batch) + recipe.kl_weight * kl_from_standard_normal(latents, spreads).mean()

    def reconstruction(latents: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
        logits = network.decode(latents)
        return functional.cross_entropy(logits.flatten(0, 1), batch.flatten(), reduction="sum") / len(batch)

    def score() -> float:
        is_exact = (network.decode(network.encode(probe)).argmax(2) == probe).all(1)
        return is_exact.double().mean().item()

    trained = train(
        network,
        recipe.schedule,
        batches=batches,
        loss=loss,
        score=score,
        score_name="held-out" if len(held_out) else "training",
        progress=progress,
    )
    return network, trained
