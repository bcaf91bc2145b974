"""GATGNN: a graph attention network on crystals, for a property per atom (doi:10.1039/D0CP01474E).

Each atom has its twelve nearest neighbours, so a batch is a dense table `[n_atoms, 12]`: no list of edges is sorted or
scattered. What a layer makes of a pair before its activation is a sum of one term of the atom and one of the bond:
products are of atoms, not of pairs. The published vectors of elements (92 numbers each) are learned here instead.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from agd.chem.elements import N_ELEMENTS
from agd.chem.neighbours import Neighbours
from agd.nets.training import Schedule, Trained, train
from agd.progress import Progress, silent
from agd.types import Floats

_SLOPE: Final = 0.2
_CUTOFF: Final = 8.0
_STEP: Final = 0.2
_SCORED_ATOMS: Final = 8192
_RIDGE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of the network: neurons of an atom, heads of attention (averaged), layers."""

    n_node: int = 64
    n_heads: int = 4
    n_layers: int = 3


@dataclass(frozen=True, slots=True, eq=False)
class Crystals:
    """Graphs of many crystals, one after the other.

    `numbers` is `[n_atoms]`, atomic numbers; `start` is `[n + 1]`, where each crystal's atoms begin; `neighbours` is
    `[n_atoms, k]`, numbers within the crystal; `distances` is `[n_atoms, k]` in Å.
    """

    numbers: NDArray[np.int16]
    start: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    distances: NDArray[np.float32]

    def __len__(self) -> int:
        """How many crystals there are."""
        return len(self.start) - 1

    @classmethod
    def of(cls, numbers: Sequence[NDArray[np.integer]], neighbours: Sequence[Neighbours]) -> "Crystals":
        """Put graphs one after the other; `numbers` are the atomic numbers `[n_i]` of each crystal's atoms."""
        sizes = [len(each) for each in numbers]
        return cls(
            np.concatenate(numbers).astype(np.int16),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            np.concatenate([each.atoms for each in neighbours]),
            np.concatenate([each.distances for each in neighbours]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Some crystals as tensors: atoms one after the other, each with the number of its crystal."""

    numbers: torch.Tensor
    neighbours: torch.Tensor
    distances: torch.Tensor
    sizes: torch.Tensor
    crystal: torch.Tensor
    fractions: torch.Tensor


def batch_of(crystals: Crystals, rows: NDArray[np.intp]) -> _Batch:
    """Collect the crystals of these `rows` `[m]`."""
    first, sizes = crystals.start[rows], np.diff(crystals.start)[rows]
    begins = np.cumsum(sizes) - sizes
    crystal = np.repeat(np.arange(len(rows)), sizes)
    atoms = np.arange(sizes.sum()) + np.repeat(first - begins, sizes)
    numbers = crystals.numbers[atoms].astype(np.int64) - 1
    fractions = np.zeros((len(rows), N_ELEMENTS), dtype=np.float32)
    np.add.at(fractions, (crystal, numbers), (1 / sizes)[crystal])
    return _Batch(
        torch.from_numpy(numbers),
        torch.from_numpy(crystals.neighbours[atoms].astype(np.int64) + begins[crystal][:, None]),
        torch.from_numpy(crystals.distances[atoms]),
        torch.from_numpy(sizes),
        torch.from_numpy(crystal),
        torch.from_numpy(fractions),
    )


class _Attention(nn.Module):
    """One layer: each atom takes the attention-weighted mean of what its neighbours and bonds tell."""

    def __init__(self, n: int, n_heads: int) -> None:
        super().__init__()
        self.n, self.n_heads = n, n_heads
        self.of_atom = nn.Linear(n, n_heads * n, bias=False)
        self.of_bond = nn.Linear(n, n_heads * n, bias=False)
        self.gate = nn.Parameter(torch.empty(2, n_heads, n))
        nn.init.xavier_uniform_(self.gate)
        self.bias = nn.Parameter(torch.zeros(n))
        self.norm_gates = nn.BatchNorm1d(n_heads)
        self.norm = nn.BatchNorm1d(n)

    def forward(self, atoms: torch.Tensor, bonds: torch.Tensor, neighbours: torch.Tensor) -> torch.Tensor:
        """`[n_atoms, n]` and `[n_atoms, k, n]` to `[n_atoms, n]`."""
        k = neighbours.shape[1]
        of_atoms, of_bonds = self.of_atom(atoms), self.of_bond(bonds).view(-1, self.n_heads * self.n)
        own = functional.softplus(of_atoms.repeat_interleave(k, 0) + of_bonds)
        theirs = functional.softplus(functional.embedding(neighbours.view(-1), of_atoms) + of_bonds)
        gates = functional.softplus(own @ self._by_head(self.gate[0]) + theirs @ self._by_head(self.gate[1]))
        gates = functional.softplus(self.norm_gates(gates)).view(-1, k, self.n_heads)
        attention = torch.softmax(gates, dim=1).view(-1, 1, k * self.n_heads) / self.n_heads
        told = torch.bmm(attention, theirs.view(-1, k * self.n_heads, self.n)).squeeze(1) + self.bias
        return functional.softplus(self.norm(told))

    def _by_head(self, gate: torch.Tensor) -> torch.Tensor:
        """`[n_heads, n]` as a matrix `[n_heads * n, n_heads]`, each head's part in its own column."""
        columns: torch.Tensor = torch.block_diag(*gate).T  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return columns


class Network(nn.Module):
    """The network: crystals to one standardised value each."""

    centres: torch.Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        n = architecture.n_node
        centres = torch.arange(0.0, _CUTOFF + _STEP / 2, _STEP)
        self.register_buffer("centres", centres, persistent=False)
        self.elements = nn.Embedding(N_ELEMENTS, n)
        self.bonds = nn.Linear(len(centres), n)
        self.layers = nn.ModuleList(_Attention(n, architecture.n_heads) for _ in range(architecture.n_layers))
        self.gate = nn.Sequential(nn.Linear(n + N_ELEMENTS, n // 2), nn.Softplus(), nn.Linear(n // 2, 1))
        self.out = nn.Sequential(nn.Linear(n, n), nn.Softplus(), nn.Linear(n, n), nn.Softplus(), nn.Linear(n, 1))

    def forward(self, batch: _Batch) -> torch.Tensor:
        """Values `[n]` of a batch of n crystals."""
        spread = torch.exp(-(((batch.distances[..., None] - self.centres) / _STEP) ** 2))
        bonds = functional.leaky_relu(self.bonds(spread), _SLOPE)
        atoms = self.elements(batch.numbers)
        for layer in self.layers:
            atoms = layer(atoms, bonds, batch.neighbours)
        gates = self.gate(torch.cat([atoms, batch.fractions[batch.crystal]], dim=1)).squeeze(1)
        largest = torch.segment_reduce(gates.detach(), "max", lengths=batch.sizes)
        weights = torch.exp(gates - largest[batch.crystal])
        totals = torch.segment_reduce(weights, "sum", lengths=batch.sizes)
        pooled = torch.segment_reduce(weights[:, None] * atoms, "sum", lengths=batch.sizes) / totals[:, None]
        values: torch.Tensor = self.out(pooled).squeeze(1)
        return values


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train."""

    schedule: Schedule
    batch: int = 128


def fit(
    network: Network,
    crystals: Crystals,
    values: Floats,
    *,
    training: NDArray[np.intp],
    validation: NDArray[np.intp],
    recipe: Recipe,
    seed: int,
    progress: Progress = silent,
    checkpoint: Path | None = None,
) -> Trained:
    """Train `network` in place on standardised `values` `[n]`; the score is minus the mean error of `validation`."""
    target = torch.from_numpy(np.asarray(values, dtype=np.float32))

    def batches(epoch: int) -> list[NDArray[np.intp]]:
        order = np.random.default_rng([seed, epoch]).permutation(training)
        return [order[start : start + recipe.batch] for start in range(0, len(order) - 1, recipe.batch)]

    def loss(rows: NDArray[np.intp]) -> torch.Tensor:
        return functional.smooth_l1_loss(network(batch_of(crystals, rows)), target[rows], beta=0.1)

    def score() -> float:
        return -float(np.abs(predict(network, crystals, validation) - values[validation]).mean())

    return train(
        network,
        recipe.schedule,
        batches=batches,
        loss=loss,
        score=score,
        score_name="validation MAE (standardised)",
        score_text=lambda reached: f"{-reached:.4f}",
        progress=progress,
        checkpoint=checkpoint,
    )


def predict(network: Network, crystals: Crystals, rows: NDArray[np.intp]) -> Floats:
    """Standardised values `[m]` of the crystals of `rows` `[m]`."""
    values = np.empty(len(rows))
    network.eval()
    with torch.no_grad():
        for part in _parts(crystals, rows):
            values[part] = network(batch_of(crystals, rows[part])).numpy()
    return values


def _parts(crystals: Crystals, rows: NDArray[np.intp]) -> Iterator[slice]:
    """Cut rows into stretches of so many atoms."""
    ends = np.cumsum(np.diff(crystals.start)[rows])
    start = 0
    while start < len(rows):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _SCORED_ATOMS, side="right")))
        yield slice(start, stop)
        start = stop


def element_shares(crystals: Crystals) -> Floats:
    """Share of each element among the atoms of each crystal, `[n, 103]`."""
    sizes = np.diff(crystals.start)
    shares = np.zeros((len(crystals), N_ELEMENTS))
    rows = np.repeat(np.arange(len(crystals)), sizes)
    np.add.at(shares, (rows, crystals.numbers.astype(np.int64) - 1), (1 / sizes)[rows])
    return shares


def element_values(shares: Floats, values: Floats) -> Floats:
    """What an atom of each element `[103]` adds to values `[n]` on average, by least squares; 0 where there is none.

    What the elements do not explain is what a network then learns.
    """
    return np.asarray(np.linalg.solve(shares.T @ shares + _RIDGE * np.eye(N_ELEMENTS), shares.T @ values))
