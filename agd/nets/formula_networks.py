"""Networks that make formulas, and their critics: the published ones (10.1038/s41524-020-00352-0) and our own.

A formula is a matrix `[n_elements, max_count]` with a one in column count - 1 of each element that is present. The
published generator gives the whole matrix at once; `Writer` fills it row by row, and what it draws is always a formula.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

N_NOISE: Final = 128
"""Length of the published generator's noise."""

PUBLISHED_SHAPE: Final = (85, 8)
"""Elements and counts of the published networks, which know no other."""

_FIRST: Final = (128, 6, 4)
_SLOPE: Final = 0.2
_LEAST_ELEMENTS: Final = 2
_FEW_ONES: Final = 3
_FORBIDDEN: Final = -1e9


@dataclass(frozen=True, slots=True)
class WriterShape:
    """Sizes of a `Writer`: a formula has 2 to `max_elements` of `n_elements`, 1 to `max_count` atoms of each."""

    n_elements: int
    max_count: int
    max_elements: int
    n_state: int
    n_hidden: int

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters by name."""
        n_choices = self.n_elements + 1
        return {
            "pair_vectors": (self.n_elements * self.max_count, self.n_state),
            "slot_vectors": (self.max_elements, self.n_state),
            "element_hidden": (self.n_hidden, self.n_state),
            "element_bias": (self.n_hidden,),
            "choice_vectors": (n_choices, self.n_hidden),
            "choice_direct": (n_choices, self.n_state),
            "choice_bias": (n_choices,),
            "count_hidden": (self.n_hidden, self.n_state),
            "element_vectors": (self.n_elements, self.n_hidden),
            "count_vectors": (self.max_count, self.n_hidden),
            "count_bias": (self.n_elements, self.max_count),
        }


class Writer(nn.Module):
    """Writes a formula slot by slot: which element comes next, in ascending order, or the end; then its count.

    What was written so far is a sum of one vector for each (element, count), from which the next choice is drawn.
    """

    pair_vectors: nn.Parameter
    slot_vectors: nn.Parameter
    element_hidden: nn.Parameter
    element_bias: nn.Parameter
    choice_vectors: nn.Parameter
    choice_direct: nn.Parameter
    choice_bias: nn.Parameter
    count_hidden: nn.Parameter
    element_vectors: nn.Parameter
    count_vectors: nn.Parameter
    count_bias: nn.Parameter

    def __init__(self, shape: WriterShape, draws: torch.Generator) -> None:
        """Draw the weights."""
        super().__init__()
        self.shape = shape
        scales = {"pair_vectors": 0.3, "slot_vectors": 0.1, "element_vectors": 0.3}
        for name, size in shape.tensors().items():
            scale = 0.0 if name.endswith("bias") else scales.get(name, 1 / math.sqrt(size[-1]))
            self.register_parameter(name, nn.Parameter(torch.randn(size, generator=draws) * scale))

    def log_likelihood(
        self, counts: torch.Tensor, *, dropout: float = 0.0, draws: torch.Generator | None = None
    ) -> torch.Tensor:
        """Log-probability `[n]` of writing each row of `counts` `[n, n_elements]`."""
        n, s = len(counts), self.shape
        rows, elements = counts.nonzero(as_tuple=True)
        n_written = (counts > 0).sum(1)
        starts = n_written.cumsum(0) - n_written
        slots = torch.arange(len(rows)) - starts[rows]
        columns = counts[rows, elements] - 1
        written = counts.new_full((n, s.max_elements + 1), s.n_elements)
        written[rows, slots] = elements
        vectors = self.pair_vectors.new_zeros(n, s.max_elements, s.n_state)
        vectors = vectors.index_put(
            (rows, slots), functional.embedding(elements * s.max_count + columns, self.pair_vectors)
        )
        sums = functional.pad(vectors.cumsum(1), (0, 0, 1, 0))
        asked, at = (torch.arange(s.max_elements) <= n_written[:, None]).nonzero(as_tuple=True)
        targets = written[asked, at]
        last = torch.where(at > 0, written[asked, (at - 1).clamp(min=0)], -1)
        states = self._dropped(self._state(sums[asked, at], self.slot_vectors[at]), dropout, draws)
        of_elements = functional.log_softmax(self._choices(states, last, at), 1).gather(1, targets[:, None])[:, 0]
        is_element = targets < s.n_elements
        of_counts = functional.log_softmax(self._counts(states[is_element], elements), 1).gather(1, columns[:, None])[
            :, 0
        ]
        return states.new_zeros(n).index_add(0, asked, of_elements).index_add(0, rows, of_counts)

    @torch.no_grad()
    def draw(self, n: int, draws: torch.Generator) -> torch.Tensor:
        """Counts `[n, n_elements]` of `n` formulas."""
        s = self.shape
        counts = torch.zeros(n, s.n_elements, dtype=torch.int64)
        sums = torch.zeros(n, s.n_state)
        last = torch.full((n,), -1)
        open_rows = torch.arange(n)
        for slot in range(s.max_elements):
            states = self._state(sums[open_rows], self.slot_vectors[slot])
            logits = self._choices(states, last[open_rows], torch.full_like(open_rows, slot))
            chosen = torch.multinomial(logits.softmax(1), 1, generator=draws)[:, 0]
            goes_on = chosen < s.n_elements
            open_rows, states, chosen = open_rows[goes_on], states[goes_on], chosen[goes_on]
            if not len(open_rows):
                break
            columns = torch.multinomial(self._counts(states, chosen).softmax(1), 1, generator=draws)[:, 0]
            counts[open_rows, chosen] = columns + 1
            sums[open_rows] += self.pair_vectors[chosen * s.max_count + columns]
            last[open_rows] = chosen
        return counts

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Export the parameters by name."""
        return {name: tensor.numpy(force=True).copy() for name, tensor in self.state_dict().items()}

    @staticmethod
    def _state(sums: torch.Tensor, slot_vectors: torch.Tensor) -> torch.Tensor:
        return torch.relu(sums + slot_vectors)

    @staticmethod
    def _dropped(states: torch.Tensor, share: float, draws: torch.Generator | None) -> torch.Tensor:
        if not share:
            return states
        return states * (torch.rand(states.shape, generator=draws) >= share) / (1 - share)

    def _choices(self, states: torch.Tensor, last: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        """Logits `[m, n_elements + 1]` of what comes after element `last`; the end is the last column."""
        hidden = torch.relu(functional.linear(states, self.element_hidden, self.element_bias))
        logits = functional.linear(hidden, self.choice_vectors, self.choice_bias)
        logits = logits + functional.linear(states, self.choice_direct)
        columns = torch.arange(self.shape.n_elements + 1)
        is_forbidden = columns <= last[:, None]
        is_forbidden[:, -1] = slots < _LEAST_ELEMENTS
        is_forbidden[:, -2] |= slots == 0
        return logits.masked_fill(is_forbidden, _FORBIDDEN)

    def _counts(self, states: torch.Tensor, elements: torch.Tensor) -> torch.Tensor:
        """Logits `[m, max_count]` of the count of each of `elements` `[m]`."""
        own = functional.embedding(elements, self.element_vectors)
        hidden = torch.relu(functional.linear(states, self.count_hidden) + own)
        return functional.linear(hidden, self.count_vectors) + functional.embedding(elements, self.count_bias)


def matrices(counts: torch.Tensor, max_count: int) -> torch.Tensor:
    """Counts `[n, n_elements]` to one-hot matrices `[n, n_elements, max_count]`."""
    return functional.one_hot(counts, max_count + 1)[:, :, 1:].float()


def dense_critic(n_cells: int, n_hidden: int, draws: torch.Generator) -> nn.Module:
    """A critic of matrices of `n_cells` cells with two hidden layers; no normalisation across the batch."""
    widths = (n_cells, n_hidden, n_hidden, 1)
    layers: list[nn.Module] = [nn.Flatten()]
    for n_in, n_out in pairwise(widths):
        linear = nn.Linear(n_in, n_out, device="meta").to_empty(device="cpu")
        nn.init.normal_(linear.weight, std=1 / math.sqrt(_FEW_ONES if n_in == n_cells else n_in), generator=draws)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.LeakyReLU(_SLOPE)]
    return nn.Sequential(*layers[:-1])


class SameTransposed(nn.Module):
    """A transposed convolution with TensorFlow's SAME padding, to a given size: more is cut off behind than before."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: tuple[int, int], size: tuple[int, int]) -> None:
        """`size` is that of the output."""
        super().__init__()
        self.convolution = nn.ConvTranspose2d(n_in, n_out, kernel, stride)
        self._size = size
        self._before = [_padding(length, kernel, step)[0] for length, step in zip(size, stride, strict=True)]

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """`[n, n_in, ...]` to `[n, n_out, *size]`."""
        whole: torch.Tensor = self.convolution(planes)
        (top, left), (height, width) = self._before, self._size
        return whole[:, :, top : top + height, left : left + width]


class SameConvolution(nn.Module):
    """A convolution with TensorFlow's SAME padding of an input of a given size."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: tuple[int, int], size: tuple[int, int]) -> None:
        """`size` is that of the input."""
        super().__init__()
        self.convolution = nn.Conv2d(n_in, n_out, kernel, stride)
        rows, columns = (_padding(length, kernel, step) for length, step in zip(size, stride, strict=True))
        self._around = (*columns, *rows)

    def forward(self, planes: torch.Tensor) -> torch.Tensor:
        """`[n, n_in, *size]` to `[n, n_out, ...]`, each length divided by its stride and rounded up."""
        convolved: torch.Tensor = self.convolution(functional.pad(planes, self._around))
        return convolved


def published_generator() -> nn.Sequential:
    """The published generator of the ICSD and MP networks: noise `[n, 128]` to `[n, 85, 8]`, each cell in 0..1.

    Like the critic a layout on torch's `meta` device, until `draw_published` or `set_published` gives it weights.
    """
    size: list[tuple[int, int]] = [(11, 8), (22, 8), (43, 8), (85, 8)]
    with torch.device("meta"):
        layers: Mapping[str, nn.Module] = {
            "dense": nn.Linear(N_NOISE, math.prod(_FIRST)),
            "norm_0": _norm(math.prod(_FIRST), nn.BatchNorm1d),
            "relu_0": nn.ReLU(),
            "planes": nn.Unflatten(1, _FIRST),
            "transposed_1": SameTransposed(128, 64, 5, (2, 2), size[0]),
            "norm_1": _norm(64),
            "relu_1": nn.ReLU(),
            "transposed_2": SameTransposed(64, 32, 3, (2, 1), size[1]),
            "norm_2": _norm(32),
            "relu_2": nn.ReLU(),
            "transposed_3": SameTransposed(32, 16, 3, (2, 1), size[2]),
            "norm_3": _norm(16),
            "relu_3": nn.ReLU(),
            "transposed_4": SameTransposed(16, 1, 3, (2, 1), size[3]),
            "sigmoid": nn.Sigmoid(),
            "matrix": nn.Flatten(1, 2),
        }
    return nn.Sequential(OrderedDict(layers))


def published_critic() -> nn.Sequential:
    """The published critic of the ICSD and MP networks: `[n, 85, 8]` to `[n, 1]`, batch normalisation and all."""
    with torch.device("meta"):
        layers: Mapping[str, nn.Module] = {
            "plane": nn.Unflatten(1, (1, PUBLISHED_SHAPE[0])),
            "convolution_1": SameConvolution(1, 16, 3, (1, 1), (85, 8)),
            "relu_1": nn.LeakyReLU(_SLOPE),
            "convolution_2": SameConvolution(16, 16, 3, (2, 1), (85, 8)),
            "norm_2": _norm(16),
            "relu_2": nn.LeakyReLU(_SLOPE),
            "convolution_3": SameConvolution(16, 32, 3, (1, 1), (43, 8)),
            "norm_3": _norm(32),
            "relu_3": nn.LeakyReLU(_SLOPE),
            "convolution_4": SameConvolution(32, 64, 3, (1, 1), (43, 8)),
            "norm_4": _norm(64),
            "relu_4": nn.LeakyReLU(_SLOPE),
            "convolution_5": SameConvolution(64, 128, 5, (2, 2), (43, 8)),
            "norm_5": _norm(128),
            "flat": nn.Flatten(),
            "relu_5": nn.LeakyReLU(_SLOPE),
            "dense": nn.Linear(128 * 22 * 4, 1),
        }
    return nn.Sequential(OrderedDict(layers))


def draw_published(network: nn.Module, draws: torch.Generator) -> None:
    """Set the weights of layers to N(0, 1) and their biases to 0; a normalisation starts as the identity."""
    network.to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
            assert module.running_mean is not None  # noqa: S101  it tracks them
            assert module.running_var is not None  # noqa: S101
            nn.init.zeros_(module.running_mean)
            nn.init.ones_(module.running_var)
        elif isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, generator=draws)
            assert module.bias is not None  # noqa: S101  none of them goes without
            nn.init.zeros_(module.bias)


def published_tensors(generator: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Export what sampling needs, the moving means and variances of its normalisations among it."""
    return {name: tensor.numpy(force=True).copy() for name, tensor in generator.state_dict().items()}


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of `published_tensors` by name."""
    return {name: tuple(tensor.shape) for name, tensor in published_generator().state_dict().items()}


def set_published(tensors: Mapping[str, NDArray[np.generic]]) -> nn.Module:
    """A generator with the tensors that `published_tensors` exported, in evaluation mode."""
    network = published_generator().to_empty(device="cpu")
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            tensor.copy_(torch.from_numpy(tensors[name].copy()))
    return network.eval()


def _norm(n: int, kind: type[nn.BatchNorm1d] | type[nn.BatchNorm2d] = nn.BatchNorm2d) -> nn.Module:
    """Batch normalisation with the published constants: epsilon 1e-5, moving averages that keep 0.9."""
    layer = kind(n, eps=1e-5, momentum=0.1)
    layer.num_batches_tracked = None  # a momentum is given, so that torch counts nothing
    return layer


def _padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """What SAME adds before and behind `length` cells so that ceil(length / stride) windows fit."""
    total = max((math.ceil(length / stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2
