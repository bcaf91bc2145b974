"""Labels, and what rests on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Label:
    """A label with its source: v_label."""

    label_id: int
    reduced_formula: str
    property: str
    value: float
    unit: str
    uncertainty: float | None
    source_kind: str
    source: str
    source_sha256: str | None
    source_line: int | None
    source_formula: str | None
    measured_on: date | None
    replicate: int | None
    note: str | None
    is_retracted: bool
    retraction_reason: str | None
    retracted_at: datetime | None
    activity: str
    started_at: datetime
    agd_version: str
    host: str
    composition_id: int
    dataset_id: int | None
    model_version_id: int | None
    measurement_id: int | None
    activity_id: int
    method: str
    method_kind: str
    fidelity: int


@dataclass(frozen=True, slots=True)
class RestingCampaign:
    """A campaign that used a label."""

    campaign: str
    n_suggested: int
    first_iteration: int | None
    is_charged: bool | None
    is_find: bool | None
    is_initial: bool


@dataclass(frozen=True, slots=True)
class RestingModel:
    """A model version that learned from a label, or was measured by it, and what that gave."""

    model_version_id: int
    kind: str
    plugin: str
    tensors_sha256: str
    is_held_out: bool
    campaigns: Sequence[str]
    n_answers: int
    n_screenings: int
    n_hits: int
    evaluated_on: Sequence[str]


@dataclass(frozen=True, slots=True)
class RestingEvaluation:
    """A model version that was judged on a data set with a label."""

    model_version_id: int
    kind: str
    plugin: str
    dataset: str


@dataclass(frozen=True, slots=True)
class Resting:
    """A label and what was made with it."""

    label: Label
    campaigns: Sequence[RestingCampaign]
    models: Sequence[RestingModel]
    evaluations: Sequence[RestingEvaluation]
