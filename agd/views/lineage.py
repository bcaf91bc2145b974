"""Everything that led to a composition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agd.views.calculations import Calculation, Elasticity, Phonons
from agd.views.campaigns import Suggested
from agd.views.labels import Label
from agd.views.structures import Claim, DistanceFromHull, StructureCandidate


@dataclass(frozen=True, slots=True)
class Composition:
    """A composition and the activity that first stored it."""

    id: int
    reduced_formula: str
    chemical_system: str
    anonymous_formula: str
    n_elements: int
    n_atoms: int
    activity_id: int
    made_by: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says of a composition; None where it cannot be applied."""

    rule: str
    rule_version: int
    is_charge_neutral: bool | None
    is_electronegativity_balanced: bool | None


@dataclass(frozen=True, slots=True)
class ListedIn:
    """A data set on the way to a composition, and the line that lists it, if one does."""

    name: str
    source: str
    source_sha256: str
    property: str | None
    n_read: int
    imported_at: datetime
    line: int | None
    formula: str | None
    is_generated: bool


@dataclass(frozen=True, slots=True)
class GeneratedAs:
    """The first sample of a composition in a generation, and how many there are."""

    generation: str
    sample: int
    generated_formula: str
    n_samples: int
    generator: str
    generator_sha256: str
    model_version_id: int
    seed: int
    generated_at: datetime
    agd_version: str
    host: str
    dataset_id: int


@dataclass(frozen=True, slots=True)
class ModelOnTheWay:
    """A model version on the way to a composition; `is_held_out` is None where that is not in its training set."""

    id: int
    kind: str
    plugin: str
    architecture_version: int
    options: Mapping[str, Any]
    seed: int
    metrics: Mapping[str, float]
    tensors_sha256: str
    started_at: datetime
    ended_at: datetime | None
    agd_version: str
    host: str
    n_members: int
    is_held_out: bool | None
    drawn_from: str | None


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """How many labels a screener learned from, and how many of them were retracted since."""

    initial: int
    by_iteration: Mapping[int, int]
    retracted_since: int


@dataclass(frozen=True, slots=True)
class PickedBy:
    """A hit of a screening: v_screening_hit, with its criteria and the generator of its pool, if one made it."""

    campaign: str | None
    role: str
    rank: int
    reduced_formula: str
    value: float
    unit: str
    uncertainty: float
    pool: str
    pool_line: int
    pool_formula: str
    pool_sha256: str
    screener: str
    screener_sha256: str
    screened_at: datetime
    agd_version: str
    host: str
    screening_id: int
    campaign_id: int | None
    model_version_id: int
    composition_id: int
    activity_id: int
    n_hits: int
    criteria: Mapping[str, Any]
    pool_generator: str | None
    pool_generator_sha256: str | None
    pool_seed: int | None
    trained_on: TrainedOn


@dataclass(frozen=True, slots=True)
class MadeFrom:
    """What a composition was made from, how, and in which iteration; `depth` 2 is the parent's parent."""

    depth: int
    reduced_formula: str
    operator: str
    iteration: int


@dataclass(frozen=True, slots=True)
class SuggestedKnowing(Suggested):
    """A suggestion with the labels by iteration (0: initial) that its sampler had learned from, and its descent."""

    learned_from: Mapping[int, int]
    made_from: Sequence[MadeFrom]


@dataclass(frozen=True, slots=True)
class Refusal:
    """That a filter refused a composition, and why: v_rejection; `n_refused` for that reason, where it was counted."""

    campaign: str | None
    iteration: int | None
    activity: str
    pool: str | None
    generation: str | None
    reason: str
    reduced_formula: str
    n_refused: int | None
    refused_at: datetime
    agd_version: str
    host: str
    activity_id: int
    campaign_id: int | None
    iteration_id: int | None

    @property
    def words(self) -> str:
        """Where, and why."""
        place = f"generation {self.generation}"
        if self.iteration is not None:
            place = f"iteration {self.iteration} of {self.campaign}"
        elif self.pool is not None:
            place = f"a screening of {self.pool}" + (f" for {self.campaign}" if self.campaign else "")
        return f"refused in {place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Lineage:
    """Everything that led to a composition; `query_ms` is the time spent in the database.

    `best_labels` are the numbers of those labels that are shown before others of the same property.
    """

    formula: str
    composition: Composition
    verdicts: Sequence[Verdict]
    initial_in: Sequence[str]
    datasets: Sequence[ListedIn]
    generations: Sequence[GeneratedAs]
    labels: Sequence[Label]
    screenings: Sequence[PickedBy]
    suggestions: Sequence[SuggestedKnowing]
    refusals: Sequence[Refusal]
    model_versions: Sequence[ModelOnTheWay]
    query_ms: float
    best_labels: Mapping[str, int]
    claim: Claim
    structures: Sequence[StructureCandidate]
    hull_distances: Sequence[DistanceFromHull]
    calculations: Sequence[Calculation]
    phonons: Sequence[Phonons]
    elasticity: Sequence[Elasticity]
