"""Screenings and what they picked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agd.views.models import TrainedModel


@dataclass(frozen=True, slots=True)
class Screening:
    """A screening with its pool, its screener and its size; `campaign` is None where a model was asked by itself."""

    screening_id: int
    campaign: str | None
    role: str
    pool: str
    pool_sha256: str
    dataset: str | None
    criteria: Mapping[str, Any]
    recipe_sha256: str
    property: str
    unit: str
    model_version_id: int
    screener: str
    screener_sha256: str
    metrics: Mapping[str, float]
    n_members: int
    started_at: datetime
    duration: timedelta
    agd_version: str
    host: str
    n_read: int
    n_hits: int


@dataclass(frozen=True, slots=True)
class Hit:
    """What a screening picked: a prediction, no label. `other_rank` is its rank by the other screener."""

    rank: int
    reduced_formula: str
    value: float
    uncertainty: float
    line: int
    formula: str
    other_rank: int | None


@dataclass(frozen=True, slots=True)
class ScreeningWithHits(Screening):
    """A screening with the number left at each stage, in order, and its best hits."""

    stages: Mapping[str, int]
    top: Sequence[Hit]


@dataclass(frozen=True, slots=True)
class Screened:
    """What a pool came to by the screener of each role; nothing was read where all was there before.

    `unasked` are targets of the campaign that no screener was asked about.
    """

    campaign: str | None
    pool: str
    pool_sha256: str
    criteria: Mapping[str, Any]
    property: str
    unit: str
    unasked: Sequence[str]
    screeners: Mapping[str, TrainedModel]
    was_there: Mapping[str, bool]
    screenings: Sequence[ScreeningWithHits]
    n_shared: int | None
    n_read: int
    seconds: float | None
    formulas_per_s: float | None
    dry_run: bool


@dataclass(frozen=True, slots=True)
class ListedHit:
    """A hit in a long table: v_screening_hit, a prediction and no label."""

    rank: int
    reduced_formula: str
    value: float
    unit: str
    uncertainty: float
    pool_line: int
    pool_formula: str
    composition_id: int
