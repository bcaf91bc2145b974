"""Model versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A model version with what was measured of it, its training set's size, and the model whose answers it takes."""

    id: int
    kind: str
    plugin: str
    architecture_version: int
    options: Mapping[str, Any]
    seed: int
    metrics: Mapping[str, float]
    tensors_sha256: str
    training_set_id: int
    threads: int | None
    n_members: int
    n_bytes: int
    input_model_version_id: int | None


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model that was trained by hand, was there before, or with `model_version_id` None is still to be trained."""

    kind: str
    plugin: str
    property: str | None
    options: Mapping[str, Any]
    seed: int
    threads: int
    recipe_sha256: str
    n_initial: int
    n_learned: int
    last_iteration: int | None
    n_held_out: int
    was_there: bool
    model_version_id: int | None
    tensors_sha256: str | None
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TrainedStructureModel:
    """A model of structures: its training set, by which method and scheme its labels are, and what was measured of it.

    It was trained, was there before, or with `model_version_id` None is still to be trained: `stopped_at` says how far
    it came where its minutes were over.
    """

    kind: str
    plugin: str
    property: str
    options: Mapping[str, Any]
    seed: int
    threads: int
    recipe_sha256: str
    datasets: Sequence[str]
    learned_method: str
    correction_scheme: str
    max_atoms: int
    n_structures: int
    n_formulas: int
    n_held_out: int
    n_validation: int
    was_there: bool
    stopped_at: str | None
    model_version_id: int | None
    tensors_sha256: str | None
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a model answers for a formula, and how far from what it learned from that lies.

    `distance` is to the nearest composition it learned from, in standard deviations of Magpie descriptors;
    `share_nearer` of those lie nearer to their own nearest.
    """

    formula: str
    property: str
    value: float
    uncertainty: float
    unit: str
    is_learned_from: bool
    distance: float
    share_nearer: float
    model_version_id: int
