"""GATGNN as an oracle of structures (doi:10.1039/D0CP01474E): a network on the graph of a crystal's neighbours."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self

import numpy as np
from pydantic import Field

from agd.chem.elements import N_ELEMENTS, SYMBOLS
from agd.chem.neighbours import nearest
from agd.chem.structures import numbers_of
from agd.errors import InputError, ModelError
from agd.nets.error_measures import measure_errors
from agd.progress import Progress, silent
from agd.protocols import Options
from agd.types import FittedModel, Floats, Prediction, Structure, StructureTable, Tensors

if TYPE_CHECKING:
    from agd.nets.gatgnn import Architecture, Crystals, Network

_WITHIN: Final = 0.6827
"""Share of a normal distribution within one standard deviation."""

_PART: Final = "network."
_OTHERS: Final = ("element_values", "is_known", "scale")


class GatgnnOptions(Options):
    """Options of the oracle of structures `gatgnn`."""

    epochs: int = Field(30, ge=1, le=10_000, description="Passes over the structures that it learns from.")
    learning_rate: float = Field(4e-3, gt=0.0, le=1.0, description="First step size of AdamW; it falls to zero.")
    weight_decay: float = Field(1e-2, ge=0.0, le=1.0, description="Weight decay of AdamW.")
    batch: int = Field(128, ge=2, le=65_536, description="Structures per step.")
    n_node: int = Field(64, ge=2, le=1024, description="Neurons of an atom.")
    n_heads: int = Field(4, ge=1, le=64, description="Heads of attention, averaged.")
    n_layers: int = Field(3, ge=1, le=32, description="Layers of attention.")


class Gatgnn:
    """What the elements do not explain is learned by a network, each structure answered as if it were alone.

    Its uncertainty is one for all: within it are 68 % of the errors on the rows that the training was stopped by.
    """

    options_type: ClassVar[type[Options]] = GatgnnOptions
    architecture_version: ClassVar[int] = 1

    def __init__(self, network: "Network", element_values: Floats, is_known: Floats, scale: Floats) -> None:
        self.network, self.element_values, self.is_known, self.scale = network, element_values, is_known, scale

    @classmethod
    def fit(
        cls,
        table: StructureTable,
        options: Options,
        *,
        seed: int,
        checkpoint: Path | None = None,
        progress: Progress = silent,
    ) -> FittedModel:
        """Train on the rows that are neither held out nor for validation; raises InputError where there are too few."""
        import torch

        from agd.nets import gatgnn
        from agd.nets.training import Schedule

        assert isinstance(options, GatgnnOptions)  # noqa: S101  as the class says
        training = np.flatnonzero(~table.is_held_out & ~table.is_validation)
        if len(training) < 2:  # noqa: PLR2004  a batch is normalised
            raise InputError(f"gatgnn learns from two structures at least, not from {len(training)}")
        validation = np.flatnonzero(table.is_validation) if table.is_validation.any() else training
        crystals = graphs_of(table.structures)
        shares = gatgnn.element_shares(crystals)
        element_values = gatgnn.element_values(shares[training], table.values[training])
        residual = table.values - shares @ element_values
        scale = np.array([residual[training].mean(), residual[training].std() or 1.0, 0.0])
        torch_state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        network = gatgnn.Network(_architecture(options))
        torch.random.set_rng_state(torch_state)
        trained = gatgnn.fit(
            network,
            crystals,
            (residual - scale[0]) / scale[1],
            training=training,
            validation=validation,
            recipe=gatgnn.Recipe(
                Schedule(options.epochs, options.learning_rate, options.weight_decay, options.epochs), options.batch
            ),
            seed=seed,
            progress=progress,
            checkpoint=checkpoint,
        )
        said = shares @ element_values + scale[0] + scale[1] * gatgnn.predict(network, crystals, np.arange(len(shares)))
        errors = np.abs(said - table.values)
        scale[2] = float(np.quantile(errors[validation], _WITHIN))
        metrics = {
            "n_train": float(len(training)),
            "n_held_out": float(table.is_held_out.sum()),
            "n_epochs": float(trained.n_epochs),
            "best_epoch": float(trained.best_epoch),
            "validation_mae": float(errors[validation].mean()),
        }
        if table.is_held_out.any():
            out = table.is_held_out
            metrics |= measure_errors(table.values[out], said[out])
            metrics["elements_mae"] = float(np.abs(shares @ element_values - table.values)[out].mean())
        others = {"element_values": element_values, "is_known": _seen(shares[training]), "scale": scale}
        return FittedModel({**_named(network), **others}, metrics)

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild the model from its arrays; raises ModelError where they have been altered."""
        import torch

        from agd.nets import gatgnn

        assert isinstance(options, GatgnnOptions)  # noqa: S101  as the class says
        network = gatgnn.Network(_architecture(options))
        expected = {**_named(network), **dict.fromkeys(_OTHERS[:2], np.zeros(N_ELEMENTS)), _OTHERS[2]: np.zeros(3)}
        if unlike := tensors.keys() ^ expected.keys():
            raise ModelError(f"a gatgnn has been altered: missing or unknown arrays {', '.join(sorted(unlike))}")
        for name, array in expected.items():
            there = tensors[name]
            if there.shape != array.shape or there.dtype != array.dtype:
                raise ModelError(
                    f"array {name!r} of a gatgnn is {there.dtype} {list(there.shape)}, not {array.dtype} "
                    f"{list(array.shape)}: load the model with the options it was trained with"
                )
            if not np.isfinite(np.asarray(there, dtype=np.float64)).all():
                raise ModelError(f"array {name!r} of a gatgnn has been altered: it holds a number that is not finite")
        state = {
            name.removeprefix(_PART): torch.from_numpy(np.array(array))
            for name, array in tensors.items()
            if name.startswith(_PART)
        }
        network.load_state_dict(state)
        network.eval()
        return cls(network, *(np.asarray(tensors[name], dtype=np.float64) for name in _OTHERS))

    def label(self, structures: Sequence[Structure]) -> Prediction:
        """Values `[n]`, each as if it were alone; raises InputError for an element that it has not learned."""
        from agd.nets import gatgnn

        values = np.empty(len(structures))
        for row, structure in enumerate(structures):
            numbers = numbers_of(structure)
            if strange := sorted({SYMBOLS[z - 1] for z in numbers if not self.is_known[z - 1]}):
                raise InputError(f"gatgnn has learned from no structure with {', '.join(strange)}")
            one = graphs_of([structure])
            answer = gatgnn.predict(self.network, one, np.zeros(1, dtype=np.intp))[0]
            by_element = float(np.sum(gatgnn.element_shares(one)[0] * self.element_values))
            values[row] = by_element + self.scale[0] + self.scale[1] * answer
        return Prediction(values, np.full(len(structures), self.scale[2]))


def graphs_of(structures: Sequence[Structure]) -> "Crystals":
    """The graphs of structures; a tenth of a millisecond each."""
    from agd.nets.gatgnn import Crystals

    return Crystals.of([numbers_of(one) for one in structures], [nearest(one) for one in structures])


def _architecture(options: GatgnnOptions) -> "Architecture":
    from agd.nets.gatgnn import Architecture

    return Architecture(options.n_node, options.n_heads, options.n_layers)


def _named(network: "Network") -> Tensors:
    return {f"{_PART}{name}": tensor.numpy(force=True).copy() for name, tensor in network.state_dict().items()}


def _seen(shares: Floats) -> Floats:
    """1 for each element `[103]` that there is, 0 for the others."""
    return np.asarray((shares > 0).any(axis=0), dtype=np.float64)
