"""Cross-fitted networks on descriptors: a deep ensemble in which every row was left out by one member.

Deep ensembles: Lakshminarayanan et al., arXiv 1612.01474. In plain torch: scikit-learn's MLPRegressor has neither
dropout nor a second output, and skorch would bring its own training loop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from agd.errors import ModelError
from agd.nets.arrays import n_stacked
from agd.nets.calibration import OutOfFold, calibrate, is_calibration, uncertainties
from agd.nets.folds import Folds
from agd.nets.training import Schedule, train
from agd.progress import Progress, Share, silent
from agd.types import Floats, Tensors

_WHAT: Final = "the ensemble of networks"
_CALIBRATION: Final = "calibration"
_N_BLOCK: Final = 64
"""Rows answered at once, padded: matrix products of one shape, so that a row never depends on others."""
_FARTHEST: Final = 5.0
"""Standard deviations at which a feature is cut: an element that few rows hold is no reason to extrapolate."""
_N_SIZE: Final = 64
"""Units of the network that foresees errors."""
_KNEE: Final = 0.5
"""Error, in standard deviations of the values, up to which the loss is a square; beyond, outliers count linearly."""


@dataclass(frozen=True, slots=True)
class Learning:
    """How the networks learn: passes over the rows, of at least `n_steps` steps in all, and rows per step."""

    epochs: int
    n_steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    dropout: float

    def schedule(self, n: int) -> Schedule:
        """For `n` rows."""
        epochs = max(self.epochs, -(-self.n_steps // -(-n // self.batch)))
        return Schedule(epochs, self.learning_rate, self.weight_decay, patience=epochs)


@dataclass(frozen=True, slots=True, eq=False)
class CrossFittedNetworks:
    """Networks over float32 features, one for each fold; an answer is their mean.

    `calibration` `[4]` holds the weights of 1, expected |residual| and |mean| in an uncertainty, and its floor.
    """

    networks: "Sequence[Network]"
    calibration: Floats

    @classmethod
    def fit(
        cls,
        features: NDArray[np.floating],
        values: Floats,
        *,
        widths: Sequence[int],
        learning: Learning,
        n_folds: int,
        seed: int,
        groups: NDArray[np.intp] | None = None,
        progress: Progress = silent,
    ) -> tuple[Self, OutOfFold]:
        """Train on `features` `[n, n_features]` and `values` `[n]`; rows of one group `[n]` share a fold.

        A row's out-of-fold value and expected |residual| are by the network that did not see its fold. With one group
        alone there is nothing to hold out, and nothing is judged. The same seed and number of threads give the same
        networks; raises InputError where a training diverges.
        """
        features = np.ascontiguousarray(features, dtype=np.float32)
        folds = Folds.of(np.arange(len(values)) if groups is None else groups, n_folds, seed)
        mean, size = np.empty(len(values)), np.empty(len(values))
        networks: list[Network] = []
        for i, (rows, is_out, fold_seed) in enumerate(folds):
            network = Network(features.shape[1], widths)
            share = Share(progress, i, folds.n, f"network {i + 1}/{folds.n}")
            _train(network, features[rows], values[rows], learning, fold_seed, share)
            mean[is_out], size[is_out] = network.answers(features[is_out])
            networks.append(network)
        is_judged = np.full(len(values), folds.n > 1)
        columns = [size, np.abs(mean)]
        residuals = np.abs(values - mean)[is_judged]
        calibration = calibrate([column[is_judged] for column in columns], residuals, float(values.std()))
        return cls(networks, calibration), OutOfFold(mean, uncertainties(calibration, columns), is_judged)

    def predict(self, features: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Mean and uncertainty, both `[n]`, of `features` `[n, n_features]`; bitwise the same in any batch."""
        features = np.ascontiguousarray(features, dtype=np.float32)
        mean, size = np.zeros(len(features)), np.zeros(len(features))
        for network in self.networks:
            values, sizes = network.answers(features)
            mean += values
            size += sizes
        mean, size = mean / len(self.networks), size / len(self.networks)
        return mean, uncertainties(self.calibration, [size, np.abs(mean)])

    def to_tensors(self) -> Tensors:
        """The parameters of all networks, `[n_networks, ...]` each, and the calibration."""
        each = [network.state_dict() for network in self.networks]
        stacked = {name: np.stack([one[name].numpy() for one in each]) for name in each[0]}
        return {**stacked, _CALIBRATION: self.calibration}

    @classmethod
    def from_tensors(cls, tensors: Tensors, *, n_features: int, widths: Sequence[int]) -> Self:
        """Rebuild the networks; raises ModelError where the arrays are not theirs."""
        shapes = {name: tuple(tensor.shape) for name, tensor in Network(n_features, widths).state_dict().items()}
        n = n_stacked(tensors, shapes, (_CALIBRATION,), _WHAT, counted_by="centre")
        calibration = tensors[_CALIBRATION]
        if calibration.dtype != np.float64 or not is_calibration(calibration.astype(np.float64), n_columns=2):
            raise ModelError(f"{_WHAT} has been altered: its calibration")
        networks = [Network(n_features, widths) for _ in range(n)]
        for i, network in enumerate(networks):
            network.load_state_dict({name: torch.from_numpy(np.array(tensors[name][i])) for name in shapes})
            network.eval()
        return cls(networks, calibration.astype(np.float64))


class Network(nn.Module):
    """Hidden layers to the value, and a small network to the root of the size of its error, standardised.

    The second reads the features and the last of the hidden layers, and teaches these nothing.
    """

    centre: torch.Tensor
    inverse: torch.Tensor
    offset: torch.Tensor
    unit: torch.Tensor

    def __init__(self, n_features: int, widths: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # layers draw weights as soon as they are made
            self.hidden = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise((n_features, *widths)))
            self.value = nn.Linear(widths[-1], 1)
            self.size_hidden, self.root_size = nn.Linear(n_features + widths[-1], _N_SIZE), nn.Linear(_N_SIZE, 1)
        self.dropout = nn.Dropout(dropout)
        for name, length in (("centre", n_features), ("inverse", n_features), ("offset", 1), ("unit", 1)):
            self.register_buffer(name, torch.zeros(length))

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`[b, n_features]` to `[b]` and `[b]`."""
        rows = inputs = ((rows - self.centre) * self.inverse).clamp(-_FARTHEST, _FARTHEST)
        for layer in self.hidden:
            rows = self.dropout(functional.silu(layer(rows)))
        read = functional.silu(self.size_hidden(torch.cat([inputs, rows.detach()], dim=1)))
        return self.value(rows)[:, 0], self.root_size(read)[:, 0]

    def standardise(self, features: NDArray[np.float32], values: Floats) -> None:
        """Measure features `[n, n_features]` and values `[n]`; a feature that does not vary is not looked at."""
        scale = features.std(axis=0, dtype=np.float64)
        inverse = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0.0)
        for buffer, measured in (
            (self.centre, features.mean(axis=0, dtype=np.float64)),
            (self.inverse, inverse),
            (self.offset, np.array([values.mean()])),
            (self.unit, np.array([values.std() or 1.0])),
        ):
            buffer.copy_(torch.from_numpy(measured))

    def answers(self, features: NDArray[np.float32]) -> tuple[Floats, Floats]:
        """Value and expected |residual|, both `[n]`, of `features` `[n, n_features]`."""
        n = len(features)
        values, sizes = np.empty(n), np.empty(n)
        block = np.zeros((_N_BLOCK, features.shape[1]), dtype=np.float32)
        with torch.no_grad():
            for start in range(0, n, _N_BLOCK):
                part = features[start : start + _N_BLOCK]
                block[: len(part)] = part
                value, root = (output[: len(part)].numpy().astype(np.float64) for output in self(torch.tensor(block)))
                rows = slice(start, start + len(part))
                values[rows], sizes[rows] = value, np.square(np.maximum(root, 0.0))
        unit = self.unit.item()
        return values * unit + self.offset.item(), sizes * unit


def _train(
    network: Network, features: NDArray[np.float32], values: Floats, learning: Learning, seed: int, progress: Progress
) -> None:
    n = len(values)
    network.standardise(features, values)
    inputs = torch.from_numpy(features)
    targets = ((torch.from_numpy(values) - network.offset.double()) / network.unit.double()).float()

    def batches(_epoch: int) -> Sequence[torch.Tensor]:
        order = torch.randperm(n)
        return [order[start : start + learning.batch] for start in range(0, n, learning.batch)]

    def loss(rows: torch.Tensor) -> torch.Tensor:
        said, root_size = network(inputs[rows])
        root_error = (said.detach() - targets[rows]).abs().sqrt()
        return functional.smooth_l1_loss(said, targets[rows], beta=_KNEE) + functional.mse_loss(root_size, root_error)

    network.dropout.p = learning.dropout
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in (*network.hidden, network.value, network.size_hidden, network.root_size):
            layer.reset_parameters()
        train(
            network,
            learning.schedule(n),
            batches=batches,
            loss=loss,
            score=lambda: 0.0,
            score_name="as the last",
            progress=progress,
        )
