"""Which compositions are let through: one list of rules, each an option, what it asks, and the words of its refusal.

The `[filter]` of a specification, `--filter KEY=VALUE` of screening and generating, and the stages at which they are
counted follow from the list: a new rule is a function here and a field of `FilterOptions`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Annotated, Any, Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agd import registry
from agd.chem import smact_validity, validity
from agd.chem.analogues import Analogues
from agd.chem.distinct import keys_of
from agd.chem.elements import (
    MAGPIE_PROPERTIES,
    N_ELEMENTS,
    SYMBOLS,
    common_states,
    magpie_properties,
    production_hhi,
    smact_metals,
)
from agd.chem.identity import identify
from agd.types import Counts

VALIDITY: Final = f"{validity.RULE} v{validity.RULE_VERSION}"
"""How the record names the rule that `valid` stands for."""

NOT_NEUTRAL: Final = "not charge neutral"
NOT_BALANCED: Final = "not electronegativity balanced"
"""The words for who does not pass the two parts of it."""

Answer: TypeAlias = tuple[NDArray[np.bool_], str]
"""Who passes `[n]`, and the words for who does not."""


@dataclass(frozen=True, eq=False)
class Asked:
    """Reduced compositions `[n, 103]` as rules look at them, and what is known; what several look at is found once."""

    counts: Counts
    analogues: Analogues | None = None

    @cached_property
    def verdicts(self) -> validity.Verdicts:
        """What the published rule says of them."""
        return validity.assess(self.counts)


@dataclass(frozen=True, slots=True)
class Rule:
    """How an option judges, given its value: who passes, one answer for each thing that it asks."""

    judge: Callable[[Asked, Any], Iterable[Answer]]


def _only_allowed(asked: Asked, allowed: Sequence[str]) -> Iterator[Answer]:
    others = [i for i, symbol in enumerate(SYMBOLS) if symbol not in allowed]
    yield np.logical_not(asked.counts[:, others].any(axis=1)), f"holds more than {', '.join(allowed)}"


def _none_denied(asked: Asked, denied: Sequence[str]) -> Iterator[Answer]:
    columns = [SYMBOLS.index(symbol) for symbol in denied]
    yield np.logical_not(asked.counts[:, columns].any(axis=1)), f"holds {' or '.join(denied)}"


def _each_there(asked: Asked, wanted: Sequence[str]) -> Iterator[Answer]:
    for symbol in dict.fromkeys(wanted):
        yield asked.counts[:, SYMBOLS.index(symbol)] > 0, f"holds no {symbol}"


def _a_metal(asked: Asked, _: object) -> Iterator[Answer]:
    yield np.asarray(asked.counts[:, smact_metals()].any(axis=1)), "holds no metal"


def _even_electrons(asked: Asked, _: object) -> Iterator[Answer]:
    numbers = np.arange(1, len(SYMBOLS) + 1)
    yield asked.counts @ numbers % 2 == 0, "an odd number of electrons"


def _hhi(asked: Asked, most: float) -> Iterator[Answer]:
    is_there, masses = asked.counts > 0, asked.counts * magpie_properties()[:, MAGPIE_PROPERTIES.index("AtomicWeight")]
    weighed = np.where(is_there, masses * production_hhi(), 0.0).sum(axis=1)
    found = weighed / np.where(is_there, masses, 0.0).sum(axis=1)
    yield found <= most, f"production concentrated beyond {most:g}"  # NaN, where one has no index, is not below


def _common_states(asked: Asked, _: object) -> Iterator[Answer]:
    yield validity.can_be_neutral(asked.counts, common_states()), "not neutral in common oxidation states"


def _charge_neutral(asked: Asked, _: object) -> Iterator[Answer]:
    yield asked.verdicts.is_charge_neutral, NOT_NEUTRAL


def _electronegativity_balanced(asked: Asked, _: object) -> Iterator[Answer]:
    yield asked.verdicts.is_electronegativity_balanced, NOT_BALANCED


def _smact_valid(asked: Asked, _: object) -> Iterator[Answer]:
    yield smact_validity.assess(asked.counts).is_electronegativity_balanced, "not valid by SMACT's rule"


def _elements(asked: Asked, most: int) -> Iterator[Answer]:
    yield np.count_nonzero(asked.counts, axis=1) <= most, f"more than {most} elements"


def _atoms(asked: Asked, most: int) -> Iterator[Answer]:
    yield asked.counts.sum(axis=1) <= most, f"more than {most} atoms"


def _count(asked: Asked, most: int) -> Iterator[Answer]:
    yield asked.counts.max(axis=1, initial=0) <= most, f"an element more than {most} times"


def _known_or_analogue(asked: Asked, _: object) -> Iterator[Answer]:
    if asked.analogues is not None:
        yield asked.analogues.holds(asked.counts), "neither known nor an analogue of a known composition"


def _near_in_size(asked: Asked, most: float) -> Iterator[Answer]:
    if asked.analogues is not None:
        passed = asked.analogues.holds(asked.counts, max_radius_ratio=most)
        yield passed, f"no known analogue with ions within a factor of {most:g} in size"


class FilterOptions(BaseModel):
    """What is asked, in the order in which it is: the first that is not passed is the reason of a refusal.

    False, None and an empty list ask nothing; where a rule of validity does not speak it lets nothing through. Trims
    are those of the reduced formula.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    elements_allowed: Annotated[tuple[str, ...], Rule(_only_allowed)] = Field(
        default=(), description="no other elements; all, where none is named"
    )
    elements_denied: Annotated[tuple[str, ...], Rule(_none_denied)] = Field(
        default=(), description="none of these elements"
    )
    must_contain: Annotated[tuple[str, ...], Rule(_each_there)] = Field(
        default=(), description="each of these elements"
    )
    has_metal: Annotated[bool, Rule(_a_metal)] = Field(
        default=False, description="holds a metal, of those that SMACT counts among them"
    )
    has_even_electrons: Annotated[bool, Rule(_even_electrons)] = Field(
        default=False, description="an even number of electrons in the reduced formula, as a closed shell needs"
    )
    max_hhi: Annotated[float | None, Rule(_hhi)] = Field(
        default=None,
        gt=0,
        description="Herfindahl-Hirschman index of the elements' production, by mass, as pymatgen has it"
        " (10.1021/cm400893e): above 2500 few countries have them; an element without one is let through by none",
    )
    is_neutral_in_common_states: Annotated[bool, Rule(_common_states)] = Field(
        default=False,
        description="neutral with one of pymatgen's common oxidation states for each element; on in new specifications"
        " of the default mode",
    )
    is_charge_neutral: Annotated[bool, Rule(_charge_neutral)] = Field(
        default=False, description="by one of SMACT's default oxidation states for each element"
    )
    is_electronegativity_balanced: Annotated[bool, Rule(_electronegativity_balanced)] = Field(
        default=False, description="in such a choice, each cation less electronegative than each anion"
    )
    is_smact_valid: Annotated[bool, Rule(_smact_valid)] = Field(
        default=False, description="as smact_validity of SMACT says with its defaults"
    )
    max_elements: Annotated[int | None, Rule(_elements)] = Field(default=None, gt=0)
    max_atoms: Annotated[int | None, Rule(_atoms)] = Field(default=None, gt=0)
    max_count: Annotated[int | None, Rule(_count)] = Field(default=None, gt=0, description="atoms of one element")
    is_known_or_analogue: Annotated[bool, Rule(_known_or_analogue)] = Field(
        default=False, description="known, or one element away from a known composition of the same counts"
    )
    max_radius_ratio: Annotated[float | None, Rule(_near_in_size)] = Field(
        default=None,
        ge=1.0,
        description="known, or an analogue in which the ion that comes in and the one in its place differ in radius by"
        " this factor at most (10.1107/S0567739476001551, as pymatgen averages it); on in new specifications of the"
        " default sampler",
    )

    @field_validator("elements_allowed", "elements_denied", "must_contain")
    @classmethod
    def _are_elements(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in symbols:
            if symbol not in SYMBOLS:
                near = registry.suggestion(symbol, list(SYMBOLS)) if symbol.capitalize() in SYMBOLS else ""
                raise ValueError(f"{symbol!r} is no element from H to Lr{near}")
        return symbols

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        allowed = set(self.elements_allowed or SYMBOLS) - set(self.elements_denied)
        if refused := [symbol for symbol in self.must_contain if symbol not in allowed]:
            raise ValueError(f"must_contain asks for {', '.join(refused)}, which the filter refuses")
        if not allowed:
            raise ValueError("every element that is allowed is denied as well")
        return self

    @property
    def asks_what_is_known(self) -> bool:
        """Whether compositions that count as known are needed to judge."""
        return self.is_known_or_analogue or self.max_radius_ratio is not None

    def given(self) -> dict[str, Any]:
        """What is asked, in plain values of JSON."""
        return {key: value for key, value in self.model_dump(mode="json").items() if value}

    def rules(self) -> Iterator[tuple[Rule, Any]]:
        """The rules that ask something, in order, each with the value of its option."""
        for name, option in FilterOptions.model_fields.items():
            if value := getattr(self, name):
                yield next(one for one in option.metadata if isinstance(one, Rule)), value


NOTHING: Final = FilterOptions()
"""What asks nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What was asked of n compositions, in order: who passed `[n]`, and the words for who did not."""

    n: int
    asked: Sequence[Answer]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Which `[n]` are let through."""
        is_let_through = np.ones(self.n, np.bool_)
        for passed, _ in self.asked:
            is_let_through &= passed
        return is_let_through

    @property
    def reasons(self) -> list[str | None]:
        """The first that each did not pass, None where it is let through."""
        asked = [(passed.tolist(), why) for passed, why in self.asked]
        return [next((why for passed, why in asked if not passed[i]), None) for i in range(self.n)]


@dataclass(frozen=True, slots=True)
class Filter:
    """Rules, and what is known to the one that asks: without `analogues` that one asks nothing."""

    options: FilterOptions = NOTHING
    analogues: Analogues | None = None

    def judge(self, counts: Counts) -> Judgement:
        """Judge reduced counts `[n, 103]`."""
        asked = Asked(counts, self.analogues)
        return Judgement(
            len(counts), [answer for rule, value in self.options.rules() for answer in rule.judge(asked, value)]
        )


PUBLISHED_TRIMS: Final = FilterOptions(max_elements=5, max_atoms=20, max_count=7)
"""Of generated formulas, before they are screened (arXiv 2103.00608)."""

VALID: Final = Filter(FilterOptions(is_charge_neutral=True, is_electronegativity_balanced=True))
"""The published validity (arXiv 2103.00608), which screening and generation mean by `valid`."""


N_SAMPLED: Final = 20
"""Of those that are refused for one reason, how many are kept."""


@dataclass(slots=True)
class Refused:
    """By reason, a sample of what was refused: those whose hashes are the smallest, in whatever order they come."""

    _by_reason: dict[str, tuple[NDArray[np.uint64], Counts]] = field(default_factory=dict)

    def add(self, reason: str, counts: Counts) -> None:
        """Take note of reduced compositions `[n, 103]` that were refused for it."""
        if not len(counts):
            return
        keys = keys_of(counts)[:, 0]
        if reason in self._by_reason:
            before, rows = self._by_reason[reason]
            if len(before) == N_SAMPLED:
                is_near = keys < before[-1]
                keys, counts = keys[is_near], counts[is_near]
            keys, counts = np.concatenate([before, keys]), np.concatenate([rows, counts])
        found, first = np.unique(keys, return_index=True)
        self._by_reason[reason] = found[:N_SAMPLED], counts[first[:N_SAMPLED]]

    def rows(self) -> list[tuple[str, str]]:
        """(reason, reduced formula) of the sample."""
        reasons = [reason for reason, (keys, _) in self._by_reason.items() for _ in keys]
        if not reasons:
            return []
        named = identify(np.concatenate([counts for _, counts in self._by_reason.values()]))
        return list(dict.fromkeys(zip(reasons, named.reduced_formula, strict=True)))


@dataclass(slots=True)
class Sieve:
    """A filter that counts what it is asked and how many each of its rules leaves, and keeps a sample of the others.

    `name` is that of the stage where all rules are one.
    """

    rule: Filter
    name: str | None = None
    refused: Refused = field(default_factory=Refused)
    n_judged: int = 0
    _n_refused: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self(np.zeros((0, N_ELEMENTS), np.int32))  # so that each of its rules is a stage, whatever comes

    def __call__(self, counts: Counts) -> NDArray[np.bool_]:
        """Which reduced counts `[n, 103]` are let through."""
        self.n_judged += len(counts)
        is_left = np.ones(len(counts), np.bool_)
        for passed, why in self.rule.judge(counts).asked:
            is_refused = is_left & ~passed
            self._n_refused[why] = self._n_refused.get(why, 0) + int(is_refused.sum())
            self.refused.add(why, counts[is_refused])
            is_left &= passed
        return is_left

    def stages(self) -> list[tuple[str, int]]:
        """(stage, how many it left) in order: of the filter as a whole where it has a name, else of each rule."""
        names = [f"without: {why}" for why in self._n_refused]
        left = list(accumulate((self.n_judged, *(-n for n in self._n_refused.values()))))
        return list(zip(names, left[1:], strict=True)) if self.name is None else [(self.name, left[-1])]
