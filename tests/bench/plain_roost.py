"""Roost written out: a layer per head, a row per pair of elements, sums by scatter. The measure of the fast one."""

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from agd.nets.roost import Architecture, Network


class PlainBatch:
    """Compositions, counts `[n, 103]`, with their nodes and ordered pairs found one by one."""

    def __init__(self, counts: NDArray[np.int32]) -> None:
        columns, shares, owners, ones, others = [], [], [], [], []
        for owner, row in enumerate(counts):
            present = np.flatnonzero(row)
            nodes = range(len(columns), len(columns) + len(present))
            columns += present.tolist()
            shares += (row[present] / row.sum()).tolist()
            owners += [owner] * len(present)
            for one, other in itertools.permutations(nodes, 2):
                ones.append(one)
                others.append(other)
        self.n = len(counts)
        self.columns, self.owners = torch.tensor(columns), torch.tensor(owners)
        self.shares = torch.tensor(shares, dtype=torch.float32)
        self.ones = torch.tensor(ones, dtype=torch.int64)
        self.others = torch.tensor(others, dtype=torch.int64)


def scattered_sum(values: torch.Tensor, group: torch.Tensor, n_groups: int) -> torch.Tensor:
    return torch.zeros(n_groups, values.shape[1]).index_add(0, group, values)


class PlainHead(nn.Module):
    def __init__(self, n_in: int, n_hidden: int, n_out: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(n_in, n_hidden), nn.LeakyReLU(0.01), nn.Linear(n_hidden, 1))
        self.message = nn.Sequential(nn.Linear(n_in, n_hidden), nn.LeakyReLU(0.01), nn.Linear(n_hidden, n_out))
        self.power = nn.Parameter(torch.randn(1))

    def forward(self, rows: torch.Tensor, shares: torch.Tensor, group: torch.Tensor, n: int) -> torch.Tensor:
        gates = self.gate(rows)
        largest = torch.full((n, 1), -torch.inf).scatter_reduce(0, group[:, None], gates.detach(), "amax")
        weights = shares[:, None] ** self.power * torch.exp(gates - largest[group])
        attention = weights / (scattered_sum(weights, group, n)[group] + 1e-10)
        return scattered_sum(attention * self.message(rows), group, n)


class PlainRoost(nn.Module):
    """The same network, of `Architecture`, with torch's own layers."""

    def __init__(self, sizes: Architecture, element_vectors: torch.Tensor) -> None:
        super().__init__()
        self.element_vectors = element_vectors
        self.element = nn.Linear(sizes.n_vector, sizes.n_node - 1)

        def heads(n_inputs: int) -> nn.ModuleList:
            return nn.ModuleList(
                PlainHead(n_inputs * sizes.n_node, sizes.n_hidden, sizes.n_node) for _ in range(sizes.n_heads)
            )

        self.messages = nn.ModuleList(heads(2) for _ in range(sizes.n_layers))
        self.pooling = heads(1)
        steps = list(itertools.pairwise((sizes.n_node, *sizes.widths)))
        self.straight = nn.ModuleList(nn.Linear(n, m) for n, m in steps)
        self.residual = nn.ModuleList(nn.Identity() if n == m else nn.Linear(n, m, bias=False) for n, m in steps)
        self.last = nn.Linear(sizes.widths[-1], 2 if sizes.is_robust else 1)

    def forward(self, batch: PlainBatch) -> torch.Tensor:
        nodes = torch.cat([self.element(self.element_vectors[batch.columns]), batch.shares[:, None]], 1)
        for heads in self.messages:
            pairs = torch.cat([nodes[batch.ones], nodes[batch.others]], 1)
            made = [head(pairs, batch.shares[batch.others], batch.ones, len(nodes)) for head in heads]
            nodes = torch.stack(made).mean(0) + nodes
        made = [head(nodes, batch.shares, batch.owners, batch.n) for head in self.pooling]
        rows = torch.stack(made).mean(0)
        for straight, residual in zip(self.straight, self.residual, strict=True):
            rows = torch.relu(straight(rows)) + residual(rows)
        told: torch.Tensor = self.last(rows)
        return told

    @classmethod
    def like(cls, network: Network) -> "PlainRoost":
        """The same weights, written out."""
        sizes = network.sizes
        plain = cls(sizes, network.element_vectors)
        with torch.no_grad():
            for theirs, ours in (
                (plain.element, network.element),
                (plain.last, network.last),
                *zip(plain.straight, (layer.straight for layer in network.layers), strict=True),
                *zip(plain.residual, (layer.residual for layer in network.layers), strict=True),
            ):
                theirs.load_state_dict(ours.state_dict())
            for heads, attention in zip(
                (*plain.messages, plain.pooling), (*network.messages, network.pooling), strict=True
            ):
                fill(heads, attention)
        return plain


def fill(heads: nn.ModuleList, attention: Any) -> None:
    n_heads, n_hidden = attention.gate.shape
    first = attention.first_weight.view(-1, 2, n_heads, n_hidden, attention.first_weight.shape[1])
    bias = attention.first_bias.view(2, n_heads, n_hidden)
    for i, head in enumerate(heads):
        for which, layers in enumerate((head.gate, head.message)):
            layers[0].weight.copy_(torch.cat([*first[:, which, i]], 1))
            layers[0].bias.copy_(bias[which, i])
        head.gate[2].weight.copy_(attention.gate[i : i + 1])
        head.message[2].weight.copy_(attention.message_weight[i].T)
        head.message[2].bias.copy_(attention.message_bias[i])
        head.power.copy_(attention.power[i : i + 1])
