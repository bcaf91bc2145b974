"""What every generator of formulas must do, and what those of agd do besides."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from agd.chem.formula import parse_formula
from agd.errors import InputError
from agd.plugins.formula_generators import vocabulary
from agd.protocols import Options
from agd.testing import FormulaGeneratorContract
from agd.testing.models import SEED, ModelContract, Told
from agd.types import TrainingTable


class TestMatgan(FormulaGeneratorContract):
    plugin = "matgan"
    options = {  # noqa: RUF012  # the contract says ClassVar
        "state": 32,
        "hidden": 32,
        "warm_up_epochs": 2,
        "critic_hidden": 32,
        "critic_head_start": 2,
        "iterations": 3,
        "batch": 16,
    }


@pytest.mark.slow
class TestMatganPaper(FormulaGeneratorContract):
    plugin = "matgan-paper"
    options = {"iterations": 3, "batch": 16}  # noqa: RUF012  # same


CONTRACTS = (TestMatgan, TestMatganPaper)


@pytest.fixture(scope="module", autouse=True)
def few_are_measured() -> Iterator[None]:
    """Metrics of fewer samples than a user gets: the published network makes a thousand in a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary, "N_MEASURED", 200)
        yield


def test_each_has_its_contract(has_all: Callable[[str, Iterable[object]], None]) -> None:
    has_all("agd.formula_generators", CONTRACTS)


@pytest.fixture(scope="module", params=CONTRACTS, ids=lambda contract: contract.plugin)
def contract(request: pytest.FixtureRequest) -> type[FormulaGeneratorContract]:
    chosen: type[FormulaGeneratorContract] = request.param
    return chosen


def test_the_rows_it_trains_on_matter(contract: type[FormulaGeneratorContract]) -> None:
    trained = contract.trained()
    counts = trained.table.counts
    other = trained.plugin.fit(TrainingTable(counts, None, np.arange(len(counts)) % 2 == 0), trained.options, seed=SEED)
    assert any(trained.fitted.tensors[name].tobytes() != tensor.tobytes() for name, tensor in other.tensors.items())


def test_progress_has_notes_and_one_total(contract: type[FormulaGeneratorContract]) -> None:
    trained, told = contract.trained(), Told()
    trained.plugin.fit(trained.table, trained.options, seed=SEED, progress=told)
    assert len({total for _, total, _ in told.reports}) == 1
    assert all(note for _, _, note in told.reports)


@pytest.mark.parametrize(
    ("formula", "culprit"),
    [("RnF2", "Rn1 F2|F2 Rn1"), ("KrF2", "Kr1"), ("Na9Cl", "Na9"), ("Na", "Na1"), ("LiNaKRbCsMgCaSrF", "Li1")],
)
def test_a_row_outside_the_vocabulary_is_refused_by_its_atoms(
    contract: type[FormulaGeneratorContract], formula: str, culprit: str
) -> None:
    plugin = contract.plugin_class()
    counts = np.concatenate([parse_formula("NaCl"), parse_formula(formula)])
    assert_array_equal(plugin.is_representable(counts), [True, False])
    with pytest.raises(InputError, match=f"row 1 .*({culprit})"):
        plugin.fit(TrainingTable(counts, None, np.zeros(2, np.bool_)), contract.chosen(), seed=SEED)


def test_damaged_tensors_are_named(
    contract: type[FormulaGeneratorContract], names_damage: Callable[[type[ModelContract]], None]
) -> None:
    names_damage(contract)


def test_other_options_are_refused(contract: type[FormulaGeneratorContract]) -> None:
    class Others(Options):
        pass

    trained = contract.trained()
    with pytest.raises(InputError, match="Others"):
        trained.plugin.fit(trained.table, Others(), seed=SEED)
    with pytest.raises(InputError, match="Others"):
        trained.plugin.load(trained.fitted.tensors, Others())
