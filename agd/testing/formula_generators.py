"""What every generator of formulas promises, checked on ionic formulas."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from agd.chem.enumeration import charge_balanced
from agd.errors import InputError
from agd.protocols import FormulaGenerator
from agd.testing.models import SEED, ModelContract
from agd.testing.promises import promised, require, require_array, require_error, require_same
from agd.testing.vocabularies import outsiders
from agd.types import TrainingTable

_N_SAMPLES = 3000


class FormulaGeneratorContract(ModelContract):
    """The contract of a generator of formulas."""

    group: ClassVar[str] = "agd.formula_generators"
    protocol: ClassVar[type] = FormulaGenerator

    @classmethod
    def table(cls) -> TrainingTable:
        """Up to 400 formulas that it can learn from, every fifth held out."""
        counts = charge_balanced(400, seed=SEED, max_count=8)
        counts = counts[cls.plugin_class().is_representable(counts)]
        return TrainingTable(counts, None, np.arange(len(counts)) % 5 == 0)

    @classmethod
    def answers(cls, model: Any) -> Mapping[str, Any]:
        """Samples."""
        return {"samples": model.sample(5, 300, seed=2)}

    @promised(
        "is_representable tells, `[n]`, which rows it can learn from, and some formulas of two or three elements are",
        cure="return an array of booleans; it is a class method, asked before anything is fitted",
    )
    def test_it_knows_its_vocabulary(self) -> None:
        """Asked of a dataset before a training, so that no training fails on a row."""
        counts = charge_balanced(400, seed=SEED, max_count=8)
        is_inside = self.plugin_class().is_representable(counts)
        require_array(is_inside, (len(counts),), "bool_", "is_representable")
        require(is_inside.sum() >= 50, f"{is_inside.sum()} of {len(counts)} ionic formulas are representable")  # noqa: PLR2004
        nothing = np.zeros((1, 103), np.int32)
        require(not self.plugin_class().is_representable(nothing)[0], "a row without atoms is representable")

    @promised(
        "a row outside the vocabulary is refused by InputError that names it",
        cure='raise agd.errors.InputError(f"row {row} (Na1 Cl999) ...") in fit where is_representable says no',
    )
    def test_a_row_outside_the_vocabulary_is_refused(self) -> None:
        """For every kind of row that is_representable refuses."""
        trained = self.trained()
        good = trained.table.counts[0]
        for what, row in outsiders(trained.plugin.is_representable):
            table = TrainingTable(np.stack([good, row]), None, np.zeros(2, np.bool_))
            require_error(
                InputError,
                lambda t=table: trained.plugin.fit(t, trained.options, seed=SEED),  # type: ignore[misc]  # mypy gives a lambda's default no type
                f"{what} as row 1 of the table",
                {"its number": "row 1"},
            )

    @promised(
        "sample gives int32 counts `[n, 103]`: formulas that it could learn from, or rows of zeros",
        cure="decode into np.zeros((n, 103), np.int32), and leave a row at zero where no formula is found",
    )
    def test_samples_are_representable_or_nothing(self) -> None:
        """A row of zeros is counted as undecoded."""
        trained = self.trained()
        counts = trained.model.sample(0, _N_SAMPLES, seed=1)
        require_array(counts, (_N_SAMPLES, 103), "int32", "a sample")
        is_wrong = trained.plugin.is_representable(counts) != counts.any(axis=1)
        require(not is_wrong.any(), f"sample {int(np.argmax(is_wrong))} is no formula that it could learn from")
        require_array(trained.model.sample(17, 0, seed=1), (0, 103), "int32", "a sample of nothing")

    @promised(
        "a sample depends on its number and the seed alone, however the stream is cut",
        cure="draw the noise of sample k from np.random.Philox(key=seed, counter=[0, 0, k // block, 0]), a whole block "
        "of one size at a time",
    )
    def test_a_sample_depends_on_its_number_and_the_seed(self) -> None:
        """A generation that was interrupted goes on where it stopped."""
        model = self.trained().model
        whole = model.sample(0, _N_SAMPLES, seed=3)
        require_same(model.sample(0, _N_SAMPLES, seed=3), whole, "asked again it differs")
        for cuts in ([1, 2, 3, 255, 256, 257], [2047, 2048, 2049], [_N_SAMPLES - 1]):
            bounds = [0, *cuts, _N_SAMPLES]
            parts = [model.sample(start, stop - start, seed=3) for start, stop in pairwise(bounds)]
            require_same(np.concatenate(parts), whole, f"cut at {cuts} it differs")
        late = model.sample(10**9, 20, seed=3)
        require_same(model.sample(10**9 + 1, 5, seed=3), late[1:6], "samples from number 10**9 on differ by the cut")
        if self.is_random and whole.any():
            require((model.sample(0, _N_SAMPLES, seed=4) != whole).any(), "seeds 3 and 4 give the same samples")
