"""Frozen values that cross rooms: numpy arrays with their shapes and units said once, here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Counts: TypeAlias = NDArray[np.int32]
"""Whole numbers of atoms, `[n, 103]`: one row per composition, column Z - 1 for the element of atomic number Z."""

Floats: TypeAlias = NDArray[np.float64]
Latents: TypeAlias = NDArray[np.float32]
"""Latent vectors, `[n, n_latent]`, float32 because that is what a row holds."""

Tensors: TypeAlias = Mapping[str, NDArray[np.generic]]
"""A model's parameters by name; never an object array."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingTable:
    """What a model is fitted on.

    `counts` is `[n, 103]`; `values` is `[n]` in the property's unit, or None for a model of compositions alone;
    `is_held_out` is `[n]`: rows that no parameter may see and on which the metrics are measured. `is_validation` is
    `[n]`, None where the model may draw its own: rows among the others on which it chooses when to stop. `answers` is
    `[n]`, None where there is none: what another model answers for each row.
    """

    counts: Counts
    values: Floats | None
    is_held_out: NDArray[np.bool_]
    is_validation: NDArray[np.bool_] | None = None
    answers: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """The outcome of a fit: parameters and what was measured on the held-out rows."""

    tensors: Tensors
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Compositions read from latent vectors.

    `counts` is `[n, 103]`, as generated, not reduced; a row that could not be decoded is all zero and has its reason
    in `failures` (row index -> reason).
    """

    counts: Counts
    failures: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Property values and their one-sigma uncertainties, both `[n]`, in the property's unit."""

    values: Floats
    uncertainties: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Sought:
    """A property that is sought: values `[n]` in its unit, NaN where none is known, and the bounds of its target."""

    values: Floats
    low: float | None
    high: float | None

    @property
    def is_window(self) -> bool:
        """Whether both sides are bounded."""
        return self.low is not None and self.high is not None

    def of(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "Sought":
        """The same of some points."""
        return Sought(self.values[rows], self.low, self.high)

    def holds(self) -> NDArray[np.bool_]:
        """Which values `[n]` are known and within the bounds."""
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        return np.asarray((self.values >= low) & (self.values <= high))


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Everything a sampler may know, in the order (initial rows by formula, then iteration, rank).

    `latents` is `[n, n_latent]`; `objectives` is `[n]`, larger is better, NaN for a point that was proposed but has no
    label (undecodable, rejected); `bounds` is `[n_latent, 2]`, the box of the initial rows. For a sampler whose space
    are formulas `n_latent` is 0.

    `read` tells what latent points `[n, n_latent]` stand for: a reduced formula, or None where a suggestion there would
    be undecodable or rejected. `seen` are the formulas that the campaign knows already. `counts` is `[n, 103]`, what
    each point decoded to, reduced, a zero row where it could not be; the first `n_initial` rows are the initial ones.

    `undecodable_objective` is None in the ordinary loop. In the published one (arXiv 2103.00608) it is what the
    sampler's own history holds for a point that cannot be decoded; a batch then goes on until n points could be
    decoded, learns at once of those that could not, only at its end of those that could, and may repeat itself.

    `candidates` is `[k, 103]`, None for a sampler that draws from no pool: random rows of the campaign's pool, in the
    order in which they were drawn; as many as a batch needs are new, unless the pool has fewer left. One whose options
    are `CandidateOptions` has so many of them, whether seen or not.

    `admits` tells which reduced compositions `[m, 103]` the campaign's filter lets through. `reference` is `[r, 103]`,
    the compositions that the campaign takes for known, in one order; None where it knows of no dataset of them.

    `sought` are the campaign's properties, in order; the objectives are those of the first. Only a sampler that
    `takes_several_properties` is given more than one.

    `weights` is `[n]`, how much each label weighs, None where all weigh the same.
    """

    latents: Floats
    objectives: Floats
    bounds: Floats
    read: Callable[[Floats], Sequence[str | None]] | None = None
    seen: frozenset[str] = frozenset()
    counts: Counts | None = None
    n_initial: int = 0
    undecodable_objective: float | None = None
    candidates: Counts | None = None
    admits: Callable[[Counts], NDArray[np.bool_]] | None = None
    reference: Counts | None = None
    sought: Sequence[Sought] = ()
    weights: Floats | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    """What a suggested composition was made from, by its reduced formula, and how: `Cl -> F by Pettifor swap`."""

    reduced_formula: str
    operator: str


@dataclass(frozen=True, slots=True, eq=False)
class Relaxed:
    """What a potential made of a structure: where it ended after `n_steps`, and why that is not to be trusted, if so.

    `reason` is None where forces and stress came below the threshold and every guard held; energy and force are then
    finite. `max_force_ev_per_angstrom` is the largest that is left, of atoms and cell; `volume_ratio` is after to
    before.
    """

    structure: "Structure"
    energy_ev_per_atom: float
    max_force_ev_per_angstrom: float
    volume_ratio: float
    n_steps: int
    reason: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TemplateProposal:
    """A structure made of a template: which row of the library that was, and what stands for each of its elements.

    `mapping` is from an element of the template to those of the candidate that take its sites, one unless they are
    split among several. `distance` is that of the two formulas, smaller is more alike.
    """

    structure: "Structure"
    row: int
    mapping: Mapping[str, tuple[str, ...]]
    distance: float


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """What a sampler suggests, best first: latent points, or compositions, never both.

    `latents` is `[n, n_latent]` or None; `counts` is `[n, 103]` or None. Posterior mean, standard deviation and
    acquisition value are `[n]`, in units of the objective, NaN where the sampler has none. `parents` are those of each
    composition, of all or, where nothing is made from anything, of none. `expected` is what is believed of a sought
    property, by its number among them from 1 on, in its unit: of a further one, and of a first one where the target is
    a window, of which the objective tells a distance.
    """

    posterior_mean: Floats
    posterior_sd: Floats
    acquisition: Floats
    latents: Floats | None = None
    counts: Counts | None = None
    parents: Sequence[Sequence[Parent]] = ()
    expected: Mapping[int, Prediction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a proposal that is both or neither, and parents of some."""
        if (self.latents is None) == (self.counts is None):
            msg = "a proposal carries either latent points or compositions"
            raise ValueError(msg)
        if len(self.parents) not in {0, 0 if self.counts is None else len(self.counts)}:
            msg = "a proposal carries parents of each composition, or of none"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """A crystal: `lattice` is `[3, 3]`, its vectors in Å as rows; `species` are `[n]` symbols of elements, one a site.

    `frac` is `[n, 3]`, where the sites are, in fractions of the lattice vectors.
    """

    lattice: Floats
    species: tuple[str, ...]
    frac: Floats

    def __post_init__(self) -> None:
        """Refuse arrays of another shape."""
        if self.lattice.shape != (3, 3) or self.frac.shape != (len(self.species), 3):
            msg = f"a structure is [3, 3] and [n, 3] with n species, not {self.lattice.shape} and {self.frac.shape}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, eq=False)
class StructureTable:
    """What a model of structures is fitted on: `values` `[n]` in the property's unit.

    `is_held_out` and `is_validation` are `[n]`: rows that no parameter may see and on which the metrics are measured,
    and rows by which it chooses when to stop. All structures of one formula are of one kind.
    """

    structures: Sequence[Structure]
    values: Floats
    is_held_out: NDArray[np.bool_]
    is_validation: NDArray[np.bool_]
