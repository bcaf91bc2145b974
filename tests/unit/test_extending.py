"""How many calls a campaign is to have, as somebody writes it."""

import pytest

from agd.errors import InputError
from agd.steps.campaign.extending import MAX_CALLS, Calls


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        ("+200", Calls(200, is_more=True)),
        ("1200", Calls(1200, is_more=False)),
        (" +1 ", Calls(1, is_more=True)),
        (f"{MAX_CALLS}", Calls(MAX_CALLS, is_more=False)),
    ],
)
def test_a_total_or_so_many_more(words: str, calls: Calls) -> None:
    assert Calls.of(words) == calls


@pytest.mark.parametrize(
    "words", ["", "+", "+x", "-5", "+-5", "++5", "0", "+0", "1.5", "1e3", "1_000", "٣", str(10**30), f"{MAX_CALLS + 1}"]
)
def test_anything_else_is_refused_in_one_short_line(words: str) -> None:
    with pytest.raises(
        InputError, match=r"^--oracle-calls '.*': give how many more, as in \+200, or .*1200"
    ) as refusal:
        Calls.of(words)
    assert len(str(refusal.value)) < 150
