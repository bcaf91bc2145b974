"""What all oracles of structures must do."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from agd.errors import InputError
from agd.testing import StructureOracleContract
from agd.testing.crystals import rock_salt


class TestGatgnn(StructureOracleContract):
    plugin = "gatgnn"
    options: ClassVar[Mapping[str, Any]] = {"epochs": 30, "batch": 16, "n_node": 16, "n_heads": 2, "n_layers": 2}
    brief: ClassVar[Mapping[str, Any]] = {"epochs": 4}


def test_each_has_a_contract(has_all: Callable[[str, Iterable[object]], None]) -> None:
    has_all("agd.structure_oracles", [TestGatgnn])


def test_it_learns_what_the_elements_do_not_tell() -> None:
    trained = TestGatgnn.trained()
    assert trained.fitted.metrics["validation_mae"] < 0.5
    salts = [rock_salt("Na", "Cl", a) for a in (5.2, 6.4)]
    values = trained.model.label(salts).values
    assert values[1] > values[0]
    assert np.ptp(trained.model.label(salts).uncertainties) == 0


def test_an_element_without_structures_is_refused() -> None:
    with pytest.raises(InputError, match="no structure with Lr, No"):
        TestGatgnn.trained().model.label([rock_salt("Lr", "No", 6.0)])
