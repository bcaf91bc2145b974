"""Roost: message passing between the elements of a composition (doi:10.1038/s41467-020-19964-7).

The network is the published one, computed without a row per formula or a layer per head. What a hidden layer makes of
a pair (self, neighbour) before its activation is a sum of one term of each: products are of nodes, not of pairs. And
what follows the attention is linear, so it is applied to the attention-weighted sum. All heads are one product.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from agd.chem.elements import N_ELEMENTS
from agd.nets.stoichiometry_graph import Compositions, Graph, Ties
from agd.nets.training import Schedule, Trained, train
from agd.progress import Progress, silent
from agd.types import Counts, Floats

_SLOPE: Final = 0.01
_LEAST_SUM: Final = 1e-10
_BLOCK_NODES: Final = 256
"""Nodes labelled at once, padded: one shape for each number of elements, so that a row never depends on others."""
_SCORED_ROWS: Final = 512


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of the network; `widths` are the hidden layers after pooling.

    One that `is_robust` also tells the logarithm of its scatter, and learns by a Laplace likelihood.
    """

    n_vector: int
    n_node: int
    n_hidden: int
    n_heads: int
    n_layers: int
    widths: tuple[int, ...]
    is_robust: bool


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train, and whether the weights of the least error are kept or those of the last epoch."""

    schedule: Schedule
    batch: int
    keeps_best: bool = True


class _AttendedSums(torch.autograd.Function):
    """Hidden layers of gate and message, softmax, and the weighted sum of the hidden messages, with its gradient.

    Takes terms `[n_rows, n]`, n = 2 (gate, message) x heads x hidden, to sums `[n_groups, heads, hidden]` and the sum
    of the attention `[n_groups, heads]`.
    """

    @staticmethod
    def forward(
        ctx: Any, terms: torch.Tensor, gate: torch.Tensor, power: torch.Tensor, ties: Ties
    ) -> tuple[torch.Tensor, torch.Tensor]:
        n_heads, n_hidden = gate.shape
        n = len(ties.group)
        rows = terms.detach().view(-1, n_heads * n_hidden)
        hidden = functional.leaky_relu_(functional.embedding_bag(ties.terms, rows, mode="sum"), _SLOPE)
        gates = (hidden[:n].view(n, n_heads, n_hidden) * gate).sum(2)  # far quicker than a batched product
        largest = torch.segment_reduce(gates, "max", offsets=ties.entries.start, axis=0)
        weights = torch.exp(gates - largest[ties.group]) * torch.exp(power.detach() * ties.log_share[:, None])
        attention = weights / (ties.entries.sums(weights) + _LEAST_SUM)[ties.group]
        by_head = torch.empty(attention.numel(), dtype=attention.dtype, device=attention.device)
        by_head[ties.slots] = attention
        with torch.set_grad_enabled(ctx.needs_input_grad[0]):
            by_head.requires_grad_(ctx.needs_input_grad[0])
            sums = ties.by_head.sums(hidden[n:].view(-1, n_hidden), by_head)
        ctx.save_for_backward(hidden, attention, gate)
        ctx.ties, ctx.by_head, ctx.sums = ties, by_head, sums
        return sums.detach().view(-1, n_heads, n_hidden), ties.entries.sums(attention)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        of_sums, of_totals = gradients
        hidden, attention, gate = ctx.saved_tensors
        ties: Ties = ctx.ties
        n_heads, n_hidden = gate.shape
        n = len(ties.group)
        of_sums = of_sums.reshape(-1, n_hidden)
        (by_head,) = torch.autograd.grad(ctx.sums, ctx.by_head, of_sums, retain_graph=True)
        of_attention = by_head[ties.slots] + of_totals[ties.group]
        of_gates = attention * (of_attention - ties.entries.sums(attention * of_attention)[ties.group])
        of_hidden = torch.empty_like(hidden)
        torch.mul(of_gates[:, :, None], gate, out=of_hidden[:n].view(n, n_heads, n_hidden))
        heads = torch.arange(n_heads, device=gate.device)
        of_hidden[n:].view(-1, n_hidden).copy_(
            functional.embedding_bag(
                (n_heads * ties.group[:, None] + heads).view(-1, 1),
                of_sums,
                mode="sum",
                per_sample_weights=attention.view(-1, 1),
            )
        )
        torch.ops.aten.leaky_relu_backward.grad_input(
            of_hidden, hidden, negative_slope=_SLOPE, self_is_result=True, grad_input=of_hidden
        )
        of_gate = torch.einsum("eh,ehk->hk", of_gates, hidden[:n].view(n, n_heads, n_hidden))
        of_power = (of_gates * ties.log_share[:, None]).sum(0)
        return ties.back.sums(of_hidden).view(-1, 2 * n_heads * n_hidden), of_gate, of_power, None


class _Attention(nn.Module):
    """Several heads at once, averaged: groups of entries to the attention-weighted sums of their messages.

    `first_weight` makes a hidden layer of gates and one of messages for all heads, from each of `n_inputs` nodes.
    A gate needs no bias: the softmax would cancel it.
    """

    def __init__(self, n_inputs: int, sizes: Architecture) -> None:
        super().__init__()
        self.n_inputs, n_made = n_inputs, 2 * sizes.n_heads * sizes.n_hidden
        self.first_weight = nn.Parameter(torch.empty(n_inputs * n_made, sizes.n_node))
        self.first_bias = nn.Parameter(torch.empty(n_made))
        self.gate = nn.Parameter(torch.empty(sizes.n_heads, sizes.n_hidden))
        self.message_weight = nn.Parameter(torch.empty(sizes.n_heads, sizes.n_hidden, sizes.n_node))
        self.message_bias = nn.Parameter(torch.empty(sizes.n_heads, sizes.n_node))
        self.power = nn.Parameter(torch.empty(sizes.n_heads))

    def draw(self, generator: torch.Generator) -> None:
        """Set the weights as torch's linear layers do, and the powers of the shares by a standard normal."""
        n_node, n_hidden = self.first_weight.shape[1], self.gate.shape[1]
        for parameter in (self.first_weight, self.first_bias):
            _draw_uniform(parameter, self.n_inputs * n_node, generator)
        for parameter in (self.gate, self.message_weight, self.message_bias):
            _draw_uniform(parameter, n_hidden, generator)
        nn.init.normal_(self.power, generator=generator)

    def forward(self, nodes: torch.Tensor, ties: Ties) -> torch.Tensor:
        """`[n_nodes, n_node]` to `[n_groups, n_node]`."""
        n = len(self.first_bias)
        bias = functional.pad(self.first_bias, (0, (self.n_inputs - 1) * n))
        terms = functional.linear(nodes, self.first_weight, bias).view(-1, n)
        sums, totals = _AttendedSums.apply(terms, self.gate, self.power, ties)  # type: ignore[no-untyped-call]
        messages: torch.Tensor = sums.flatten(1) @ self.message_weight.flatten(0, 1) + totals @ self.message_bias
        return messages / len(self.gate)


class _ResidualLayer(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.straight = nn.Linear(n_in, n_out)
        self.residual = nn.Identity() if n_in == n_out else nn.Linear(n_in, n_out, bias=False)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = functional.relu(self.straight(rows)) + self.residual(rows)
        return made


class Network(nn.Module):
    """The network; made of layers on torch's `meta` device until `draw` or `set_tensors` gives it weights."""

    element_vectors: torch.Tensor
    scale: torch.Tensor

    def __init__(self, sizes: Architecture) -> None:
        """Lay it out."""
        super().__init__()
        self.sizes = sizes
        with torch.device("meta"):
            self.register_buffer("element_vectors", torch.empty(N_ELEMENTS, sizes.n_vector))
            self.register_buffer("scale", torch.empty(2))
            self.element = nn.Linear(sizes.n_vector, sizes.n_node - 1)
            self.messages = nn.ModuleList(_Attention(2, sizes) for _ in range(sizes.n_layers))
            self.pooling = _Attention(1, sizes)
            widths = (sizes.n_node, *sizes.widths)
            self.layers = nn.Sequential(*itertools.starmap(_ResidualLayer, itertools.pairwise(widths)))
            self.last = nn.Linear(widths[-1], 2 if sizes.is_robust else 1)

    def draw(self, element_vectors: NDArray[np.float32], mean: float, sd: float, seed: int) -> None:
        """Set every weight as torch and the published code do; values have this mean and standard deviation."""
        self.to_empty(device="cpu")
        generator = torch.Generator().manual_seed(seed)
        self.element_vectors.copy_(torch.from_numpy(element_vectors.copy()))
        self.scale.copy_(torch.tensor([mean, sd]))
        for module in self.modules():
            if isinstance(module, _Attention):
                module.draw(generator)
            elif isinstance(module, nn.Linear):
                for parameter in module.parameters():
                    _draw_uniform(parameter, module.in_features, generator)

    def forward(self, graph: Graph) -> torch.Tensor:
        """The standardised value `[n, 1]`, and, where it is robust, the logarithm of its scatter `[n, 2]`."""
        elements = self.element(self.element_vectors)
        nodes = torch.cat([elements[graph.column], torch.exp(graph.log_share)[:, None]], 1)
        if len(graph.pairs.group):
            for layer in self.messages:
                nodes = layer(nodes, graph.pairs) + nodes
        pooled = self.pooling(nodes, graph.pooled)
        made: torch.Tensor = self.last(self.layers(pooled))
        return made

    def answers(self, graph: Graph, n: int) -> tuple[Floats, Floats]:
        """Values and scatters of the first `n` compositions, both `[n]`, in the unit of the values."""
        with torch.no_grad():
            made = self(graph)[:n].double().numpy(force=True)
        mean, sd = self.scale.double().numpy(force=True)
        return mean + sd * made[:, 0], sd * np.exp(made[:, 1]) if self.sizes.is_robust else np.zeros(n)

    @property
    def n_parameters(self) -> int:
        """How many numbers are learnt."""
        return sum(parameter.numel() for parameter in self.parameters())

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """Its parameters and constants by name."""
        return {name: tensor.numpy(force=True).copy() for name, tensor in self.state_dict().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the float32 arrays that `tensors` gives."""
        return {name: tuple(tensor.shape) for name, tensor in self.state_dict().items()}

    def set_tensors(self, tensors: Mapping[str, NDArray[np.generic]]) -> None:
        """Take what `tensors` gave; leaves the network in evaluation mode."""
        self.load_state_dict({name: torch.from_numpy(tensors[name].copy()) for name in self.shapes()}, assign=True)
        self.eval()


def _draw_uniform(parameter: nn.Parameter, n_inputs: int, generator: torch.Generator) -> None:
    bound = 1 / math.sqrt(n_inputs)
    nn.init.uniform_(parameter, -bound, bound, generator=generator)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What a network is fitted to: compositions `[n, 103]` and values `[n]`.

    The rows of `is_validation` `[n]` only choose the weights; where there are none, the others choose.
    """

    counts: Counts
    values: Floats
    is_validation: NDArray[np.bool_]


def fit(
    rows: Rows,
    element_vectors: NDArray[np.float32],
    sizes: Architecture,
    recipe: Recipe,
    *,
    seed: int,
    device: str,
    progress: Progress = silent,
) -> tuple[Network, Network, Trained]:
    """Train a network, which stays on `device`; its score is the mean absolute error, negative.

    The second network has the weights that were not kept: of the last epoch, or of the best one.
    """
    fitted_to = np.flatnonzero(~rows.is_validation)
    judged = np.flatnonzero(rows.is_validation) if rows.is_validation.any() else fitted_to
    values = rows.values[fitted_to]
    mean, sd = float(values.mean()), float(values.std()) or 1.0
    network = Network(sizes)
    network.draw(element_vectors, mean, sd, seed)
    network.to(device)
    compositions = Compositions(rows.counts, sizes.n_heads, device)
    targets = torch.from_numpy((rows.values - mean) / sd).float().to(device)
    draws = np.random.default_rng(seed)
    probe = torch.from_numpy(judged).to(device)
    told: list[float] = []
    other = Network(sizes)

    def batches(_epoch: int) -> Sequence[torch.Tensor]:
        return _split(torch.from_numpy(draws.permutation(fitted_to)).to(device), recipe.batch)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        return _loss(network(compositions.graph(batch)), targets[batch])

    def score() -> float:
        errors = [
            (network(compositions.graph(part))[:, 0] - targets[part]).abs().double().sum().item()
            for part in _split(probe, _SCORED_ROWS)
        ]
        told.append(sd * math.fsum(errors) / len(judged))
        if recipe.keeps_best or told[-1] <= min(told):
            other.set_tensors(network.tensors())
        return -told[-1] if recipe.keeps_best else 0.0  # of equal scores the later one counts

    trained = train(
        network,
        recipe.schedule,
        batches=batches,
        loss=loss,
        score=score,
        score_name="MAE" if rows.is_validation.any() else "training MAE",
        score_text=lambda _score: f"{told[-1]:.3g}",
        progress=progress,
    )
    return network, other.to(device), replace(trained, best_score=-told[trained.best_epoch - 1])


def predict(networks: Sequence[Network], counts: Counts, device: str) -> tuple[Floats, Floats]:
    """What each network says of `counts` `[n, 103]`: values and scatters, both `[n_networks, n]`, zero if not robust.

    Each row is computed as if it were alone, bit for bit.
    """
    sizes = np.count_nonzero(counts, axis=1)
    values, scatters = (np.zeros((len(networks), len(counts))) for _ in range(2))
    for size in np.unique(sizes):
        of_size = np.flatnonzero(sizes == size)
        n_block = max(1, _BLOCK_NODES // int(size))
        for start in range(0, len(of_size), n_block):
            rows = of_size[start : start + n_block]
            graph = Compositions(counts[np.resize(rows, n_block)], networks[0].sizes.n_heads, device).whole()
            for i, network in enumerate(networks):
                values[i, rows], scatters[i, rows] = network.answers(graph, len(rows))
    return values, scatters


def _split(rows: torch.Tensor, size: int) -> list[torch.Tensor]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _loss(made: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean absolute error, or the negative logarithm of a Laplace likelihood, without its constant."""
    errors = (made[:, 0] - targets).abs()
    if made.shape[1] == 1:
        return errors.mean()
    return (math.sqrt(2) * errors * torch.exp(-made[:, 1]) + made[:, 1]).mean()
