"""Campaigns side by side: what each spent, what it found, and whether it beat its controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from agd.chem import validity
from agd.db.connection import Transaction
from agd.db.reading import reports
from agd.db.reading.reports import Rule
from agd.errors import InputError
from agd.report import words
from agd.report.traces import Trace, trace_of
from agd.spec import CONTROLS
from agd.steps.campaign.campaigns import campaign_row
from agd.steps.reading import overviews
from agd.target import Bounds
from agd.work.workspace import Workspace

RULE: Final = Rule(validity.RULE, validity.RULE_VERSION)


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One campaign: its figures by key (see `LINES`) and its trace."""

    figures: Mapping[str, Any]
    trace: Trace

    @property
    def name(self) -> str:
        """The campaign's name."""
        return str(self.figures["campaign"])

    @property
    def is_control(self) -> bool:
        """Whether its sampler learns nothing."""
        return self.figures["twin_of"] is not None or self.figures["sampler_kind"] in CONTROLS


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the comparison: its title and how a figure is shown."""

    title: str
    key: str
    shown: Callable[[Any], str] = words.number


LINES: Final = (
    Line("state", "state", str),
    Line("target", "target", str),
    Line("mode", "mode", str),
    Line("sampler", "sampler", str),
    Line("oracle", "oracle", str),
    Line("oracle calls charged", "n_calls"),
    Line("budget", "budget_calls"),
    Line("distinct compositions labelled", "n_distinct"),
    Line("suggestions", "n_suggested"),
    Line("undecodable", "undecodable_share", words.share),
    Line("duplicates", "duplicate_share", words.share),
    Line("known from the start", "n_known"),
    Line("rejected or unanswered", "n_rejected"),
    Line("finds, distinct", "n_finds"),
    Line("  known", "n_known_finds"),
    Line("  new", "n_new_finds"),
    Line("finds with one sigma to spare", "n_finds_by_bound"),
    Line("finds per 100 calls", "finds_per_100_calls"),
    Line("calls to the first find", "calls_to_first_find"),
    Line("  by property", "n_met", lambda value: value or words.NOTHING),
    Line("on the Pareto front", "n_on_front"),
    Line("best", "best"),
    Line("chemical systems among finds", "n_chemical_systems"),
    Line("chemically valid, of labelled", "valid_share", words.share),
    Line("chemically valid, of finds", "valid_find_share", words.share),
    Line("autoencoder", "autoencoder", lambda value: value or words.NOTHING),
    Line("  exact round trip", "round_trip", words.share),
    Line("  box points undecodable", "box_undecodable", words.share),
    Line("  box points valid", "valid_decodes", words.share),
    Line("time spent", "time_spent", words.duration),
)


def compare(workspace: Workspace, names: Sequence[str], *, anyway: bool = False) -> list[Compared]:
    """The campaigns in the order given, each once; one alone brings its twins with it.

    Raises:
        NotFoundError: there is no campaign of one of the names.
        InputError: they are after different things, and not to be compared `anyway`.
    """
    rows = [campaign_row(workspace, name) for name in dict.fromkeys(names)]
    with workspace.database.read() as tx:
        alone = rows[0] if len(rows) == 1 else None
        chosen = [row.name for row in rows] + (reports.twins(tx, alone.id) if alone is not None else [])
        compared = [gather(tx, name) for name in chosen]
    if not anyway:
        _refuse_unlike([one.figures for one in compared])
    return compared


def gather(tx: Transaction, name: str) -> Compared:
    """Everything a comparison says of one campaign that is in the record."""
    (row,) = overviews.campaigns(tx, name)
    campaign_id = row.campaign_id
    facts = reports.facts(tx, [campaign_id])[campaign_id]
    merits = reports.merits(tx, campaign_id, RULE)
    metrics = facts["autoencoder_metrics"] or {}
    n_distinct = merits["n_distinct"]
    bounds = Bounds(low=row.target_low, high=row.target_high)
    further = [(Bounds(low=one.low, high=one.high), one.property) for one in row.targets[1:]]
    trace = trace_of(reports.trace(tx, campaign_id), bounds, row.property, further)
    figures = {
        "campaign": row.campaign,
        "twin_of": row.twin_of,
        "state": row.state,
        "property": row.property,
        "unit": row.unit,
        "target": words.sought(facts["spec"]),
        "mode": row.mode,
        "sampler": words.sampler(facts["spec"], facts["spec_text"]),
        "sampler_kind": _kind(facts["spec"].get("sampler") or {}),
        "oracle": facts["oracle"] or (facts["spec"].get("oracle") or {}).get("kind", words.NOTHING),
        "n_calls": int(row.n_charged),
        "budget_calls": row.budget_calls,
        "n_distinct": n_distinct,
        "n_suggested": int(row.n_suggested),
        "undecodable_share": _ratio(row.n_undecodable, row.n_suggested),
        "duplicate_share": _ratio(row.n_duplicate, row.n_suggested),
        "n_known": int(row.n_known),
        "n_rejected": int(row.n_rejected),
        "n_waiting": merits["n_waiting"],
        "n_finds": merits["n_finds"],
        "n_known_finds": int(row.n_known_finds),
        "n_new_finds": merits["n_finds"] - int(row.n_known_finds),
        "n_finds_by_bound": merits["n_finds_by_bound"] if merits["n_with_uncertainty"] else None,
        "finds_per_100_calls": _ratio(100 * merits["n_finds"], row.n_charged),
        "calls_to_first_find": merits["calls_to_first_find"],
        "n_met": ", ".join(f"{words.property_name(one.property)} {one.n_met:,}" for one in row.targets),
        "n_on_front": row.n_on_front,
        "best": trace.best_value(),
        "n_chemical_systems": merits["n_chemical_systems"],
        "valid_share": _ratio(merits["n_valid"], n_distinct),
        "valid_find_share": _ratio(merits["n_valid_finds"], merits["n_finds"]),
        "autoencoder": facts["autoencoder"],
        "round_trip": metrics.get("round_trip", metrics.get("training_round_trip")),
        "box_undecodable": metrics.get("box_undecodable"),
        "valid_decodes": metrics.get("valid_decodes"),
        "time_spent": row.time_spent or timedelta(0),
    }
    return Compared(figures, trace)


def shown(line: Line, figures: Mapping[str, Any]) -> str:
    """A figure as a reader meets it, with its unit."""
    value = figures[line.key]
    text = line.shown(value)
    return f"{text} {figures['unit']}" if line.key == "best" and value is not None else text


def _kind(sampler: Mapping[str, Any]) -> str | None:
    """The kind of a sampler; one that chooses at random among what it makes is the random control."""
    return "random" if sampler.get("acquisition") == "random" else sampler.get("kind")


def _refuse_unlike(figures: Sequence[Mapping[str, Any]]) -> None:
    first = figures[0]
    for other in figures[1:]:
        if (first["property"], first["target"]) != (other["property"], other["target"]):
            raise InputError(
                f"{first['campaign']} looks for {first['target']}, {other['campaign']} for {other['target']}: "
                "their finds are not the same thing; --anyway counts each by its own target"
            )


def _ratio(part: Any, whole: Any) -> float | None:
    return float(part) / float(whole) if whole else None
