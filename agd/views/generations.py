"""Generations, stored or to be expected."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation with its generator, its size, and the number left at each stage, in order."""

    generation: str
    generator: str
    generator_sha256: str
    seed: int
    first_sample: int
    n_samples: int
    generated_at: datetime
    duration: timedelta
    agd_version: str
    host: str
    dataset_id: int
    model_version_id: int
    activity_id: int
    options: Mapping[str, Any]
    recipe_sha256: str
    n_rejected: int
    n_compositions: int
    stages: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FoundGeneration(Generation):
    """A generation that was in the record before."""

    was_there: bool
    dry_run: bool
    seconds: float | None


@dataclass(frozen=True, slots=True)
class NewGeneration(FoundGeneration):
    """A generation that was just stored."""

    n_new_compositions: int


@dataclass(frozen=True, slots=True)
class ExpectedGeneration:
    """What a generation would be, judged by its first samples."""

    generation: str
    generator: str
    generator_sha256: str
    model_version_id: int
    seed: int
    first_sample: int
    n_samples: int
    options: Mapping[str, Any]
    stages: Mapping[str, int]
    n_compositions: int
    n_probed: int
    estimate_s: float
    was_there: bool
    dry_run: bool
    seconds: float | None
