"""What all templates must do."""

from collections.abc import Callable, Iterable

from agd.testing import TemplatesContract


class TestSubstitution(TemplatesContract):
    plugin = "substitution"


class TestOrdering(TemplatesContract):
    plugin = "ordering"
    formulas = ("NaKBr2", "BaTiSO2", "SrTiO3", "Ba2CaTi3O9")


class TestPaper(TemplatesContract):
    plugin = "paper"


def test_each_has_a_contract(has_all: Callable[[str, Iterable[object]], None]) -> None:
    has_all("agd.templates", (TestSubstitution, TestOrdering, TestPaper))
