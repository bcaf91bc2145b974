"""What every oracle promises, checked on a table of ionic formulas."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from agd.chem.enumeration import charge_balanced
from agd.protocols import Oracle
from agd.testing.models import SEED, ModelContract
from agd.testing.promises import promised, require, require_array, require_finite, require_same
from agd.types import Counts, Prediction, TrainingTable

_N_ROWS = 240
_FLUORINE, _OXYGEN = 8, 7


class OracleContract(ModelContract):
    """The contract of an oracle; its table has a property that grows with the shares of fluorine and oxygen."""

    group: ClassVar[str] = "agd.oracles"
    protocol: ClassVar[type] = Oracle

    @classmethod
    def table(cls) -> TrainingTable:
        """240 formulas, every fifth held out."""
        counts = charge_balanced(_N_ROWS, seed=0)
        share = counts / counts.sum(axis=1, keepdims=True)
        noise = np.random.default_rng(0).standard_normal(_N_ROWS)
        values = 8.0 * share[:, _FLUORINE] + 4.0 * share[:, _OXYGEN] + 0.1 * noise
        return TrainingTable(counts, values, np.arange(_N_ROWS) % 5 == 0)

    @classmethod
    def answers(cls, model: Any) -> Mapping[str, Any]:
        """Labels of the table."""
        prediction = model.label(cls.trained().table.counts)
        return {"values": prediction.values, "uncertainties": prediction.uncertainties}

    @promised(
        "label gives agd.types.Prediction: a finite value and an uncertainty of 0 or more for each row",
        cure="return Prediction(values, uncertainties), both float64 `[n]`, in the property's unit",
    )
    def test_labels_are_finite(self) -> None:
        """Of a row that cannot be answered, raise; never make a label up."""
        self._require_prediction(self.trained().table.counts)
        self._require_prediction(self.trained().table.counts[:1])
        self._require_prediction(self.trained().table.counts[:0])

    @promised(
        "a row is labelled as if it were alone",
        cure="let nothing depend on the other rows: no mean over the batch, and matrix products of one fixed shape",
    )
    def test_a_row_does_not_depend_on_its_batch(self) -> None:
        """The same suggestion has the same label, whatever came with it."""
        trained = self.trained()
        together = trained.model.label(trained.table.counts)
        for rows in (slice(0, 1), slice(17, 18), slice(3, 40), slice(None, None, -1)):
            apart = trained.model.label(trained.table.counts[rows])
            for name in ("values", "uncertainties"):
                require_same(getattr(apart, name), getattr(together, name)[rows], f"rows {rows}: {name} differ")

    @promised(
        "values are raised to the option `minimum`, and uncertainties stay",
        cure="apply np.maximum(values, options.minimum) where it is not None, when asked, not when fitted",
    )
    def test_values_are_raised_to_the_minimum(self) -> None:
        """A campaign sets the option to the property's least value; an oracle need not have it."""
        trained = self.trained()
        if "minimum" not in type(trained.options).model_fields:
            return
        free, raised = (
            trained.plugin.load(trained.fitted.tensors, self.chosen(minimum=least)).label(trained.table.counts)
            for least in (-99.0, 2.0)
        )
        require_same(raised.values, np.maximum(free.values, 2.0), "with minimum = 2 the values are others")
        require_same(raised.uncertainties, free.uncertainties, "with minimum = 2 the uncertainties are others")

    @promised(
        "where no least value is given, a property may be negative",
        cure="raise values to nothing but the option `minimum`",
    )
    def test_a_property_may_be_negative(self) -> None:
        """Formation energies are."""
        trained = self.trained()
        below_zero = np.asarray(trained.table.values) - 20.0
        negative = TrainingTable(trained.table.counts, below_zero, trained.table.is_held_out)
        fitted = trained.plugin.fit(negative, trained.options, seed=SEED)
        values = trained.plugin.load(fitted.tensors, trained.options).label(negative.counts).values
        require(values.max() < 0.0, f"fitted to values of {below_zero.max():.1f} at most it answers {values.max()}")

    def _require_prediction(self, counts: Counts) -> None:
        prediction = self.trained().model.label(counts)
        require(isinstance(prediction, Prediction), f"it gives a {type(prediction).__name__}")
        for name in ("values", "uncertainties"):
            require_array(getattr(prediction, name), (len(counts),), "floating", name)
            require_finite(getattr(prediction, name), name)
        require((prediction.uncertainties >= 0.0).all(), "an uncertainty is below zero")
