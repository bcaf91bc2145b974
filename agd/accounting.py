"""What a campaign is charged for, what its oracle is asked about, and when its search ends."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

LABELLED: Final = frozenset({"new", "known", "duplicate"})
"""Outcomes of suggestions that take a label; whatever else became of one, it has none."""

CHARGED: Final[Mapping[str, frozenset[str]]] = MappingProxyType({"default": frozenset({"new"}), "paper": LABELLED})
"""Outcomes by mode that cost a call once there is a label, retracted later or not; `v_suggestion` says it in SQL."""

ASKED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {mode: outcomes - {"duplicate"} for mode, outcomes in CHARGED.items()}
)
"""Those of them that the oracle is asked about: a duplicate has the label that the first one got."""

BUDGET_SPENT: Final = "budget spent"
STALLED: Final = "stalled"


def end_of_search(n_calls: int, n_barren_iterations: int, *, budget_calls: int, stall_after: int) -> str | None:
    """Why a campaign ends with an iteration, None where it goes on.

    `n_barren_iterations` have gone by since the last one that asked for a new composition and did not give it up.
    """
    if n_calls >= budget_calls:
        return BUDGET_SPENT
    return STALLED if n_barren_iterations >= stall_after else None
