"""A step of a campaign in three parts, so that what is computed can be computed where no record is in reach."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agd.db.connection import Transaction
from agd.protocols import Progress
from agd.work.workspace import Campaign, Shelf, Step


@dataclass(frozen=True, slots=True)
class Work:
    """Read, compute with nothing open, write in the transaction that ends the step's activity.

    `inputs` and `outputs` are the types that go from part to part: frozen dataclasses of arrays and plain values. A
    seed is what the step's activity row keeps.
    """

    inputs: type[Any]
    outputs: type[Any]
    read: Callable[[Transaction, Campaign, Step], Any]
    compute: Callable[[Shelf, Campaign, Step, Any, Progress], Any]
    write: Callable[[Transaction, Campaign, Step, int, Any, Any], None]
    seed: Callable[[Campaign, Step], int | None] = lambda _campaign, _step: None
