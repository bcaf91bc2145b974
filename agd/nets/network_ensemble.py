"""A few small networks trained together, each on rows of its own: a surrogate that is quick to fit again.

A deep ensemble (Lakshminarayanan et al., arXiv 1612.01474) on bootstrap samples. Its members are one batched product
each layer, in plain torch: BoTorch and skorch fit one network after the other.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from agd.nets.training import Schedule, train
from agd.types import Floats

N_MEMBERS: Final = 5
_N_HIDDEN: Final = 32
_N_BATCH: Final = 64
_N_STEPS: Final = 250
"""Of the optimiser, about, whatever the number of rows."""
_LEARNING_RATE: Final = 4e-3
_WEIGHT_DECAY: Final = 0.1
_FARTHEST: Final = 4.0
"""Standard deviations at which a feature is cut: an element that few rows hold is no reason to extrapolate."""


_WITHIN: Final = 0.6827
"""Share of a normal distribution within one standard deviation."""


def answers(
    features: NDArray[np.floating],
    values: Floats,
    asked: NDArray[np.floating],
    *,
    seed: int,
    weights: Floats | None = None,
) -> tuple[Floats, float]:
    """What each member says `[5, m]` of `asked` `[m, d]`, learned from `features` `[n, d]` and `values` `[n]`.

    Each learns from rows drawn with replacement, by `weights` `[n]` where there are any.

    Members agree too well. Their deviation is to be widened by the factor that comes with it, at which 68 % of the
    rows are within one deviation of what the members say that have not learned them.
    """
    known = np.asarray(features, np.float64)
    centre, scale = known.mean(axis=0), known.std(axis=0)
    varies = scale > 0.0

    def standard(rows: NDArray[np.floating]) -> torch.Tensor:
        deviations = (np.asarray(rows, np.float64)[:, varies] - centre[varies]) / scale[varies]
        return torch.from_numpy(deviations.clip(-_FARTHEST, _FARTHEST).astype(np.float32))

    offset, unit = float(values.mean()), float(values.std()) or 1.0
    inputs, targets = standard(known), torch.from_numpy(((values - offset) / unit).astype(np.float32))
    draws = torch.Generator().manual_seed(seed)
    network = _Members(inputs.shape[1], draws)
    n = len(targets)
    if weights is None:
        own = torch.randint(n, (N_MEMBERS, n), generator=draws)
    else:
        shares = torch.from_numpy(weights).expand(N_MEMBERS, -1)
        own = torch.multinomial(shares, n, replacement=True, generator=draws)

    def batches(_epoch: int) -> Sequence[torch.Tensor]:
        order = torch.rand((N_MEMBERS, n), generator=draws).argsort(dim=1)
        rows = own.gather(1, order)
        return [rows[:, start : start + _N_BATCH] for start in range(0, n, _N_BATCH)]

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return functional.smooth_l1_loss(network(inputs[rows]), targets[rows], reduction="sum") / rows.shape[1]

    epochs = -(-_N_STEPS // -(-n // _N_BATCH))
    schedule = Schedule(epochs, _LEARNING_RATE, _WEIGHT_DECAY, patience=epochs)
    train(network, schedule, batches=batches, loss=loss, score=lambda: 0.0, score_name="as the last")
    with torch.no_grad():
        of_known, said = (
            network(rows.expand(N_MEMBERS, -1, -1)).numpy().astype(np.float64) for rows in (inputs, standard(asked))
        )
    return said * unit + offset, _widening(of_known, own.numpy(), targets.numpy())


def _widening(said: Floats, own: NDArray[np.intp], targets: NDArray[np.floating]) -> float:
    """The factor, 1 at least, by what members say `[5, n]` and the rows `[5, n]` that each has learned."""
    is_left_out = np.ones(said.shape, np.bool_)
    np.put_along_axis(is_left_out, own, values=False, axis=1)
    is_judged, deviation = is_left_out.any(axis=0), said.std(axis=0)
    is_judged &= deviation > 0.0
    if not is_judged.any():
        return 1.0
    blind = np.where(is_left_out, said, 0.0).sum(axis=0)[is_judged] / is_left_out.sum(axis=0)[is_judged]
    misses = np.abs(blind - targets[is_judged]) / deviation[is_judged]
    return max(1.0, float(np.quantile(misses, _WITHIN)))


class _Members(nn.Module):
    """Networks of two hidden layers, all at once."""

    def __init__(self, n_in: int, draws: torch.Generator) -> None:
        super().__init__()
        sizes = ((n_in, _N_HIDDEN), (_N_HIDDEN, _N_HIDDEN), (_N_HIDDEN, 1))
        self.weights = nn.ParameterList(
            torch.randn((N_MEMBERS, *size), generator=draws) / size[0] ** 0.5 for size in sizes
        )
        self.biases = nn.ParameterList(torch.zeros(N_MEMBERS, 1, n_out) for _, n_out in sizes)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """`[5, b, n_in]` to `[5, b]`."""
        for weight, bias in zip(list(self.weights)[:-1], list(self.biases)[:-1], strict=True):
            rows = functional.silu(torch.baddbmm(bias, rows, weight))
        return torch.baddbmm(self.biases[-1], rows, self.weights[-1])[:, :, 0]
