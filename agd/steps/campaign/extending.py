"""Extending: a campaign goes on with a larger budget, and the change of its specification is a row."""

import math
import re
from dataclasses import dataclass, replace
from typing import Final

from agd.accounting import STALLED
from agd.db.connection import AnyRow, Transaction
from agd.db.reading import progress
from agd.db.record import activities, amendments, campaigns
from agd.errors import InputError
from agd.steps.campaign.campaigns import Campaign, get_campaign
from agd.views import Extension
from agd.work.workspace import Workspace

MAX_CALLS: Final = 2**31 - 1
"""As many as a specification may ask for."""

_CALLS = re.compile(r"(\+?)(\d{1,10})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Calls:
    """How many calls a campaign shall have: `n` in all, or `n` more than it has."""

    n: int
    is_more: bool

    @classmethod
    def of(cls, words: str) -> "Calls":
        """Read `1200`, a new total, or `+200`, so many more; raises InputError."""
        found = _CALLS.fullmatch(words.strip())
        if found is None or not 0 < int(found[2]) <= MAX_CALLS:
            shown = words if len(words) <= 20 else f"{words[:20]}..."  # noqa: PLR2004  what can be a number
            raise InputError(
                f"--oracle-calls {shown!r}: give how many more, as in +200, or a new total, as in 1200; "
                f"{MAX_CALLS:,} at most"
            )
        return cls(int(found[2]), bool(found[1]))


def extend(workspace: Workspace, name: str, calls: Calls, *, is_dry: bool = False) -> Extension:
    """Let a campaign spend more oracle calls; where it has ended, it goes on with the next run.

    Whoever runs it meanwhile goes by the new budget from the next step on. A dry run says what would change.

    Raises:
        NotFoundError: there is no such campaign.
        InputError: these are no more calls than it has, or it is a control, which spends what its campaign does.
    """
    campaign = get_campaign(workspace, name)
    if is_dry:
        with workspace.database.read() as tx:
            return _planned(tx, campaign, calls)
    with workspace.database.transaction() as tx:
        amendments.lock(tx, campaign.id)
        planned = _planned(tx, campaign, calls)
        _amend(tx, campaign.id, planned.budget_calls, planned.end_reason)
        (row,) = progress.campaigns(tx, name)
    return replace(planned, state=row["state"])


def keep_up(workspace: Workspace, control: AnyRow, of: AnyRow) -> None:
    """Let a control spend what its campaign may by now: both are rows of campaigns."""
    with workspace.database.transaction() as tx:
        if amendments.held_budget(tx, control.id) < of.oracle_calls:
            row = campaigns.find(tx, control.name)
            assert row is not None  # noqa: S101  campaigns are never removed
            _amend(tx, control.id, of.oracle_calls, row.end_reason)


def _amend(tx: Transaction, campaign_id: int, calls: int, end_reason: str | None) -> None:
    """Store the larger budget of a campaign that this transaction holds, and undo its end."""
    activity_id = activities.start(tx, "extend", threads=1)
    amendments.store_budget(tx, campaign_id, calls, activity_id)
    if end_reason is not None:
        campaigns.reopen(tx, campaign_id, end_reason)
    activities.finish(tx, activity_id)


def _planned(tx: Transaction, campaign: Campaign, calls: Calls) -> Extension:
    """What the calls come to, as the campaign stands; raises InputError where that cannot be."""
    name = campaign.name
    (row,) = progress.campaigns(tx, name)
    if row["twin_of"] is not None:
        raise InputError(
            f"campaign {name!r} is a control of {row['twin_of']!r} and spends what that does: `agd extend "
            f"{row['twin_of']}`, then `agd resume {row['twin_of']} --twin`"
        )
    present, spent = row["budget_calls"], row["n_charged"]
    total = present + calls.n if calls.is_more else calls.n
    if total <= present:
        raise InputError(
            f"--oracle-calls {total}: campaign {name!r} may spend {present} calls already, and has spent {spent}: "
            f"give a total above {present}, or how many more, as in +{total}"
        )
    if total > MAX_CALLS:
        raise InputError(
            f"--oracle-calls +{calls.n}: with the {present} calls that campaign {name!r} has these are more than "
            f"{MAX_CALLS:,}"
        )
    left, n_iterations = total - spent, row["n_iterations"]
    per_iteration = spent / n_iterations if spent and n_iterations else campaign.spec.budget.suggestions_per_iteration
    return Extension(
        campaign=name,
        state=row["state"],
        end_reason=row["end_reason"],
        is_exhausted=row["end_reason"] == STALLED,
        budget_calls_before=present,
        budget_calls=total,
        n_charged=spent,
        oracle_calls_left=left,
        n_iterations_expected=math.ceil(left / per_iteration),
    )
