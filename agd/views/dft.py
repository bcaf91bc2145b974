"""Calculations by first principles: what they will take, what came of them, and what failed."""

from collections.abc import Sequence
from dataclasses import dataclass

from agd.views.calculations import Calculation


@dataclass(frozen=True, slots=True)
class DftPreview:
    """A calculation before it is done: its size, and core-hours by what the record has of others; None without any.

    k-points are those that symmetry leaves, of each spin.
    """

    reduced_formula: str
    structure_id: int
    space_group: int
    n_atoms: int
    n_k_points: int
    core_hours: float | None
    is_done: bool


@dataclass(frozen=True, slots=True)
class DftDone:
    """A calculation with what came of it; `was_there` says that nothing was computed for it now.

    Gaps are in eV, the places of edges in reciprocal vectors; `relaxed_id` is the structure that it became.
    """

    calculation: Calculation
    gap_ev: float | None
    direct_gap_ev: float | None
    valence_k: Sequence[float] | None
    conduction_k: Sequence[float] | None
    relaxed_id: int | None
    claim: str | None
    was_there: bool


@dataclass(frozen=True, slots=True)
class FailureRate:
    """What failed of attempts at calculations, by a class, an element, a machine, an engine or a kind."""

    what: str
    n_attempts: int
    n_failed: int
    core_seconds: float | None
    last_error: str | None
