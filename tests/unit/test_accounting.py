import pytest

from agd.accounting import ASKED, CHARGED, end_of_search


def test_a_duplicate_is_charged_and_not_asked_for() -> None:
    assert ASKED["default"] == {"new"}
    assert ASKED["paper"] == {"new", "known"} < CHARGED["paper"]


@pytest.mark.parametrize(
    ("n_calls", "n_barren", "why"),
    [(10, 9, "budget spent"), (9, 5, "stalled"), (9, 4, None), (11, 0, "budget spent"), (0, 0, None)],
)
def test_a_search_ends_with_its_budget_or_when_nothing_new_comes(n_calls: int, n_barren: int, why: str | None) -> None:
    assert end_of_search(n_calls, n_barren, budget_calls=10, stall_after=5) == why
