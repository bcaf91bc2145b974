"""How `agd status` looks: tables of campaigns, of the queue, of who is at work, and of the last iterations."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Group, RenderableType
from rich.text import Text

from agd.cli import show

if TYPE_CHECKING:
    from agd.views import CampaignProgress, Status, TargetProgress

_Columns: TypeAlias = Mapping[str, Callable[["CampaignProgress"], object]]

_STANDING: _Columns = {
    "campaign": lambda row: row.campaign,
    "state": lambda row: row.state,
    "calls": lambda row: row.n_charged,
    "budget": lambda row: row.budget_calls,
    "finds": lambda row: row.n_finds,
    "known": lambda row: row.n_known_finds,
    "best": lambda row: row.best,
}
_ACTIVE: _Columns = {"last active": lambda row: row.last_active}
_COUNTERS: _Columns = {
    "suggested": lambda row: row.n_suggested,
    "undecodable": lambda row: row.n_undecodable,
    "seen before": lambda row: row.n_duplicate + row.n_known,
    "rejected": lambda row: row.n_rejected,
    "iterations": lambda row: row.n_iterations,
}
_WIDE = 156
"""Characters of a line from which on all of it is one table."""

_OF_ITERATIONS = (
    *("iteration", "n_suggested", "n_undecodable", "n_duplicate", "n_known", "n_rejected", "n_new", "n_finds"),
    *("highest", "is_recorded"),
)
_SPARED = ("n_suggested", "is_recorded")
"""Left out on shorter lines: the sum of what is shown, and a word that is yes but for the last."""

_FULL = 102


def _of_campaigns() -> list[_Columns]:
    """What tables of campaigns show."""
    if show.console.width >= _WIDE:
        return [{**_STANDING, **_COUNTERS, **_ACTIVE}]
    return [{**_STANDING, **_ACTIVE}, {"campaign": _STANDING["campaign"], **_COUNTERS}]


def shown(status: "Status") -> RenderableType:
    """Tables of a status, by the width of the terminal, and what there is to say."""
    from agd.views import budget_in_words

    if not status.campaigns:
        return "no campaigns yet: `agd init wide-gap.toml` writes a specification to start from"
    parts: list[RenderableType] = [
        show.table(list(columns), ([of(row) for of in columns.values()] for row in status.campaigns))
        for columns in _of_campaigns()
    ]
    if status.queue:
        parts.append(_queue_view(status.queue))
    if status.at_work:
        keys = ["campaign", "step", "iteration", "host", "pid", "fw_id", "started_at", "lease_expires_at"]
        titles = ["at work on", "step", "iteration", "host", "process", "firework", "since", "lease until"]
        parts.append(show.table(titles, show.cells(status.at_work, keys)))
    parts += [
        Text(f"{row.campaign}: {row.parked_reason or row.last_error}")
        for row in status.campaigns
        if row.state == "failed"
    ]
    for row in status.campaigns:
        if amended := [one for one in status.amendments if one.campaign_id == row.campaign_id]:
            parts.append(Text(f"{row.campaign}: extended to {budget_in_words(amended)}"))
    parts += [Text(f"{row.campaign}: {_sought(row)}") for row in status.campaigns if row.targets]
    if status.iterations:
        keys = list(
            _OF_ITERATIONS if show.console.width >= _FULL else [key for key in _OF_ITERATIONS if key not in _SPARED]
        )
        titles = [key.removeprefix("n_").removeprefix("is_") for key in keys]
        parts.append(show.table(titles, show.cells(status.iterations, keys)))
    return Group(*parts)


def _sought(row: "CampaignProgress") -> str:
    """What came of each of several properties: how many meet its target, and all of them."""
    of_each = "; ".join(f"{_target(one)}: {one.n_met:,}, best {show.text(one.best)} {one.unit}" for one in row.targets)
    return f"{of_each}; all: {row.n_finds:,}; on the front: {show.text(row.n_on_front)}"


def _target(one: "TargetProgress") -> str:
    """`band_gap > 5 eV`."""
    if one.high is None:
        return f"{one.property} > {one.low:g} {one.unit}"
    low = "" if one.low is None else f"{one.low:g} {one.unit} < "
    return f"{low}{one.property} < {one.high:g} {one.unit}"


def _queue_view(queue: Mapping[str, Mapping[str, int]]) -> RenderableType:
    """Fireworks by state; what is done stands last."""
    order = ["READY", "RUNNING", "WAITING", "FIZZLED", "RESERVED", "PAUSED", "DEFUSED", "ARCHIVED", "COMPLETED"]
    shown = [state for state in order if any(counts.get(state) for counts in queue.values())]
    rows = [[name, *(counts.get(state, 0) for state in shown)] for name, counts in queue.items()]
    return show.table(["fireworks of", *(state.lower() for state in shown)], rows)
