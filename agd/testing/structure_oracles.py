"""What every oracle of structures promises, checked on rock salts and perovskites."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from agd.chem.structures import counts_of
from agd.errors import InputError
from agd.protocols import StructureOracle
from agd.testing.crystals import caesium_chloride, perovskite, rock_salt
from agd.testing.models import SEED, ModelContract
from agd.testing.promises import promised, require, require_array, require_finite, require_same
from agd.types import Prediction, Structure, StructureTable

_SALTS = [(metal, other) for metal in ("Li", "Na", "K", "Rb", "Cs") for other in ("F", "Cl", "Br", "I")]
_PEROVSKITES = [(a, b) for a in ("Ca", "Sr", "Ba") for b in ("Ti", "Zr", "Hf", "Sn")]


class StructureOracleContract(ModelContract):
    """The contract of an oracle of structures; its table has 52 crystals whose energy grows with the cell."""

    group: ClassVar[str] = "agd.structure_oracles"
    protocol: ClassVar[type] = StructureOracle

    goes_on: ClassVar[bool] = True
    """Whether a training that was stopped goes on from a checkpoint, or begins anew."""

    @classmethod
    def table(cls) -> StructureTable:
        """Two types of 20 salts and twelve perovskites, every fifth formula held out."""
        structures = [rock_salt(*pair, 4.0 + 0.1 * i) for i, pair in enumerate(_SALTS)]
        structures += [caesium_chloride(*pair, 2.6 + 0.1 * i) for i, pair in enumerate(_SALTS)]
        structures += [perovskite(*pair, "O", 3.8 + 0.03 * i) for i, pair in enumerate(_PEROVSKITES)]
        of_formula = np.array([*range(len(_SALTS)), *range(len(_SALTS)), *range(len(_PEROVSKITES))])
        volumes = np.array([abs(np.linalg.det(one.lattice)) / len(one.species) for one in structures])
        return StructureTable(structures, -4.0 + 0.05 * volumes, of_formula % 5 == 0, of_formula % 5 == 1)

    @classmethod
    def with_other_held_out_rows(cls, table: StructureTable) -> StructureTable:
        """The table with other structures held out, their values far away."""
        other = rock_salt("Mg", "O", 4.2)
        structures = [other if out else one for one, out in zip(table.structures, table.is_held_out, strict=True)]
        return replace(table, structures=structures, values=np.where(table.is_held_out, 99.0, table.values))

    @classmethod
    def answers(cls, model: Any) -> Mapping[str, Any]:
        """Labels of the table."""
        prediction = model.label(cls.asked())
        return {"values": prediction.values, "uncertainties": prediction.uncertainties}

    @classmethod
    def asked(cls) -> list[Structure]:
        """The structures of the table that it learned from, or stopped by."""
        table = cls.trained().table
        return [one for one, out in zip(table.structures, table.is_held_out, strict=True) if not out]

    @promised(
        "label gives agd.types.Prediction: a finite value and an uncertainty of 0 or more for each structure",
        cure="return Prediction(values, uncertainties), both float64 `[n]`, in the property's unit",
    )
    def test_labels_are_finite(self) -> None:
        """Of a structure that cannot be answered, raise; never make a label up."""
        for structures in (self.asked(), self.asked()[:1], []):
            prediction = self.trained().model.label(structures)
            require(isinstance(prediction, Prediction), f"it gives a {type(prediction).__name__}")
            for name in ("values", "uncertainties"):
                require_array(getattr(prediction, name), (len(structures),), "floating", name)
                require_finite(getattr(prediction, name), name)
            require((prediction.uncertainties >= 0.0).all(), "an uncertainty is below zero")

    @promised(
        "a structure is labelled as if it were alone",
        cure="let nothing depend on the other structures, the shape of a matrix product neither",
    )
    def test_a_structure_does_not_depend_on_its_batch(self) -> None:
        """The same structure has the same label, whatever came with it."""
        structures, model = self.asked(), self.trained().model
        together = model.label(structures)
        for rows in (slice(0, 1), slice(7, 8), slice(3, 20), slice(None, None, -1)):
            apart = model.label(structures[rows])
            for name in ("values", "uncertainties"):
                require_same(getattr(apart, name), getattr(together, name)[rows], f"rows {rows}: {name} differ")

    @promised("a value is one of an atom or of a gap, whatever the cell", cure="let the size of the cell not count")
    def test_the_cell_does_not_count(self) -> None:
        """Twice the cell is the same crystal."""
        one = self.asked()[0]
        frac = np.concatenate([one.frac * [0.5, 1.0, 1.0], one.frac * [0.5, 1.0, 1.0] + [0.5, 0.0, 0.0]])
        double = Structure(one.lattice * [[2.0], [1.0], [1.0]], one.species * 2, frac)
        values = self.trained().model.label([one, double]).values
        require(abs(values[0] - values[1]) < 1e-3, f"{values[0]:.5f} and {values[1]:.5f}")  # noqa: PLR2004  # single precision

    @promised(
        "a structure with an element that nothing was learned of has an answer, or InputError that names it",
        cure="raise agd.errors.InputError with the symbol",
    )
    def test_unknown_elements_are_named(self) -> None:
        """Nothing is made up silently."""
        strange = rock_salt("Lr", "Cl", 6.0)
        require(counts_of([strange]).sum() > 0, "the crystal has no atoms")
        try:
            self.trained().model.label([strange])
        except InputError as error:
            require("Lr" in str(error), f"the error does not name the element: {error}")

    @promised(
        "a training that was stopped goes on from its checkpoint to the same bits",
        cure="keep the parameters and the optimiser's own state in one file that is replaced at once "
        "(agd.writing.whole_file); say `goes_on = False` in the contract of a model that begins anew",
    )
    def test_a_stopped_training_goes_on(self) -> None:
        """A worker may be killed at any moment."""
        trained, options = self.trained(), self.chosen(**self.brief)
        whole = trained.plugin.fit(trained.table, options, seed=SEED)
        told: list[int] = []

        def stop(done: int, total: int, note: str = "") -> None:
            del note
            told.append(done)
            if 2 * done > total:
                raise _StoppedError

        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Path(folder, "checkpoint")
            try:
                trained.plugin.fit(trained.table, options, seed=SEED, checkpoint=checkpoint, progress=stop)
            except _StoppedError:
                require(checkpoint.exists() or not self.goes_on, "it leaves no checkpoint behind")
            first: list[int] = []
            again = trained.plugin.fit(
                trained.table, options, seed=SEED, checkpoint=checkpoint, progress=lambda done, *_: first.append(done)
            )
        self._require_alike(whole.tensors, again.tensors, "after it was stopped it differs in tensor")
        require(first[0] > told[0] or not self.goes_on, "it begins anew, though there is a checkpoint")


class _StoppedError(Exception):
    """Raised where a training is to stop."""
