"""Networks on descriptors as an oracle, cross-fitted like boosting."""

from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from agd.chem.descriptors import MAGPIE_FEATURES, magpie_and_fractions
from agd.chem.elements import N_ELEMENTS
from agd.plugins.oracles.composition_oracle import CompositionOracleOptions, DescriptorOracle, own
from agd.plugins.oracles.training_answers import SeenRows
from agd.progress import Progress
from agd.protocols import Options
from agd.types import Counts, Tensors

if TYPE_CHECKING:
    from agd.nets.calibration import OutOfFold
    from agd.nets.descriptor_networks import CrossFittedNetworks

_N_FEATURES: Final = len(MAGPIE_FEATURES) + 2 * N_ELEMENTS


class NetworksOptions(CompositionOracleOptions):
    """Options of the oracle `networks`."""

    calibration: Literal["overall", "by_range"] = Field(
        "by_range",
        description="Whether 68 % of the errors are within one sigma overall, or in every range of answers too.",
    )
    n_folds: int = Field(5, ge=2, le=50, description="Folds, each with a network of its own; an answer is their mean.")
    widths: tuple[int, ...] = Field((384, 256, 128), min_length=1, description="Widths of the hidden layers.")
    dropout: float = Field(0.05, ge=0.0, lt=1.0, description="Share of each hidden layer that a step leaves out.")
    epochs: int = Field(30, ge=1, le=10_000, description="Passes over the training rows.")
    n_steps: int = Field(1000, ge=1, le=1_000_000, description="Fewest steps; a small table is passed more often.")
    batch: int = Field(256, ge=1, le=65_536, description="Rows per step.")
    learning_rate: float = Field(2e-3, gt=0.0, le=1.0, description="First step size of AdamW; it falls to zero.")
    weight_decay: float = Field(0.05, ge=0.0, le=1.0, description="Weight decay of AdamW.")


class Networks(DescriptorOracle):
    """Small networks on Magpie descriptors, shares and presence of the elements.

    They go beyond what trees can: of compounds without fluorine they find most of the wide gaps that trees miss.
    The same seed and number of threads give the same networks.
    """

    kind: ClassVar[str] = "networks"
    options_type: ClassVar[type[Options]] = NetworksOptions

    @classmethod
    def _fit(
        cls, rows: SeenRows, options: CompositionOracleOptions, seed: int, progress: Progress
    ) -> "tuple[CrossFittedNetworks, OutOfFold]":
        from agd.nets.descriptor_networks import CrossFittedNetworks, Learning

        options = own(options, NetworksOptions, cls.kind)
        learning = Learning(
            epochs=options.epochs,
            n_steps=options.n_steps,
            batch=options.batch,
            learning_rate=options.learning_rate,
            weight_decay=options.weight_decay,
            dropout=options.dropout,
        )
        return CrossFittedNetworks.fit(
            cls.describe(rows.counts),
            rows.values,
            widths=options.widths,
            learning=learning,
            n_folds=options.n_folds,
            seed=seed,
            groups=rows.groups,
            progress=progress,
        )

    @classmethod
    def _load(cls, tensors: Tensors, options: CompositionOracleOptions) -> "CrossFittedNetworks":
        from agd.nets.descriptor_networks import CrossFittedNetworks

        options = own(options, NetworksOptions, cls.kind)
        return CrossFittedNetworks.from_tensors(tensors, n_features=_N_FEATURES, widths=options.widths)

    @staticmethod
    def describe(counts: Counts) -> NDArray[np.floating]:
        """The 132 Magpie descriptors, the share of each of the 103 elements, and whether it is there."""
        return np.column_stack([magpie_and_fractions(counts), (counts > 0).astype(np.float32)])
