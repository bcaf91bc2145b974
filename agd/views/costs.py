"""What campaigns took."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KindCost:
    """What a campaign took for one kind of work; attempts that failed or were lost are among them.

    Core-hours are asked for: cores times the clock; counted: what processors said, of calculations alone; spent: the
    latter where there is one, else the former. `memory_bytes` is the most that an attempt held.
    """

    kind: str
    n_attempts: int
    n_failed: int
    wall_hours: float
    asked_core_hours: float
    counted_core_hours: float | None
    spent_core_hours: float
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class CampaignCost:
    """What a campaign took and found for it; a verified find is one that a calculation or measurement says again.

    Costs of one are in core-hours spent, None where there is none.
    """

    campaign: str
    twin_of: str | None
    n_calls: int
    n_finds: int
    n_verified: int
    wall_hours: float
    asked_core_hours: float
    spent_core_hours: float
    core_hours_per_call: float | None
    core_hours_per_find: float | None
    core_hours_per_verified: float | None
    kinds: Sequence[KindCost]
