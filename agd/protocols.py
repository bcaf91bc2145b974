"""What a plug-in is: a shape, an entry point and a contract (`agd.testing`).

A plug-in is a class. Its instance is a strategy without memory: everything it needs comes in as an argument, so that a
resumed campaign repeats it exactly. Entry-point groups: `agd.generators`, `agd.formula_generators`, `agd.oracles`,
`agd.samplers`, `agd.templates`, `agd.potentials`, `agd.structure_oracles`, `agd.dft_engines`; and `agd.engines`, whose
protocol stands in `agd/engines.py`, for it speaks of campaigns.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from agd.progress import Progress, silent
from agd.recipes import Calculated, Launch, Recipe
from agd.types import (
    Counts,
    Decoded,
    FittedModel,
    Floats,
    History,
    Latents,
    Prediction,
    Proposals,
    Relaxed,
    Structure,
    StructureTable,
    TemplateProposal,
    Tensors,
    TrainingTable,
)


class Options(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Hyper-parameters of a plug-in: every field has a default and a description; unknown keys are refused."""


class CandidateOptions(Options):
    """Options of a sampler that weighs more rows of its pool than a batch needs.

    Where `pool_is_generated`, its pool has to be a generation.
    """

    pool_is_generated: ClassVar[bool] = False

    n_candidates: int = Field(
        50_000,
        ge=1,
        le=1_000_000,
        description="Rows of the pool that are weighed in each iteration: all, or random ones.",
    )


Space: TypeAlias = Literal["latent", "formula"]
"""Where a sampler searches: among the points of an autoencoder's latent space, or among compositions themselves."""


class Model(Protocol):
    """What is fitted to a table and rebuilt from its tensors."""

    options_type: ClassVar[type[Options]]
    architecture_version: ClassVar[int]

    @classmethod
    def fit(cls, table: TrainingTable, options: Options, *, seed: int, progress: Progress = silent) -> FittedModel:
        """Train on the rows that are not held out; measure on those that are."""

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild a fitted model; raises ModelError where tensors and architecture disagree."""


@runtime_checkable
class Generator(Model, Protocol):
    """Turns compositions into latent vectors and back (an autoencoder)."""

    @classmethod
    def is_representable(cls, counts: Counts, options: Options) -> NDArray[np.bool_]:
        """Which rows `[n]` of the table `[n, 103]` a model of these options encodes, and can learn from.

        It is asked before any model is fitted: which elements and counts there are is the plug-in's to say.
        """

    @property
    def n_latent(self) -> int:
        """Length of a latent vector."""

    def encode(self, counts: Counts) -> Latents:
        """`[n, 103]` counts to `[n, n_latent]`; a row outside the vocabulary raises InputError naming it."""

    def decode(self, latents: Latents) -> Decoded:
        """`[n, n_latent]` to compositions; each row independent of the others in the batch."""


@runtime_checkable
class FormulaGenerator(Model, Protocol):
    """Makes compositions from noise; held-out rows are never seen and serve the metrics."""

    @classmethod
    def is_representable(cls, counts: Counts) -> NDArray[np.bool_]:
        """Which rows `[n]` of the table it can learn from: their elements and counts are within its vocabulary."""

    def sample(self, start: int, n: int, *, seed: int) -> Counts:
        """Samples number `start` to `start + n - 1` of the stream `seed`: counts `[n, 103]` as generated, not reduced.

        A row is all zero where the decode rule finds no formula. Each sample depends on its number and the seed alone,
        however the stream is cut.
        """


@runtime_checkable
class Oracle(Model, Protocol):
    """Answers a property for a composition, with an uncertainty."""

    def label(self, counts: Counts) -> Prediction:
        """`[n, 103]` counts to values `[n]`; each row independent of the others in the batch."""


@runtime_checkable
class ToldOracle(Oracle, Protocol):
    """An oracle that may be told what another model answers: `takes_answers`, a value of the class, is True.

    Its table has such answers, or none; where it was fitted with them it answers by `label_told` alone.
    """

    takes_answers: ClassVar[bool]

    def label_told(self, counts: Counts, answers: Floats) -> Prediction:
        """`[n, 103]` counts and the other model's answers `[n]` to values `[n]`, each row by itself."""


@runtime_checkable
class Sampler(Protocol):
    """Proposes what to label next: a pure function of history and seed.

    One that `draws_from_pool` is given the candidates of a history, and no other is. One whose `space` are formulas
    proposes compositions and needs no autoencoder: where none is trained, a history has no latents. One that
    `takes_several_properties` minds those that a history holds besides the objectives, or learns nothing from labels.
    """

    options_type: ClassVar[type[Options]]
    space: ClassVar[Space]
    draws_from_pool: ClassVar[bool]
    takes_several_properties: ClassVar[bool]

    def __init__(self, options: Options) -> None:
        """Keep the hyper-parameters."""

    def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
        """Propose `n` distinct points inside the bounds, best first."""


class TemplateLibrary(Protocol):
    """Known structures, to take templates from; a structure is read when it is asked for.

    They stand in an order that does not depend on how they came in: of equals, the first are taken.
    """

    @property
    def counts(self) -> Counts:
        """Their reduced compositions `[m, 103]`."""

    @property
    def e_form_ev_per_atom(self) -> Floats:
        """Their formation energies `[m]`, NaN where none is known; those of one formula are of one method."""

    def structures(self, rows: Sequence[int]) -> Sequence[Structure]:
        """The structures of some rows, in that order."""


@runtime_checkable
class Templates(Protocol):
    """Proposes structures for a composition by what is known of others: a pure function, without chance.

    `version` says which of its rules it is, and goes on when they change.
    """

    options_type: ClassVar[type[Options]]
    version: ClassVar[str]

    def __init__(self, options: Options) -> None:
        """Keep the options."""

    def propose(self, counts: Counts, library: TemplateLibrary, n: int) -> Sequence[TemplateProposal]:
        """At most `n` structures for a composition `[103]`, best first; none where nothing known is an analogue."""


@runtime_checkable
class Potential(Protocol):
    """An interatomic potential: energies of structures, and where they relax to; the same bits for the same start.

    It is loaded by the first call that needs it, once in a process, and takes as many threads as are held.
    """

    options_type: ClassVar[type[Options]]
    version: str
    """The model and the package that brought it, with their versions."""
    weights_sha256: str
    """The hash of its weights."""

    def __init__(self, options: Options) -> None:
        """Keep the options: where a relaxation stops, and what is refused."""

    def relax(self, start: Structure, *, checkpoint: Path | None = None, progress: Progress = silent) -> Relaxed:
        """Relax cell and sites. What fails by the structure's fault, as one that flies apart, has its reason told.

        Each step leaves `checkpoint` behind, whole or not at all: all that it takes to go on to the same bits. Where
        the file is there already, the relaxation goes on from it.
        """

    def energy(self, structure: Structure) -> float:
        """The potential's own energy in eV/atom; raises InputError for an element that it does not know."""

    def forces(self, structure: Structure) -> Floats:
        """Forces `[n, 3]` on the sites in eV/Å; raises as `energy`."""

    def stress(self, structure: Structure) -> Floats:
        """The stress `[6]` in GPa, tension positive: xx, yy, zz, yz, xz, xy; raises as `energy`."""


@runtime_checkable
class StructureOracle(Protocol):
    """Answers a property for a structure, with an uncertainty."""

    options_type: ClassVar[type[Options]]
    architecture_version: ClassVar[int]

    @classmethod
    def fit(
        cls,
        table: StructureTable,
        options: Options,
        *,
        seed: int,
        checkpoint: Path | None = None,
        progress: Progress = silent,
    ) -> FittedModel:
        """Train on the rows that are not held out; measure on those that are.

        It may leave `checkpoint` behind, whole or not at all: all that it takes to go on to the same bits. Where the
        file is there already, of the same table, options and seed, the training goes on from it.
        """

    @classmethod
    def load(cls, tensors: Tensors, options: Options) -> Self:
        """Rebuild a fitted model; raises ModelError where tensors and architecture disagree."""

    def label(self, structures: Sequence[Structure]) -> Prediction:
        """Values `[n]` of structures, each independent of the others; raises InputError for one it knows nothing of."""


@runtime_checkable
class DftEngine(Protocol):
    """A program that computes from first principles, known by the files of a folder; it knows nothing of the record.

    Its options are the inputs of its recipes. What is in a folder is all there is: whoever comes later, on another
    machine, reads it and goes on. `read` and `mend` may be called whatever befell the program.
    """

    options_type: ClassVar[type[Options]]
    method: ClassVar[str]
    """The method that its energies are of: those of two methods never stand on one hull."""
    version: str
    """The program and its potentials, with their versions; raises NotFoundError where it is not installed."""

    def __init__(self, options: Options) -> None:
        """Keep the options, which become the inputs of recipes."""

    def recipe(self, kind: str) -> Recipe:
        """The recipe of a kind by these options: all that is needed to do it again.

        Raises:
            InputError: there is none of that kind.
        """

    def refusal(self, structure: Structure, recipe: Recipe) -> str | None:
        """Why this cannot be computed here, such as an element without a potential; None where it can."""

    def size(self, structure: Structure, recipe: Recipe) -> tuple[int, int]:
        """How many atoms and k-points that is, without running anything."""

    def write(self, structure: Structure, recipe: Recipe, folder: Path) -> None:
        """Write what the program needs into an empty folder, and nothing elsewhere.

        Raises:
            InputError: the structure is refused.
        """

    def command(self, launch: Launch) -> Sequence[str]:
        """What to run in the folder. Run again after it was cut off, it goes on from the last geometry.

        It ends when its standard input does, so that it outlives nobody; and two never work in one folder.
        """

    def read(self, folder: Path) -> Calculated:
        """What there is now, whole or not."""

    def mend(self, folder: Path, attempt: int) -> str | None:
        """Change what the program is told after its failure number `attempt`, from 1 on: what was changed, in words.

        None where nothing helps any more, and nothing was changed.
        """
