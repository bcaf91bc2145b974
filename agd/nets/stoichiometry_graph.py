"""Compositions as graphs: a node for each element, a pair for each two elements of one composition.

The entries that are summed, and what they are summed to, are worked out once for a batch, as rows of tensors: no
network loops over compositions, elements or heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch.nn import functional

from agd.types import Counts


@dataclass(frozen=True, slots=True, eq=False)
class Bags:
    """Rows to sum: bag b sums the rows `row[start[b] : start[b + 1]]`, in their order."""

    row: torch.Tensor
    start: torch.Tensor

    @classmethod
    def of(cls, sizes: torch.Tensor, rows: Sequence[torch.Tensor]) -> Self:
        """For each size and each of `rows` `[n]` a bag, side by side; `sizes` `[n_sizes]` add up to n."""
        place = places(sizes, len(rows))
        row = torch.empty(place.numel(), dtype=place.dtype, device=place.device)
        row[place] = torch.stack(list(rows), 1)
        return cls(row, functional.pad(sizes.repeat_interleave(len(rows)).cumsum(0), (1, 0)))

    def sums(self, rows: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Sum `[n_rows, k]` to `[n_bags, k]`; `weights` are of the rows in the bags."""
        return functional.embedding_bag(
            self.row, rows, self.start, mode="sum", per_sample_weights=weights, include_last_offset=True
        )


def places(sizes: torch.Tensor, n_parts: int) -> torch.Tensor:
    """Where entries, in groups of `sizes`, stand `[n, n_parts]` when each group comes once for each part."""
    first = (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    order = torch.arange(len(first), device=sizes.device)
    parts = torch.arange(n_parts, device=sizes.device)
    return (order + (n_parts - 1) * first)[:, None] + parts * sizes.repeat_interleave(sizes)[:, None]


@dataclass(frozen=True, slots=True, eq=False)
class Ties:
    """What attends to what: n entries in groups, entry e in `group[e]`; the logarithm of the share `[n]` it stands for.

    An entry's hidden layers, n of gates and then n of messages, are sums of a few terms: `terms` `[2 n, n_terms]` are
    their rows, and `back` tells for each row of the terms which hidden layers have it. `entries` are the groups,
    `by_head` the groups of the messages of each head, which stand there at `slots` `[n, n_heads]`.
    """

    group: torch.Tensor
    log_share: torch.Tensor
    terms: torch.Tensor
    back: Bags
    entries: Bags
    by_head: Bags
    slots: torch.Tensor

    @classmethod
    def of(
        cls,
        sizes: torch.Tensor,
        log_share: torch.Tensor,
        ends: Sequence[torch.Tensor],
        backs: Sequence[torch.Tensor],
        n_heads: int,
    ) -> Self:
        """Tie `sizes` `[n_groups]` entries to each group; a row of the terms has one of gates and one of messages.

        Of each entry `ends` `[n]` are the rows; the r-th rows of group g are in those `backs[r]` `[n]` that are of g.
        """
        n = len(log_share)
        order = torch.arange(n, device=sizes.device)
        ends_of_gates = 2 * torch.stack(list(ends), 1)
        heads = [n_heads * order + head for head in range(n_heads)]
        return cls(
            torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes),
            log_share,
            torch.cat([ends_of_gates, ends_of_gates + 1]),
            Bags.of(sizes if len(ends) > 1 else torch.ones_like(order), [b + half for b in backs for half in (0, n)]),
            Bags.of(sizes, [order]),
            Bags.of(sizes, heads),
            places(sizes, n_heads),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Compositions as nodes, one per element: its column `[n_nodes]` and the logarithm of its share `[n_nodes]`.

    `pairs` ties to each node the ordered pairs it is first in, and `pooled` to each composition its nodes.
    """

    column: torch.Tensor
    log_share: torch.Tensor
    pairs: Ties
    pooled: Ties


class Compositions:
    """Compositions `[n, 103]` on a device, ready to be taken as graphs."""

    def __init__(self, counts: Counts, n_heads: int, device: str) -> None:
        rows, columns = np.nonzero(counts)
        shares = counts[rows, columns] / counts.sum(axis=1)[rows]
        sizes = np.count_nonzero(counts, axis=1)
        self.n_heads = n_heads
        self.sizes = torch.from_numpy(sizes).to(device)
        self._first = torch.from_numpy(np.cumsum(sizes) - sizes).to(device)
        self._columns = torch.from_numpy(columns).to(device)
        self._log_shares = torch.from_numpy(np.log(shares).astype(np.float32)).to(device)

    def whole(self) -> Graph:
        """The graph of all rows."""
        return self.graph(torch.arange(len(self.sizes), device=self.sizes.device))

    def graph(self, rows: torch.Tensor) -> Graph:
        """The graph of some rows `[batch]`."""
        sizes = self.sizes[rows]
        owner = torch.repeat_interleave(torch.arange(len(sizes), device=rows.device), sizes)
        nodes = torch.arange(len(owner), device=rows.device)
        place = nodes - (sizes.cumsum(0) - sizes)[owner]
        where = self._first[rows][owner] + place
        log_share = self._log_shares[where]
        pooled = Ties.of(sizes, log_share, [nodes], [nodes], self.n_heads)

        n_others = sizes[owner] - 1
        start = n_others.cumsum(0) - n_others
        one = nodes.repeat_interleave(n_others)
        order = torch.arange(len(one), device=rows.device)
        nth = order - start[one]
        at = nth + (nth >= place[one]).long()
        two = one - place[one] + at
        reverse = start[two] + place[one] - (place[one] > at).long()
        pairs = Ties.of(n_others, log_share[two], [2 * one, 2 * two + 1], [order, reverse], self.n_heads)
        return Graph(self._columns[where], log_share, pairs, pooled)
