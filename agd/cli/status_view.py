"""How `agd status` looks: tables of campaigns, of the queue, of who is at work, and of the last iterations."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agd.cli import show

if TYPE_CHECKING:
    from agd.views import CampaignAbout, CampaignProgress, Status, TargetProgress

_Columns: TypeAlias = Mapping[str, Callable[["CampaignProgress"], object]]

_LISTED: _Columns = {
    "campaign": lambda row: row.campaign,
    "state": lambda row: row.state.removeprefix("ended: "),
    "calls": lambda row: f"{row.n_charged:,}/{row.budget_calls:,}",
    "finds": lambda row: row.n_finds,
    "best": lambda row: row.best,
    "active": lambda row: show.ago(row.last_active),
}
_STANDING: _Columns = {
    "campaign": lambda row: row.campaign,
    "state": lambda row: row.state,
    "calls": lambda row: row.n_charged,
    "budget": lambda row: row.budget_calls,
    "finds": lambda row: row.n_finds,
    "known": lambda row: row.n_known_finds,
    "best": lambda row: row.best,
}
_ACTIVE: _Columns = {"active": lambda row: show.ago(row.last_active)}
_COUNTERS: _Columns = {
    "suggested": lambda row: row.n_suggested,
    "undecodable": lambda row: row.n_undecodable,
    "seen before": lambda row: row.n_duplicate + row.n_known,
    "rejected": lambda row: row.n_rejected,
    "iterations": lambda row: row.n_iterations,
}
_NONE_YET = "no campaigns yet: `agd init wide-gap.toml` writes a specification to start from"

_WIDE = 156
"""Characters of a line from which on all of it is one table."""

_OF_ITERATIONS = (
    *("iteration", "n_suggested", "n_undecodable", "n_duplicate", "n_known", "n_rejected", "n_new", "n_finds"),
    *("highest", "is_recorded"),
)
_SPARED = ("n_suggested", "is_recorded")
"""Left out on shorter lines: the sum of what is shown, and a word that is yes but for the last."""

_FULL = 102
_TAGS_FIT = 100


def _of_campaigns() -> list[_Columns]:
    """What tables of campaigns show."""
    if show.console.width >= _WIDE:
        return [{**_STANDING, **_COUNTERS, **_ACTIVE}]
    return [_LISTED]


def listed(rows: Sequence["CampaignProgress"], about: Mapping[int, "CampaignAbout"]) -> RenderableType:
    """One line for each campaign, with its tags where any has some."""
    if not rows:
        return _NONE_YET
    has_tags = show.console.width >= _TAGS_FIT and any(about[row.campaign_id].tags for row in rows)
    shown = [
        [*(of(row) for of in _LISTED.values()), *([" ".join(about[row.campaign_id].tags)] if has_tags else [])]
        for row in rows
    ]
    return show.table([*_LISTED, *(["tags"] if has_tags else [])], shown)


def _card(row: "CampaignProgress") -> RenderableType:
    """One campaign alone: a bar of its budget, and its counters in words."""
    share = min(1.0, row.n_charged / row.budget_calls)
    bounds = _target_of(row.property, row.unit, row.target_low, row.target_high)
    seen = row.n_duplicate + row.n_known
    lines: list[tuple[str, RenderableType]] = [
        ("state", Text(f"{row.state}, active {show.ago(row.last_active)}")),
        ("target", Text(bounds)),
        ("calls", Text(f"{_bar(share)} {row.n_charged:,} of {row.budget_calls:,}, {share:.0%}")),
        ("finds", Text(f"{row.n_finds:,}, {row.n_known_finds:,} of them known; best {show.text(row.best)} {row.unit}")),
        (
            "suggested",
            Text(
                f"{row.n_suggested:,} in {row.n_iterations:,} iterations: {row.n_undecodable:,} undecodable, "
                f"{seen:,} seen before, {row.n_rejected:,} rejected"
            ),
        ),
    ]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", style="dim")
    grid.add_column(overflow="fold")
    for name, words in lines:
        grid.add_row(name, words)
    return Group(Text(row.campaign, style="bold"), grid)


def _bar(share: float, width: int = 24) -> str:
    full = round(share * width)
    ends = ("█", "░") if (show.console.encoding or "").startswith("utf") else ("#", "-")
    return ends[0] * full + ends[1] * (width - full)


def shown(status: "Status", *, is_alone: bool = False) -> RenderableType:
    """Tables of a status, by the width of the terminal, and what there is to say; one campaign alone is a card."""
    from agd.views import budget_in_words

    if not status.campaigns:
        return _NONE_YET
    if is_alone:
        parts: list[RenderableType] = [_card(row) for row in status.campaigns]
    else:
        parts = [
            show.table(list(columns), ([of(row) for of in columns.values()] for row in status.campaigns))
            for columns in _of_campaigns()
        ]
    if status.queue:
        parts.append(_queue_view(status.queue))
    if status.at_work:
        titles = ["at work on", "step", "host", "process", "firework", "since"]
        rows = [
            [
                one.campaign,
                one.step if one.iteration is None else f"{one.step} {one.iteration}",
                one.host,
                str(one.pid),
                one.fw_id,
                show.ago(one.started_at),
            ]
            for one in status.at_work
        ]
        parts.append(show.table(titles, rows))
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
    return _target_of(one.property, one.unit, one.low, one.high)


def _target_of(name: str, unit: str, low: float | None, high: float | None) -> str:
    if high is None:
        return f"{name} > {low:g} {unit}"
    return f"{'' if low is None else f'{low:g} {unit} < '}{name} < {high:g} {unit}"


def _queue_view(queue: Mapping[str, Mapping[str, int]]) -> RenderableType:
    """Fireworks by state; what is done stands last."""
    order = ["READY", "RUNNING", "WAITING", "FIZZLED", "RESERVED", "PAUSED", "DEFUSED", "ARCHIVED", "COMPLETED"]
    shown = [state for state in order if any(counts.get(state) for counts in queue.values())]
    rows = [[name, *(counts.get(state, 0) for state in shown)] for name, counts in queue.items()]
    return show.table(["fireworks of", *(state.lower() for state in shown)], rows)
