"""The published autoencoder of one-hot matrices (arXiv 2103.00608) and a dense one of the same code.

Matrices are `[batch, 87, max_count]`: a row per element of the vocabulary, a one in column count - 1, the row of an
absent element all zero. Networks give logits: a probability above one half is a logit above zero.
"""

import copy
import math
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from agd.chem.elements import AUTOENCODER_ELEMENTS
from agd.nets.training import Schedule, Trained, train
from agd.progress import Progress, silent

_N_ELEMENTS = len(AUTOENCODER_ELEMENTS)
_N_TIMED = 4
_MAX_SCORED = 4_000

_MINUTE_S = 60
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train: an epoch shows at least `min_rows` rows, a small table several times over."""

    schedule: Schedule
    batch: int
    min_rows: int = 1


class SumOfOnes(nn.Module):
    """A linear layer on zeros and ones: the sum of the rows of `weight` `[n_in, n_out]` where the input is one."""

    def __init__(self, n_in: int, n_out: int) -> None:
        """Leave the weights unset."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_out))

    def forward(self, ones: torch.Tensor) -> torch.Tensor:
        """`[batch, n_in]` of zeros and ones to `[batch, n_out]`."""
        rows, cells = ones.nonzero(as_tuple=True)
        starts = torch.searchsorted(rows, torch.arange(len(ones), device=ones.device))
        return functional.embedding_bag(cells, self.weight, starts, mode="sum") + self.bias


class OneHotNetwork(nn.Module):
    """An encoder and a decoder of matrices `[batch, 87, max_count]`.

    Made of layers on torch's `meta` device, it is a layout without weights until `draw` or `set_tensors` gives it some.
    """

    def __init__(self, max_count: int, encoder: Mapping[str, nn.Module], decoder: Mapping[str, nn.Module]) -> None:
        """Put named layers in a row."""
        super().__init__()
        self.max_count = max_count
        self.encoder = nn.Sequential(OrderedDict(encoder))
        self.decoder = nn.Sequential(OrderedDict(decoder))

    def encode(self, matrices: torch.Tensor) -> torch.Tensor:
        """`[batch, 87, max_count]` to `[batch, n_latent]`."""
        latents: torch.Tensor = self.encoder(matrices.unsqueeze(1))
        return latents

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """`[batch, n_latent]` to logits `[batch, 87, max_count]`."""
        logits: torch.Tensor = self.decoder(latents)
        return logits.squeeze(1)

    def draw(self, seed: int) -> None:
        """Set every weight by Glorot's uniform rule and every bias to zero, as Keras does."""
        self.to_empty(device="cpu")
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter, generator=generator)
            else:
                nn.init.zeros_(parameter)

    def draw_to_scale(self, seed: int, n_ones: float) -> None:
        """Set the weights of dense layers by He's rule, for matrices of `n_ones` ones each, and few ones in the logits.

        Glorot's rule takes all cells for filled: latent vectors would start near zero, and learning would be slow.
        """
        self.to_empty(device="cpu")
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, SumOfOnes):
                nn.init.normal_(module.weight, std=math.sqrt(2 / n_ones), generator=generator)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu", generator=generator)
                nn.init.zeros_(module.bias)
        logits = [module for module in self.decoder if isinstance(module, nn.Linear)][-1]
        nn.init.constant_(logits.bias, math.log(n_ones / logits.out_features))

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Export the parameters by name."""
        return {name: tensor.numpy(force=True).copy() for name, tensor in self.state_dict().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters by name."""
        return {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}

    def set_tensors(self, tensors: Mapping[str, NDArray[np.generic]]) -> None:
        """Take the parameters that `tensors` exported; leaves the network in evaluation mode."""
        self.load_state_dict({name: torch.from_numpy(tensors[name].copy()) for name in self.shapes()}, assign=True)
        self.eval()


def convolutional(max_count: int, n_latent: int = 128, n_outer: int = 32, n_inner: int = 128) -> OneHotNetwork:
    """Lay out the published network, with two unpadded 3 x 3 convolutions, so that `max_count` is at least 5.

    `n_outer` and `n_inner` are the filters next to the matrix and next to the latent vector.
    """
    n_rows, n_columns = 14, max_count - 4
    n_flat = n_inner * n_rows * n_columns
    with torch.device("meta"):
        encoder: dict[str, nn.Module] = {
            "convolution_1": nn.Conv2d(1, n_outer, 3, stride=(2, 1)),
            "relu_1": nn.ReLU(),
            "convolution_2": nn.Conv2d(n_outer, n_inner, 3, stride=(3, 1)),
            "relu_2": nn.ReLU(),
            "flat": nn.Flatten(),
            "latent": nn.Linear(n_flat, n_latent),
        }
        decoder: dict[str, nn.Module] = {
            "dense": nn.Linear(n_latent, n_flat),
            "unflat": nn.Unflatten(1, (n_inner, n_rows, n_columns)),
            "transposed_1": nn.ConvTranspose2d(n_inner, n_inner, 3, stride=(3, 1), output_padding=(1, 0)),
            "relu_1": nn.ReLU(),
            "transposed_2": nn.ConvTranspose2d(n_inner, n_outer, 3, stride=(2, 1)),
            "relu_2": nn.ReLU(),
            "transposed_3": nn.ConvTranspose2d(n_outer, 1, 3, padding=1),
        }
    return OneHotNetwork(max_count, encoder, decoder)


def dense(max_count: int, n_latent: int = 128, n_outer: int = 712, n_inner: int = 512) -> OneHotNetwork:
    """Lay out 87 max_count - `n_outer` - `n_inner` - `n_latent`, linear, and its mirror image."""
    n_cells = _N_ELEMENTS * max_count
    with torch.device("meta"):
        encoder: dict[str, nn.Module] = {
            "flat": nn.Flatten(),
            "dense_1": SumOfOnes(n_cells, n_outer),
            "relu_1": nn.ReLU(),
            "dense_2": nn.Linear(n_outer, n_inner),
            "relu_2": nn.ReLU(),
            "latent": nn.Linear(n_inner, n_latent),
        }
        decoder: dict[str, nn.Module] = {
            "dense_1": nn.Linear(n_latent, n_inner),
            "relu_1": nn.ReLU(),
            "dense_2": nn.Linear(n_inner, n_outer),
            "relu_2": nn.ReLU(),
            "dense_3": nn.Linear(n_outer, n_cells),
            "unflat": nn.Unflatten(1, (_N_ELEMENTS, max_count)),
        }
    return OneHotNetwork(max_count, encoder, decoder)


def fit_published(
    network: OneHotNetwork,
    counts: NDArray[np.int64],
    held_out: NDArray[np.int64],
    recipe: Recipe,
    *,
    seed: int,
    progress: Progress = silent,
) -> Trained:
    """Train on `counts` `[n, 87]` by mean binary cross-entropy; keep the weights of the least loss on `held_out`.

    `held_out` is `[m, 87]`; where it has no rows some training rows stand in. The training runs on a GPU where torch
    sees one, and `network` is back on the CPU afterwards. Before it starts, a few steps are timed on a copy of the
    network, and every note to `progress` says how long the whole will take.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.draw(seed)
    network.to(device)
    draws = np.random.default_rng(seed)
    probe = torch.from_numpy(held_out if len(held_out) else draws.permutation(counts)[:_MAX_SCORED]).to(device)
    batches = _Batches(counts, recipe, draws, device)
    n_steps = recipe.schedule.epochs * batches.n_batches
    per_step_s = _step_s(network, batches.first())
    share_of_scoring = len(probe) / (3 * recipe.batch * batches.n_batches)
    estimate = f"{_spelt(n_steps * per_step_s * (1 + share_of_scoring))} on this {'GPU' if device == 'cuda' else 'CPU'}"
    progress(0, n_steps, estimate)

    def score() -> float:
        losses = [_cross_entropy(network, part, "sum").item() for part in _split(probe, recipe.batch)]
        return -sum(losses) / (len(probe) * _N_ELEMENTS * network.max_count)

    trained = train(
        network,
        recipe.schedule,
        batches=batches,
        loss=lambda batch: _cross_entropy(network, batch, "mean"),
        score=score,
        score_name="held-out loss" if len(held_out) else "training loss",
        score_text=lambda score: f"{-score:.3g}",
        progress=lambda done, total, note="": progress(done, total, f"{note}; {estimate}"),
    )
    network.to("cpu")
    return trained


def fit_dense(
    network: OneHotNetwork,
    counts: NDArray[np.int64],
    held_out: NDArray[np.int64],
    recipe: Recipe,
    *,
    seed: int,
    progress: Progress = silent,
) -> Trained:
    """Train on `counts` `[n, 87]` by binary cross-entropy; stop, and choose the weights, by the exact round trip.

    It is measured on `held_out` `[m, 87]`; where that has no rows the training rows stand in.
    """
    network.draw_to_scale(seed, np.count_nonzero(counts) / len(counts))
    draws = np.random.default_rng(seed)
    probe = torch.from_numpy(draws.permutation(held_out if len(held_out) else counts)[:_MAX_SCORED])

    def score() -> float:
        is_one = network.decode(network.encode(_matrices(probe, network.max_count))) > 0
        return (is_one == _matrices(probe, network.max_count).bool()).all(2).all(1).double().mean().item()

    return train(
        network,
        recipe.schedule,
        batches=_Batches(counts, recipe, draws, "cpu"),
        loss=lambda batch: _cross_entropy(network, batch, "sum") / len(batch),
        score=score,
        score_name="held-out" if len(held_out) else "training",
        progress=progress,
    )


class _Batches:
    """The rows of each epoch, shuffled anew: `n_batches` of `[batch, 87]`, the last one maybe smaller."""

    def __init__(self, counts: NDArray[np.int64], recipe: Recipe, draws: np.random.Generator, device: str) -> None:
        self._counts = torch.from_numpy(counts).to(device)
        self._n_repeats = max(1, -(-recipe.min_rows // len(counts)))
        self._batch, self._draws = recipe.batch, draws
        self.n_batches = -(-self._n_repeats * len(counts) // recipe.batch)

    def first(self) -> torch.Tensor:
        """A batch to time steps on; draws nothing."""
        return self._counts[: self._batch]

    def __call__(self, _epoch: int) -> Sequence[torch.Tensor]:
        order = self._draws.permutation(np.tile(np.arange(len(self._counts)), self._n_repeats))
        return _split(self._counts[torch.from_numpy(order).to(self._counts.device)], self._batch)


def _split(rows: torch.Tensor, size: int) -> list[torch.Tensor]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _matrices(counts: torch.Tensor, max_count: int) -> torch.Tensor:
    """Counts `[batch, 87]` to one-hot `[batch, 87, max_count]`."""
    return functional.one_hot(counts, max_count + 1)[:, :, 1:].float()


def _cross_entropy(network: OneHotNetwork, counts: torch.Tensor, reduction: str) -> torch.Tensor:
    matrices = _matrices(counts, network.max_count)
    logits = network.decode(network.encode(matrices))
    return functional.binary_cross_entropy_with_logits(logits, matrices, reduction=reduction)


def _step_s(network: OneHotNetwork, batch: torch.Tensor) -> float:
    """Seconds of one training step, the median of a few on a copy of the network."""
    copied = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(copied.parameters(), fused=True)
    seconds = []
    for _ in range(_N_TIMED):
        started = time.perf_counter()
        optimizer.zero_grad()
        loss = _cross_entropy(copied, batch, "mean")
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:])


def _spelt(seconds: float) -> str:
    if seconds < 1.5 * _MINUTE_S:
        return f"about {max(seconds, 1):.0f} s"
    if seconds < 1.5 * _HOUR_S:
        return f"about {seconds / _MINUTE_S:.0f} min"
    return f"about {seconds / _HOUR_S:.0f} h"
