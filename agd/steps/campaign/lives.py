"""Campaigns over months: names, notes, tags, archiving, deleting. Each is a row, and none of it changes a hash."""

from collections.abc import Sequence
from dataclasses import replace

from agd.db.connection import Transaction
from agd.db.reading import histories
from agd.db.record import activities, campaign_events, campaign_removals, campaigns
from agd.db.removals import open_removal
from agd.errors import InputError
from agd.progress import Progress, silent
from agd.spec import NAME, hash_of
from agd.steps.campaign.campaigns import campaign_row
from agd.steps.data.labelling import whoami
from agd.views import CampaignAbout, Deletion, Happening, of_rows
from agd.work.workspace import Workspace

_HASH_WITH_NAME = 2
"""Version of the content hash that covers the name."""


def note(workspace: Workspace, name: str, words: str, operator: str | None = None) -> None:
    """Keep a note with a campaign; raises NotFoundError, or InputError where it says nothing."""
    if not words.strip():
        raise InputError("the note says nothing: give some words")
    _tell(workspace, name, [("note", words.strip())], operator)


def tag(
    workspace: Workspace, name: str, tags: Sequence[str], *, is_off: bool = False, operator: str | None = None
) -> None:
    """Put tags on a campaign, or take them off; what stands already is not said again.

    Raises:
        NotFoundError: there is no such campaign.
        InputError: a tag is not of letters, digits, dots, dashes and underscores.
    """
    for one in tags:
        if not NAME.fullmatch(one):
            raise InputError(f"{one!r} is no tag: use letters, digits, '.', '-' and '_', 63 at most")
    standing = set(about(workspace, name).tags)
    wanted = [one for one in dict.fromkeys(tags) if (one in standing) == is_off]
    _tell(workspace, name, [("untag" if is_off else "tag", one) for one in wanted], operator)


def archive(workspace: Workspace, name: str, *, is_undone: bool = False, operator: str | None = None) -> None:
    """Leave a campaign out of lists, or show it again; it stays as it is, and can be resumed."""
    if about(workspace, name).is_archived == is_undone:
        _tell(workspace, name, [("unarchive" if is_undone else "archive", None)], operator)


def about(workspace: Workspace, name: str) -> CampaignAbout:
    """What was said of a campaign; raises NotFoundError."""
    campaign_id = campaign_row(workspace, name).id
    with workspace.database.read() as tx:
        return next(row for row in all_about(tx) if row.campaign_id == campaign_id)


def all_about(tx: Transaction) -> list[CampaignAbout]:
    """What was said of each campaign."""
    return of_rows(CampaignAbout, histories.about(tx))


def log(workspace: Workspace, name: str, n: int | None = None) -> list[Happening]:
    """What happened to a campaign, in order, the last `n`; raises NotFoundError."""
    campaign_id = campaign_row(workspace, name).id
    with workspace.database.read() as tx:
        return of_rows(Happening, histories.log(tx, campaign_id, n))


def rename(workspace: Workspace, name: str, new: str, operator: str | None = None) -> list[tuple[str, str]]:
    """Give a campaign another name, and its controls with it; the names that changed, old and new.

    Raises:
        NotFoundError: there is no such campaign.
        InputError: the new name is none, is or was another campaign's, or work under the old one is under way.
        BusyError: somebody runs it.
    """
    row = campaign_row(workspace, name)
    if not NAME.fullmatch(new):
        raise InputError(f"{new!r} is no name: use letters, digits, '.', '-' and '_', 63 at most")
    _refuse_renaming(row.hash_version, name, is_queued=row.engine != "local" and row.ended_at is None)
    with workspace.database.campaign_lock(row.id, name), workspace.database.transaction() as tx:
        twins = campaign_removals.controls(tx, row.id)
        pairs = [(name, new), *((one, new + one[len(name) :]) for one in twins if one.startswith(f"{name}-"))]
        who = operator or whoami()
        open_removal(tx, f"campaign {name} was renamed to {new} by {who}")
        activity_id = activities.start(tx, "rename", threads=1)
        for old, wanted in pairs:
            _rename(tx, old, wanted, who, activity_id)
        activities.finish(tx, activity_id)
    return pairs


def _refuse_renaming(hash_version: int, name: str, *, is_queued: bool) -> None:
    if hash_version == _HASH_WITH_NAME:
        raise InputError(f"campaign {name!r} keeps a hash of before schema 0007, which covers its name: `agd note` it")
    if is_queued:
        raise InputError(
            f"campaign {name!r} is in the queue under this name: let it end, or `agd stop {name}` and "
            f"`agd resume {name} --engine local`"
        )


def _rename(tx: Transaction, old: str, new: str, operator: str, activity_id: int) -> None:
    row = campaigns.find(tx, old)
    assert row is not None  # noqa: S101  looked up before
    if campaigns.find(tx, new) is not None:
        raise InputError(f"there is a campaign {new!r} already: choose another name")
    if (now := campaign_events.named_before(tx, new)) not in {None, old}:
        raise InputError(f"{new!r} is what campaign {now!r} was called before: choose another name")
    if waiting := campaign_events.waiting_requests(tx, row.id):
        raise InputError(
            f"jobs {', '.join(map(str, waiting[:5]))} name campaign {old!r} and are not done: wait, or cancel them"
        )
    campaign_events.rename(tx, row.id, old, new, hash_of({**row.spec, "name": new}))
    campaign_events.store(tx, row.id, "rename", old, operator, activity_id)


def what_goes(workspace: Workspace, name: str) -> Deletion:
    """What would go if a campaign were deleted.

    Raises:
        NotFoundError: there is no such campaign.
        InputError: others rest on it; the message names them.
    """
    row = campaign_row(workspace, name)
    with workspace.database.read() as tx:
        return _deletion(tx, row.id, name)


def delete(
    workspace: Workspace, name: str, *, operator: str | None = None, why: str | None = None, progress: Progress = silent
) -> Deletion:
    """Remove a campaign: suggestions, latent points, screenings and activities; a row says what, by whom and when.

    Compositions, labels and models stay. It is one transaction: all of it goes, or nothing.

    Raises:
        NotFoundError: there is no such campaign.
        InputError: others rest on it.
        BusyError: somebody runs it.
    """
    row = campaign_row(workspace, name)
    if row.engine != "local" and row.ended_at is None and row.stop_requested_at is None:
        raise InputError(f"campaign {name!r} is in the queue: `agd stop {name}` first")
    who = operator or whoami()
    with workspace.database.campaign_lock(row.id, name), workspace.database.transaction() as tx:
        found = _deletion(tx, row.id, name)
        reason = f"campaign {name} was deleted by {who}" + ("" if not why else f": {why}")
        removal_id = open_removal(tx, reason)
        assert removal_id is not None  # noqa: S101  the schema is current
        activity_id = activities.start(tx, "delete", threads=1)
        campaign_removals.keep(tx, row.id, removal_id, who, campaign_removals.counts(tx, row.id), activity_id)

        def report(done: int, note: str) -> None:
            progress(done, found.n_suggestions, note)

        campaign_removals.remove(tx, row.id, removal_id, report)
        activities.finish(tx, activity_id)
    return replace(found, removal_id=removal_id)


def _deletion(tx: Transaction, campaign_id: int, name: str) -> Deletion:
    if controls := campaign_removals.controls(tx, campaign_id):
        raise InputError(f"campaign {name!r} has controls: `agd delete {controls[0]}` first ({', '.join(controls)})")
    if learners := campaign_removals.learners(tx, campaign_id):
        raise InputError(f"campaign {name!r} stays, for models of {', '.join(learners)} learned from its labels")
    if jobs := campaign_removals.jobs_behind(tx, campaign_id):
        raise InputError(f"jobs {', '.join(map(str, jobs))} wait for work of campaign {name!r}: `agd jobs cancel` them")
    found = campaign_removals.counts(tx, campaign_id)
    return Deletion(
        campaign=name,
        n_suggestions=found.n_suggestions,
        n_iterations=found.n_iterations,
        n_screenings=found.n_screenings,
        n_activities=found.n_activities,
        n_labels_kept=found.n_labelled,
        n_models_kept=found.n_models,
    )


def _tell(workspace: Workspace, name: str, said: Sequence[tuple[str, str | None]], operator: str | None) -> None:
    """Keep what somebody said of a campaign, each a row."""
    campaign_id = campaign_row(workspace, name).id
    if any(value is not None and "\x00" in value for _, value in said):
        raise InputError("it holds the null character: leave it out")
    if not said:
        return
    with workspace.database.transaction() as tx:
        activity_id = activities.start(tx, "note", threads=1)
        for kind, value in said:
            campaign_events.store(tx, campaign_id, kind, value, operator or whoami(), activity_id)
        activities.finish(tx, activity_id)
