"""Campaigns from Python: the verbs of the command line, for notebooks and for loops of your own."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from html import escape
from numbers import Integral, Real
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agd import spec as specification
from agd.api_structures import (
    compare_structures,
    crystals,
    hull,
    import_phases,
    import_structures,
    structure,
    structures_of,
)
from agd.engines import Outcome
from agd.errors import InputError, NotFoundError
from agd.loop import LocalEngine
from agd.progress import Progress, silent
from agd.steps.campaign import asking
from agd.steps.campaign.extending import Calls, extend
from agd.steps.campaign.kinds import LABELLING
from agd.steps.campaign.opening import open_campaign, open_controls, reopen_campaign
from agd.steps.campaign.stepping import next_step
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.frames import source_of
from agd.steps.data.importing import ImportSummary, import_dataset, import_source
from agd.steps.data.labelling import AddedLabel, Measurement, whoami
from agd.steps.reading import explaining, overviews
from agd.views import Extension, as_json
from agd.work.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    import pandas as pd

    from agd.steps.campaign.campaigns import Campaign as StoredCampaign

__all__ = [
    "Campaign",
    "Suggestion",
    "compare_structures",
    "crystals",
    "hull",
    "import_data",
    "import_phases",
    "import_structures",
    "structure",
    "structures_of",
]

_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A composition that waits for its label, and what the sampler expected of it.

    `expected` and `expected_sd` are in the property's unit; the posterior is that of the objective, which is a distance
    where the target is a window.
    """

    formula: str
    iteration: int
    rank: int
    posterior_mean: float | None
    posterior_sd: float | None
    acquisition: float | None
    expected: float | None = None
    expected_sd: float | None = None


class Campaign:
    """A campaign in the record: ask, tell, run, why, to pandas.

    Whatever kills the program, what was told is kept: open the same specification again and go on. The budget, the
    rule that nothing is charged twice, and the order of the steps are those of `agd run`.

    Examples:
        >>> with Campaign.open(spec) as campaign:
        ...     first = campaign.ask()
        ...     for suggestion in first:
        ...         told = campaign.tell(suggestion.formula, 2.5, operator="ada", measured_on="2026-01-15")
        ...     again = campaign.tell(first[0].formula, 2.5, operator="ada", measured_on="2026-01-15")
        ...     print(len(first), "told;", again.was_there)
        ...     second = campaign.ask()
        ...     campaign.give_up(second[0].formula, reason="it decomposes in air")
        ...     status = campaign.status
        ...     print(len(campaign.ask()), "left;", status["n_charged"], "charged of", status["budget_calls"])
        4 told; True
        3 left; 4 charged of 8
        >>> with Campaign.open("lab") as campaign:  # by name, in another program, after whatever happened
        ...     frame = campaign.to_pandas()
        ...     print(campaign.ask(1)[0].formula == second[1].formula, frame.outcome.value_counts()["new"])
        True 7
    """

    def __init__(self, workspace: Workspace, stored: "StoredCampaign", closing: ExitStack) -> None:
        """Use `Campaign.open`."""
        self._workspace, self._stored, self._closing = workspace, stored, closing

    @classmethod
    def open(
        cls, spec: str | Path | Mapping[str, Any], *, home: str | Path | None = None, database_url: str | None = None
    ) -> Self:
        """Open a campaign: a specification (a path ending in .toml, or a mapping), or the name of one in the record.

        `home` and `database_url` stand in for AGD_HOME and AGD_DATABASE_URL.

        Raises:
            SpecError: the specification is wrong, or the name belongs to another one.
            NotFoundError: the record holds no campaign of that name.
            DatabaseError: no server answers.
        """
        with ExitStack() as stack:
            workspace = stack.enter_context(open_workspace(home, database_url))
            stored = _open(workspace, spec)
            return cls(workspace, stored, stack.pop_all())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        """How it stands, in one line."""
        try:
            told = self.status
        except Exception:  # noqa: BLE001  a closed campaign still has a name
            return f"<Campaign {self.name!r}>"
        return (
            f"<Campaign {self.name!r}: {self.target}; {told['state']}; {told['n_charged']:,} of "
            f"{told['budget_calls']:,} calls, {told['n_finds']:,} finds>"
        )

    def _repr_html_(self) -> str:
        """How it stands, as a table in a notebook."""
        told = self.status
        rows = {
            "target": self.target,
            "state": told["state"],
            "calls": f"{told['n_charged']:,} of {told['budget_calls']:,}",
            "finds": f"{told['n_finds']:,} ({told['n_known_finds']:,} known)",
            "best": "-" if told["best"] is None else f"{told['best']:.4g} {told['unit']}",
        }
        cells = "".join(f"<tr><th>{escape(key)}</th><td>{escape(str(value))}</td></tr>" for key, value in rows.items())
        return f"<table><caption>{escape(self.name)}</caption>{cells}</table>"

    def close(self) -> None:
        """Leave the database."""
        self._closing.close()

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self._stored.name

    @property
    def target(self) -> str:
        """What counts as a find, as the specification says it."""
        return self._stored.spec.sought()

    @property
    def status(self) -> dict[str, Any]:
        """The counters of v_campaign_progress and the state, as `agd status --json` gives them."""
        with self._workspace.database.read() as tx:
            return as_json(overviews.campaigns(tx, self.name)[0])

    @property
    def is_ended(self) -> bool:
        """Whether the budget is spent, or nothing new came any more."""
        return next_step(self._workspace, self._stored) is None

    def ask(self, n: int | None = None, *, progress: Progress = silent) -> list[Suggestion]:
        """The compositions that wait for a label, at most `n`, best first; a new iteration when none waits.

        With an oracle that answers by itself these are what `run` would ask it for. An empty list means that the
        campaign has ended. Models are trained first where they are missing, which `progress` is told about.

        Raises:
            BusyError: another process runs this campaign.
            KeyboardInterrupt: after the step at hand, on Ctrl-C or `agd stop`.
        """
        if n is not None and n < 1:
            raise InputError(f"ask for 1 composition or more, not {n}")
        while not (waiting := self._waiting()):
            outcome = self._advance(progress, {LABELLING.name})
            if outcome.is_stopped:
                raise KeyboardInterrupt(f"campaign {self.name!r} was asked to stop; ask again to go on")
            if outcome.is_ended:
                return []
        return waiting[:n]

    def tell(
        self,
        formula: str,
        value: float,
        *,
        uncertainty: float | None = None,
        unit: str | None = None,
        operator: str | None = None,
        measured_on: date | str | None = None,
        note: str | None = None,
        replicate: int = 1,
    ) -> AddedLabel:
        """Record the label of a composition that was asked for; told again, it changes nothing.

        `value` and `uncertainty` (one standard deviation) are in the property's unit or in `unit`; the operator is who
        runs this program, and the day is today, where not given. Give the day yourself where a program may be run again
        later.

        Raises:
            InputError: the campaign does not wait for it, or has an oracle of its own; or a value cannot be, or is of
                another type.
        """
        measurement = Measurement(
            value=_number("value", value),
            operator=_text("operator", operator) if operator is not None else whoami(),
            uncertainty=None if uncertainty is None else _number("uncertainty", uncertainty),
            note=None if note is None else _text("note", note),
            replicate=_whole("replicate", replicate),
            unit=None if unit is None else _text("unit", unit),
        )
        day = _day(measured_on)
        return asking.tell(self._workspace, self._stored, _text("formula", formula), measurement, measured_on=day)

    def give_up(self, formula: str, *, reason: str) -> None:
        """Record that a composition asked for will get no label, and why; it costs no call."""
        asking.give_up(self._workspace, self._stored, _text("formula", formula), _text("reason", reason))

    def run(self, *, progress: Progress = silent) -> Outcome:
        """Go on to the end of the budget, or to where labels from outside are awaited.

        Raises:
            BusyError: another process runs this campaign.
        """
        return self._advance(progress)

    def extend(self, oracle_calls: int | str) -> Extension:
        """Let the campaign spend more calls, also when it has ended: `"+200"` is so many more, 1200 a new total.

        Raises:
            InputError: these are no more than it has, or it is a control.
        """
        told = extend(self._workspace, self.name, Calls.of(str(oracle_calls)))
        self._stored = reopen_campaign(self._workspace, self.name)
        return told

    def run_controls(self, *, progress: Progress = silent) -> None:
        """Spend the same budget at random and by random substitution, as `agd run --twin` does."""
        for control in open_controls(self._workspace, self._stored):
            if LocalEngine().run(self._workspace, control, progress=progress).is_stopped:
                raise KeyboardInterrupt(f"control {control.name!r} was asked to stop; run again to go on")

    def top(self, n: int = 10) -> list[dict[str, Any]]:
        """The best labelled compositions, as rows of v_suggestion."""
        with self._workspace.database.read() as tx:
            return [as_json(row) for row in overviews.top_finds(tx, self._stored.id, n)]

    def why(self, formula: str) -> dict[str, Any]:
        """Everything that led to a composition, as `agd why --json` gives it."""
        return as_json(explaining.why(self._workspace, formula))

    def to_pandas(self, *, latents: bool = False) -> "pd.DataFrame":
        """Every suggestion with what became of it, as `agd export` gives it."""
        from agd.report.frames import suggestions_frame

        return suggestions_frame(self._workspace, self.name, latents=latents)

    def _waiting(self) -> list[Suggestion]:
        with self._workspace.database.read() as tx:
            rows: Sequence[Any] = asking.awaited(tx, self._stored)
        return [
            Suggestion(
                row.reduced_formula,
                row.iteration,
                row.rank,
                row.posterior_mean,
                row.posterior_sd,
                row.acquisition,
                row.expected,
                row.expected_sd,
            )
            for row in rows
        ]

    def _advance(self, progress: Progress, before: Collection[str] = ()) -> Outcome:
        return LocalEngine().run(self._workspace, self._stored, progress=progress, before=before)


def import_data(
    table: Any,
    name: str,
    *,
    formula_column: str = "composition",
    value_column: str | None = None,
    property: str | None = None,  # noqa: A002  the name of the option
    unit: str | None = None,
    home: str | Path | None = None,
    database_url: str | None = None,
    strict: bool = False,
    **rules: Any,
) -> ImportSummary:
    """Import a DataFrame, a mapping of columns, or a file, as `agd data import` does; the summary has what was refused.

    `rules` are those of `agd.steps.data.cleaning.ImportRules`: negative, on_duplicate, where, method, max_factor.

    Raises:
        InputError: a column, the property, the unit or a rule is wrong, or the name is taken by other content.
    """
    try:
        chosen = ImportRules(formula_column, value_column, property, unit, **rules)
    except TypeError as error:
        raise InputError(f"import_data: {error}") from error
    with open_workspace(home, database_url) as workspace:
        if isinstance(table, str | Path):
            return import_dataset(workspace, Path(table), name, chosen, strict=strict)
        source = source_of(table, formula_column, value_column, chosen.where)
        return import_source(workspace, source, name, chosen, strict=strict)


def _open(workspace: Workspace, spec: str | Path | Mapping[str, Any]) -> "StoredCampaign":
    if isinstance(spec, Mapping):
        return open_campaign(workspace, specification.from_mapping(spec, Path.cwd()))
    if isinstance(spec, Path) or spec.endswith(".toml"):
        return open_campaign(workspace, specification.read(Path(spec)))
    try:
        return reopen_campaign(workspace, spec)
    except NotFoundError as error:
        raise NotFoundError(f"{error}; a specification is a path that ends in .toml, or a mapping") from error


def _day(given: date | str | None) -> date:
    if given is None:
        return date.today()  # noqa: DTZ011  a day is the operator's own
    if isinstance(given, datetime):
        return given.date()
    if isinstance(given, date):
        return given
    try:
        return date.fromisoformat(given)
    except (TypeError, ValueError):
        raise InputError(f"{given!r} is no day: write 2026-01-31") from None


def _number(name: str, given: object) -> float:
    """A number of Python, or a single one of numpy or torch."""
    item = given
    if hasattr(given, "item"):
        with suppress(TypeError, ValueError, RuntimeError):
            item = given.item()
    if isinstance(item, Real | Decimal) and not isinstance(item, bool):
        with suppress(OverflowError):
            return float(item)
    raise InputError(f"{name} {_shown(given)} is no number: give one, in the unit of the property")


def _whole(name: str, given: object) -> int:
    if isinstance(given, Integral) and not isinstance(given, bool):
        return int(given)
    raise InputError(f"{name} {_shown(given)} is no whole number")


def _text(name: str, given: object) -> str:
    if isinstance(given, str):
        with suppress(UnicodeEncodeError):  # half a character
            given.encode()
            return given
    raise InputError(f"{name} {_shown(given)} is no text")


def _shown(given: object) -> str:
    try:
        return ascii(given)[:_SHOWN]
    except ValueError:  # an integer of more digits than Python writes
        return f"of type {type(given).__name__}"
