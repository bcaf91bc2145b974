"""Why nothing moves: what fireworks wait for that no worker of ours can change, and the cure."""

import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fireworks import LaunchPad

from agd.db.connection import AnyRow
from agd.db.record import activities, jobs
from agd.steps.campaign.campaigns import Campaign, Step, kept_back
from agd.steps.campaign.stepping import due_steps
from agd.work.workspace import Workspace
from agd_workflows.launching import Share
from agd_workflows.task_runs import queued

_HELD = ("PAUSED", "READY", "RESERVED", "FIZZLED")
_FEW = 5


def why_still(workspace: Workspace, launchpad: LaunchPad, campaign: Campaign, own_pids: Collection[int]) -> str | None:
    """What the due steps of a campaign wait for; None where a process of ours, `own_pids`, is at one of them."""
    with workspace.database.read() as tx:
        due, leases = due_steps(tx, campaign), activities.leases(tx, campaign.id)
        kept = kept_back(tx, campaign, due)
    is_here = [row for row in leases if row.host == platform.node() and row.pid in own_pids and not row.is_expired]
    if is_here:
        return None
    told = [_lease(row) for row in leases if Step(row.step, row.iteration) in due]
    told += map(jobs.standing, kept.values())
    told += held(launchpad, {"spec.campaign": campaign.name})
    there = {step for step, _ in queued(workspace, launchpad, campaign.name)}
    missing = [str(step) for step in due if step not in there and step not in kept]
    if missing and not leases:
        again = f"queued anew within {workspace.pace.reconcile_s:g} s"
        told.append(f"{', '.join(missing)}: not in the queue any more (archived, defused or deleted there), {again}")
    return f"{campaign.name}: {'; '.join(told)}" if told else None


def why_idle(launchpad: LaunchPad, share: Share) -> Callable[[], str | None]:
    """Looks up what keeps a worker's share from being launched; that there is nothing to do is said once."""
    query = {} if share.campaign is None else {"spec.campaign": share.campaign}
    was_idle = False

    def words() -> str | None:
        nonlocal was_idle
        is_taken = (lambda category: category in share.categories) if share.categories else (lambda _: True)
        told = held(launchpad, query, is_taken=is_taken)
        if share.is_limited and (large := _too_large(launchpad, share)):
            told.append(f"ready, but needs more cores, hours or programs than this worker has: {_named(large)}")
        is_idle = not told and launchpad.fireworks.find_one({**query, "state": {"$in": ["READY", "RUNNING"]}}) is None
        was_idle, is_news = is_idle, is_idle and not was_idle
        if is_news and not share.is_quiet:
            return "nothing is queued: waiting for work"
        return "; ".join(told) or None

    return words


def held(
    launchpad: LaunchPad, query: Mapping[str, Any], *, is_taken: Callable[[Any], bool] = lambda _: True
) -> list[str]:
    """What keeps the fireworks of a query from being launched; `is_taken`: whether our workers take such a category."""
    wanted = {"fw_id": 1, "name": 1, "state": 1, "spec._fworker": 1, "spec._category": 1, "launches": 1}
    rows = list(launchpad.fireworks.find({**query, "state": {"$in": list(_HELD)}}, wanted))
    rows.sort(key=lambda row: row["fw_id"])
    by_state = {state: [row for row in rows if row["state"] == state] for state in _HELD}
    told = []
    if paused := by_state["PAUSED"]:
        ids = ",".join(str(row["fw_id"]) for row in paused)
        told.append(f"paused in the queue: {_named(paused)}: `agd lpad resume_fws -i {ids}` lets them go on")
    if kept := [row for row in by_state["READY"] if row["spec"].get("_fworker")]:
        names = sorted({str(row["spec"]["_fworker"]) for row in kept})
        told.append(f"kept for FireWorks' worker {', '.join(names)} (`_fworker`): {_named(kept)}")
    if other := [row for row in by_state["READY"] if row not in kept and not is_taken(row["spec"].get("_category"))]:
        categories = sorted({str(row["spec"].get("_category")) for row in other})
        told.append(f"ready, but for workers of category {', '.join(categories)}: {_named(other)}")
    if reserved := by_state["RESERVED"]:
        told.append(f"waiting for a job of the cluster: {_named(reserved)}")
    if failed := by_state["FIZZLED"]:
        told.append(f"failed, and tried again later: {_named(failed)} ({_error(launchpad, failed[-1])})")
    return told


def _too_large(launchpad: LaunchPad, share: Share) -> list[Mapping[str, Any]]:
    """The ready fireworks of a share, but for what they need."""
    unlimited = replace(share, n_cores=None, hours=None, programs=())
    wanted = {"fw_id": 1, "name": 1}
    ready, taken = (
        list(launchpad.fireworks.find({**one.fworker().query, "state": "READY"}, wanted)) for one in (unlimited, share)
    )
    ids = {row["fw_id"] for row in taken}
    return sorted((row for row in ready if row["fw_id"] not in ids), key=lambda row: int(row["fw_id"]))


def _lease(row: AnyRow) -> str:
    is_gone = row.host == platform.node() and not activities.is_alive(row.pid)
    who = f"process {row.pid} on {row.host}{', which is gone' if is_gone else ''}"
    if row.is_expired:
        return f"{Step(row.step, row.iteration)} was lost by {who}, and is queued again soon"
    until = f"{row.lease_expires_at:%H:%M:%S} UTC"
    after = " and is queued again then" if is_gone else ", longer while that says it lives"
    return f"{Step(row.step, row.iteration)} is leased to {who}, until {until}{after}"


def _named(rows: Sequence[Mapping[str, Any]]) -> str:
    some = ", ".join(f"firework {row['fw_id']} ({row['name']})" for row in rows[:_FEW])
    return some if len(rows) <= _FEW else f"{some} and {len(rows) - _FEW} more"


def _error(launchpad: LaunchPad, row: Mapping[str, Any]) -> str:
    """The last line of what a failed firework left."""
    launch = launchpad.launches.find_one({"launch_id": (row["launches"] or [None])[-1]}) or {}
    stored = (launch.get("action") or {}).get("stored_data") or {}
    said = str((stored.get("_exception") or {}).get("_stacktrace") or stored.get("_message") or "").strip()
    return said.splitlines()[-1] if said else "no reason was left"
