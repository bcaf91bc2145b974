"""What every autoencoder must do, and what those of agd do besides."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from agd.chem.formula import parse_formula
from agd.testing import AutoencoderContract
from agd.testing.models import SEED, ModelContract, Told


class TestSet(AutoencoderContract):
    plugin = "set"
    options = {"epochs": 3, "min_rows": 4000, "hidden": 64, "batch": 64}  # noqa: RUF012  # the contract says ClassVar
    brief = {"epochs": 1, "min_rows": 1}  # noqa: RUF012  # same


@pytest.mark.slow
class TestPaper(AutoencoderContract):
    plugin = "paper"
    options = {  # noqa: RUF012  # same
        "epochs": 40,
        "max_count": 8,
        "filters_outer": 16,
        "filters_inner": 32,
        "n_latent": 32,
        "batch": 4,
        "learning_rate": 2e-3,
    }
    brief = {"epochs": 1}  # noqa: RUF012  # same


class TestPaperDense(AutoencoderContract):
    plugin = "paper-dense"
    options = {"epochs": 3, "min_rows": 4000, "hidden_outer": 128, "hidden_inner": 64, "batch": 64}  # noqa: RUF012  # same
    brief = {"epochs": 1, "min_rows": 1}  # noqa: RUF012  # same


CONTRACTS = (TestSet, TestPaper, TestPaperDense)


def test_each_has_its_contract(has_all: Callable[[str, Iterable[object]], None]) -> None:
    has_all("agd.generators", CONTRACTS)


@pytest.fixture(scope="module", params=CONTRACTS, ids=lambda contract: contract.plugin)
def contract(request: pytest.FixtureRequest) -> type[AutoencoderContract]:
    chosen: type[AutoencoderContract] = request.param
    return chosen


def test_counts_are_kept_as_given(contract: type[AutoencoderContract]) -> None:
    latents = contract.trained().model.encode(np.concatenate([parse_formula("Sr2O2"), parse_formula("SrO")]))
    assert (latents[0] != latents[1]).any()


def test_progress_has_notes(contract: type[AutoencoderContract]) -> None:
    trained, told = contract.trained(), Told()
    trained.plugin.fit(trained.table, contract.chosen(**contract.brief), seed=SEED, progress=told)
    assert all(note for _, _, note in told.reports)


def test_damaged_tensors_are_named(
    contract: type[AutoencoderContract], names_damage: Callable[[type[ModelContract]], None]
) -> None:
    names_damage(contract)
