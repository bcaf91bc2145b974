"""From a table as it was read to one row per composition: what is kept, what is refused, and why."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from agd.chem.doubts import doubts
from agd.chem.formula import parse_formulas, scale_fractions
from agd.chem.identity import Identities, identify
from agd.errors import InputError
from agd.methods import UNSTATED
from agd.plausible import implausible
from agd.policies import DuplicatePolicy, NegativePolicy
from agd.steps.data.cells import shown
from agd.steps.data.tabular import Source, SourceRow
from agd.units import UNCHANGED, Factor

_MINUS = "\u2212"
"""The sign that papers print."""

MAX_FACTOR: Final = 100
"""By which fractional amounts may be multiplied to be whole, where nobody says otherwise: two decimals."""

OFF_ZERO_EV_PER_ATOM: Final = 0.005
"""How far from zero the lowest phase of an element may lie, in a table that was rounded."""

_NONZERO = re.compile(r"[-+.0]*[1-9]")
_NUMBER = re.compile(r"[-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|nan|inf|infinity)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class ImportRules:
    """How to read a table: its columns, the property and unit of its values, and what to do with doubtful ones.

    `where` is what columns must hold, as exact text, in the rows that are read; `method` is by which the values came
    about, `scheme` how they were corrected. Rows of one composition contradict each other, unless they `are_phases`.
    Fractional amounts are made whole by a factor of at most `max_factor`; 1 refuses them.
    """

    formula_column: str = "composition"
    value_column: str | None = None
    property: str | None = None
    unit: str | None = None
    negative: NegativePolicy = "reject"
    on_duplicate: DuplicatePolicy = "first"
    where: Mapping[str, str] = field(default_factory=dict)
    method: str = UNSTATED
    scheme: str = UNSTATED
    are_phases: bool = False
    max_factor: int = MAX_FACTOR

    def __post_init__(self) -> None:
        """Refuse half a value column, and a method without values."""
        given = [self.value_column, self.property, self.unit]
        if any(item is None for item in given) and any(item is not None for item in given):
            raise InputError("--value-column, --property and --unit go together; without them the file lists formulas")
        if self.value_column is None and self.method != UNSTATED:
            raise InputError(f"--method {self.method}: a list of formulas has no values that came about by it")


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not imported, and why."""

    line: int
    kind: str
    formula: str
    value: str
    message: str


class Kept(NamedTuple):
    """One composition: the row that stands for it, its value, and how many rows of the source agree with it."""

    position: int
    row: SourceRow
    value: float | None
    n_rows: int


@dataclass(frozen=True, slots=True, eq=False)
class CleanTable:
    """What is left of a table: names and rows side by side, one per composition, and the refused rows by line.

    `notices` say what was read, and was probably meant as something else; `n_scaled` rows had fractional amounts.
    """

    named: Identities
    kept: list[Kept]
    rejects: list[Reject]
    notices: tuple[str, ...] = ()
    n_scaled: int = 0
    is_converted: bool = False


def clean(source: Source, rules: ImportRules, lower_bound: float | None, factor: Factor = UNCHANGED) -> CleanTable:
    """Parse formulas and values, apply the rules, merge rows of one composition; values in the unit that is kept.

    Raises:
        InputError: values conflict and the rule for duplicates is `error`; or nothing is left.
    """
    rejects = [Reject(row.line, row.kind, row.text, row.value, row.why) for row in source.broken]
    formulas = [row.formula for row in source.rows]
    counts, refused = parse_formulas(formulas)
    problems, factors = scale_fractions(formulas, counts, refused, rules.max_factor)
    notices = doubts(rules.formula_column, formulas, [row.line for row in source.rows], problems)
    refusals = {problem.index: (problem.kind, problem.message) for problem in problems}
    values: dict[int, float | None] = {}
    for i, row in enumerate(source.rows):
        value, refusal = (None, refusals[i]) if i in refusals else _read_value(row.value, lower_bound, rules, factor)
        if refusal is None:
            values[i] = value
        else:
            rejects.append(Reject(row.line, refusal[0], row.formula, row.value or "", refusal[1]))
    good = list(values)
    named = identify(counts[np.asarray(good, dtype=np.intp)])
    candidates = [Kept(position, source.rows[i], values[i], n_rows=1) for position, i in enumerate(good)]
    groups: dict[str, list[Kept]] = {}
    for formula, candidate in zip(named.reduced_formula, candidates, strict=True):
        groups.setdefault(formula, []).append(candidate)
    kept = [
        rows[0] if len(rows) == 1 else _merge(source.name, formula, rows, rules, rejects)
        for formula, rows in groups.items()
    ]
    rejects.sort(key=lambda reject: reject.line)
    if not kept:
        raise InputError(f"{source.name}: no row can be imported; line {rejects[0].line}: {rejects[0].message}")
    named = named.take([row.position for row in kept])
    if rules.are_phases:
        notices = [*notices, *_bare_elements(named, [row.value for row in kept])]
    if factors:
        notices = [*notices, _scaled_words(source, factors)]
    return CleanTable(named, kept, rejects, tuple(notices), len(factors), is_converted=factor.is_change)


def _scaled_words(source: Source, factors: Mapping[int, int]) -> str:
    first = min(factors)
    row = source.rows[first]
    n = len(factors)
    return (
        f"{n:,} formula{'' if n == 1 else 's'} with fractional amounts made whole, the text kept: the first is "
        f"{shown(row.formula, 40)} on line {row.line}, times {factors[first]}"
    )


def _bare_elements(named: Identities, values: Sequence[float | None]) -> Iterator[str]:
    """What is odd about the elements among phases: each has to be there, and its lowest one at zero."""
    there = {system: value for system, value in zip(named.chemical_system, values, strict=True) if "-" not in system}
    missing = sorted({symbol for system in named.chemical_system for symbol in system.split("-")} - there.keys())
    if missing:
        yield f"no phase of the bare elements {', '.join(missing)}: their energy is taken as zero on a hull"
    off = sorted(symbol for symbol, value in there.items() if value is not None and abs(value) > OFF_ZERO_EV_PER_ATOM)
    if off:
        yield f"the lowest phases of {', '.join(off)} are not at zero: are these formation energies from the elements?"


def _read_value(
    text: str | None, bound: float | None, rules: ImportRules, factor: Factor
) -> tuple[float | None, tuple[str, str] | None]:
    """The value, or (kind, message) of why it is refused."""
    if text is None:
        return None, None
    text = text.strip()
    if not text:
        return None, ("missing value", "there is no value")
    number = text.replace(_MINUS, "-")
    if not _NUMBER.fullmatch(number):
        return None, ("not a number", f"the value {text!r} is not a number")
    value = factor.of(float(number))
    if value == 0 and _NONZERO.match(number):
        value = math.ulp(0.0)  # 1e-400, which rounds to 0
    if (refusal := _refusal(text, value, bound, rules)) is not None:
        return None, refusal
    return (bound if bound is not None and value < bound and rules.negative == "clip" else value), None


def _refusal(text: str, value: float, bound: float | None, rules: ImportRules) -> tuple[str, str] | None:
    """(kind, message) of why a number cannot be the property's value."""
    if not math.isfinite(value):
        return "not finite", f"the value {text!r} is not a finite number"
    if rules.property is not None and (why := implausible(value, rules.property)) is not None:
        return "implausible", f"the value {shown(text, 40)} {why}: a placeholder for a missing value, or another unit?"
    if bound is not None and value < bound and rules.negative == "reject":
        return "negative", f"{text} is below {bound:g}; import with --negative keep or clip to have it"
    return None


def _merge(source: str, formula: str, rows: Sequence[Kept], rules: ImportRules, rejects: list[Reject]) -> Kept:
    """One row for a composition that stands in several; those whose value was not taken become rejects."""
    first, policy = rows[0], rules.on_duplicate
    if rules.are_phases:
        return min(rows, key=lambda row: (row.value, row.position))._replace(n_rows=len(rows))
    conflict = next((row for row in rows if row.value != first.value), None)
    if conflict is None:
        return first._replace(n_rows=len(rows))
    if policy == "error":
        raise InputError(
            f"{source}:{conflict.row.line}: {formula} has value {conflict.row.value} here and {first.row.value} on "
            f"line {first.row.line}; nothing imported (choose --on-duplicate first, lowest or mean)"
        )
    if policy == "mean":
        mean = math.fsum(row.value for row in rows if row.value is not None) / len(rows)
        return first._replace(value=mean, n_rows=len(rows))
    chosen = first if policy == "first" else min(rows, key=lambda row: (row.value, row.position))
    rejects += [
        Reject(
            row.row.line,
            "conflicting duplicate",
            row.row.formula,
            row.row.value or "",
            f"{formula} has value {chosen.row.value} on line {chosen.row.line}, which was kept",
        )
        for row in rows
        if row.value != chosen.value
    ]
    return chosen._replace(n_rows=sum(row.value == chosen.value for row in rows))
