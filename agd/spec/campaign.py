"""The sections of a campaign's specification: what each key means and may be."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator, model_validator

from agd import registry
from agd.answerers import ANSWERERS, MODEL, Answerer
from agd.filters import FilterOptions
from agd.protocols import Options, Space
from agd.target import Target
from agd.types import Counts

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Names of campaigns and data sets: fit for a file, a shell and a URL."""

_Model = TypeVar("_Model", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def validated(model: type[_Model], values: Mapping[str, Any]) -> _Model:
    """Validate strictly, a TOML list counting as a tuple and a whole number as a float."""
    return model.model_validate_json(json.dumps(values, default=str), strict=True)


class BudgetSpec(_Section):
    """What may be spent."""

    oracle_calls: int = Field(
        default=1000, gt=0, lt=2**31, description="distinct compositions the oracle may be asked for"
    )
    suggestions_per_iteration: int = Field(default=20, gt=0, le=10_000)
    stall_after: int = Field(
        default=50, gt=0, lt=2**31, description="end after this many iterations without a new composition"
    )


class DataSpec(_Section):
    """The labels the campaign works with, and the compositions that count as known."""

    dataset: str = Field(min_length=1)
    known: tuple[str, ...] = Field(
        default=(), description="datasets whose compositions count as known, beside those of `dataset`"
    )


class InitialSpec(_Section):
    """The rows whose labels the campaign knows from the start: a file of formulas, or a random sample."""

    file: str | None = None
    formula_column: str = "composition"
    n: int | None = Field(default=None, gt=1)
    at_most: float | None = Field(
        default=None, description="sample only rows with a value up to this, in the property's unit"
    )
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _one_rule(self) -> "InitialSpec":
        if (self.file is None) == (self.n is None):
            raise ValueError("give either file (a list of formulas) or n (a random sample)")
        return self


class PluginSpec(BaseModel):
    """A plug-in by its kind; every further key is one of its options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str

    group: ClassVar[str]

    def options_type(self) -> type[Options]:
        """The plug-in's own options."""
        found: type[Options] = registry.load(self.group, self.kind).options_type
        return found

    def options(self) -> Options:
        """The options as given, validated by the plug-in."""
        return validated(self.options_type(), self.model_extra or {})


class AutoencoderSpec(PluginSpec):
    """The generator of compositions from latent vectors."""

    group: ClassVar[str] = "agd.generators"
    kind: str = "set"
    corpus: str | None = Field(
        default=None, description="dataset of formulas to train on; the campaign's own by default"
    )
    held_out: float = Field(default=0.2, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**63)

    def is_representable(self, counts: Counts) -> NDArray[np.bool_]:
        """Which rows `[n]` of the table `[n, 103]` lie within its vocabulary."""
        found: NDArray[np.bool_] = registry.load(self.group, self.kind).is_representable(counts, self.options())
        return found


DEFAULT_SAMPLER = "analogue"
"""Of the default mode, where a specification names none."""

PAPER_AUTOENCODER = "paper-dense"
"""The autoencoder of the published loop where none is named: its decode rule, in minutes instead of hours."""


class OracleSpec(PluginSpec):
    """Who answers: a model trained on a dataset, the dataset itself, or somebody outside."""

    group: ClassVar[str] = "agd.oracles"
    kind: str = "random_forest"
    dataset: str | None = Field(
        default=None, description="dataset to train on or to answer from; the campaign's own by default"
    )
    exclude_initial: bool = True
    formula_column: str = Field(default="composition", description="column of the formulas in those files")
    exclude: tuple[str, ...] = Field(default=(), description="files of formulas the oracle must not be trained on")
    held_out: float = Field(default=0.1, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    with_answers_of: str | None = Field(
        default=None,
        min_length=1,
        description="Model version whose answers the oracle is told: id, or the beginning of its file's hash.",
    )
    uses_known_labels: bool = Field(
        default=False,
        description="Whether a composition of the oracle's own dataset gets the label it has there; on in new"
        " specifications of the default mode.",
    )

    def options_type(self) -> type[Options]:
        """The plug-in's own options; who answers without a model has none."""
        return super().options_type() if self.answerer.is_model else Options

    @property
    def answerer(self) -> Answerer:
        """Who answers."""
        return ANSWERERS.get(self.kind, MODEL)


class SamplerSpec(PluginSpec):
    """Who suggests."""

    group: ClassVar[str] = "agd.samplers"
    kind: str = "ucb"
    pool: str | None = Field(
        default=None, min_length=1, description="dataset to draw from, needed by a sampler that draws from one"
    )

    def space(self) -> Space:
        """Where the sampler searches."""
        found: Space = registry.load(self.group, self.kind).space
        return found

    def draws_from_pool(self) -> bool:
        """Whether the sampler chooses among the rows of a dataset."""
        found: bool = registry.load(self.group, self.kind).draws_from_pool
        return found

    def takes_several_properties(self) -> bool:
        """Whether the sampler can seek more than one property."""
        found: bool = registry.load(self.group, self.kind).takes_several_properties
        return found


MAX_PROPERTIES = 4
"""That a campaign seeks; fronts of more hold nearly everything."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A property that is sought, and who answers it: a model, or else what its section says.

    The first of a campaign has `position` 1; `section` is the key of its oracle in the specification, and `dataset`
    what that is trained on or answers from.
    """

    position: int
    target: Target
    oracle: OracleSpec
    section: tuple[str, ...]
    dataset: str

    @property
    def role(self) -> str:
        """What its oracle is to the campaign, and the rows that this learns or answers from."""
        return numbered("oracle", self.position)

    @property
    def initial_role(self) -> str:
        """What the rows are to the campaign whose values of the property it knows from the start."""
        return numbered("initial", self.position)


def numbered(role: str, position: int) -> str:
    """The role of a model or a set of rows for the property at a position: oracle, oracle 2, oracle 3."""
    return role if position == 1 else f"{role} {position}"


Mode: TypeAlias = Literal["default", "paper"]
"""How the loop spends: `paper` is the published loop (arXiv 2103.00608 and its code).

There an undecodable point enters the sampler's history with the value 0.0, and a decodable suggestion is charged and
registered each time it comes, seen before or not.
"""


class CampaignSpec(_Section):
    """A whole campaign."""

    name: str = Field(pattern=f"^{NAME.pattern}$")
    mode: Mode = "default"
    targets: tuple[Target, ...] = Field(alias="target")
    seed: int = Field(default=0, ge=0, lt=2**63)
    threads: int = Field(default=1, ge=1, le=1024)
    data: DataSpec
    initial: InitialSpec
    budget: BudgetSpec = BudgetSpec()
    autoencoder: AutoencoderSpec | None = Field(
        default=None, description="trained where the sampler's space is latent, or where the section is given"
    )
    oracle: OracleSpec = OracleSpec()
    oracles: dict[str, OracleSpec] = Field(
        default={}, description="who answers for each further property of the target, by the property"
    )
    sampler: SamplerSpec = SamplerSpec()
    filter: FilterOptions = Field(default=FilterOptions(), description="what is rejected before it is charged")
    trust: Mapping[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=dict,
        description="how much the labels of a method, or of a dataset, weigh for what the sampler learns; others 1",
    )

    @field_validator("targets", mode="before")
    @classmethod
    def _parse_targets(cls, value: object) -> tuple[Target, ...]:
        several = value if isinstance(value, list | tuple) else [value]
        if not 1 <= len(several) <= MAX_PROPERTIES:
            raise ValueError(f"names {len(several)} properties: a campaign seeks one to {MAX_PROPERTIES}")
        return tuple(Target.parse(str(one)) for one in several)

    @model_validator(mode="after")
    def _paper_has_no_filter(self) -> "CampaignSpec":
        if self.mode == "paper" and self.oracle.uses_known_labels:
            raise ValueError("the published loop asks its oracle for everything: leave oracle.uses_known_labels out")
        if self.mode == "paper" and self.filter != FilterOptions():
            raise ValueError('the published loop rejects nothing: leave [filter] out, or mode = "paper"')
        if self.mode == "paper" and self.oracle.answerer.is_awaited:
            raise ValueError(
                'the published loop asks for compounds again: nobody outside can be asked so, take mode "default"'
            )
        return self

    @field_serializer("targets")
    def _write_targets(self, targets: tuple[Target, ...]) -> str | list[str]:
        """One as a text, as it was before there could be several."""
        return targets[0].text if len(targets) == 1 else [target.text for target in targets]

    @property
    def target(self) -> Target:
        """What is sought first: the property that initial rows are known by, and that is maximised where all hold."""
        return self.targets[0]

    @property
    def goals(self) -> tuple[Goal, ...]:
        """Every property with who answers it, in the order of the specification."""
        first = Goal(1, self.target, self.oracle, ("oracle",), self.oracle_dataset())
        further = (
            Goal(
                position,
                target,
                self.oracles[target.property],
                ("oracles", target.property),
                self.oracles[target.property].dataset or self.data.dataset,
            )
            for position, target in enumerate(self.targets[1:], start=2)
        )
        return (first, *further)

    def sought(self) -> str:
        """Everything that a find is, in words."""
        return " and ".join(target.text for target in self.targets)

    def fits_latents(self, counts: Counts) -> NDArray[np.bool_]:
        """Which rows `[n]` of the table `[n, 103]` the campaign can search from: without an autoencoder, all."""
        return np.ones(len(counts), np.bool_) if self.autoencoder is None else self.autoencoder.is_representable(counts)

    def corpus(self) -> str | None:
        """The dataset the autoencoder is trained on, None where none is."""
        return None if self.autoencoder is None else self.autoencoder.corpus or self.data.dataset

    def known(self) -> tuple[str, ...]:
        """The datasets whose compositions count as known, each once."""
        return tuple(dict.fromkeys((self.data.dataset, *self.data.known)))

    def oracle_dataset(self) -> str:
        """The dataset the oracle is trained on or answers from."""
        return self.oracle.dataset or self.data.dataset
