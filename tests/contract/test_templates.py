"""What all templates must do."""

from collections.abc import Callable, Iterable

from agd.testing import TemplatesContract


class TestSubstitution(TemplatesContract):
    plugin = "substitution"


class TestPaper(TemplatesContract):
    plugin = "paper"


def test_each_has_a_contract(has_all: Callable[[str, Iterable[object]], None]) -> None:
    has_all("agd.templates", (TestSubstitution, TestPaper))
