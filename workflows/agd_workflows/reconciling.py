"""Keeping queue and record in step: the record is the truth, the queue is mended.

Whatever was killed, one pass after the leases have run out finds it: lost runs are run again, failed ones as their
error deserves, what keeps failing is parked with its error kept, and where the queue has forgotten a campaign, or says
done where the record does not, the campaign's next steps are queued again.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fireworks import LaunchPad

from agd.db.connection import AnyRow, Transaction, locked_campaigns
from agd.db.record import activities, campaigns
from agd.engines import Mended
from agd.errors import DatabaseError
from agd.steps import requests
from agd.steps.campaign.campaigns import Campaign, Step, as_campaign, kept_back, park
from agd.steps.campaign.stepping import AWAIT, due_steps
from agd.steps.campaign.turns import is_done
from agd.steps.requests import Plan
from agd.work.retrying import MAX_LOST
from agd.work.workspace import Workspace
from agd_workflows import former
from agd_workflows.build import campaign_workflow, step_of
from agd_workflows.mending import PARKED, Mender, Work, seconds_since
from agd_workflows.request_queue import RequestQueue
from agd_workflows.task_runs import ENGINE, UNSETTLED, queued


@dataclass(frozen=True, slots=True)
class _View:
    """What the record says of a campaign at one moment."""

    campaign: Campaign
    due: Sequence[Step]
    attempts: Sequence[AnyRow]
    leased: set[Step]

    def tries(self, step: Step) -> list[AnyRow]:
        """The attempts of a step that did not succeed and are not forgiven."""
        return [row for row in self.attempts if (row.step, row.iteration) == (step.kind, step.iteration)]


@dataclass(slots=True)
class Reconciler:
    """Compares queue and record, pass after pass; it remembers since when a workflow has been locked."""

    workspace: Workspace
    launchpad: LaunchPad
    is_dry: bool = False
    _locked: dict[int, str | None] = field(default_factory=dict)
    _since: dict[tuple[int, str], float] = field(default_factory=dict)

    def look(self) -> list[Mended] | None:
        """One pass; None where another process is at one.

        Raises:
            DatabaseError: the record or the queue does not answer.
        """
        with self.workspace.database.reconcile_lock() as is_ours:
            return list(self._pass()) if is_ours else None

    def start_afresh(self, campaign: Campaign) -> None:
        """Take the failed fireworks of a campaign out of the queue, with those that wait for them, and look."""
        with self.workspace.database.reconcile_lock(waits=True):
            if any(
                document["state"] == "FIZZLED" for _, document in queued(self.workspace, self.launchpad, campaign.name)
            ):
                self._retire(campaign.name)
            list(self._pass())

    def leave(self, plan: Plan) -> list[int]:
        """Leave to the queue what a plan asks for; the ids of its fireworks."""
        with self.workspace.database.reconcile_lock(waits=True):
            return self._requests.leave(plan)

    @property
    def _mender(self) -> Mender:
        return Mender(self.workspace, self.launchpad, self.is_dry)

    @property
    def _requests(self) -> RequestQueue:
        return RequestQueue(self._mender)

    @property
    def has_locks(self) -> bool:
        """Whether the last pass saw a locked workflow, which the next one may find stale."""
        return bool(self._locked)

    def _pass(self) -> Iterator[Mended]:
        with self.workspace.database.read() as tx:
            rows, alone = campaigns.open_on(tx, ENGINE), locked_campaigns(tx, alone=True)
            asked = requests.left(tx)
        yield from self._locks()
        yield from self._former()
        yield from self._strangers({row.name for row in rows}, {one.job_id for one in asked})
        there = self._requests.documents([one.job_id for one in asked])
        for one in asked:
            if (one.campaign or one.title) not in self._locked.values():
                yield from _guarded(one.campaign, self._requests.look(one, there.get(one.job_id, ())))
        for row in rows:
            if row.id not in alone and row.name not in self._locked.values():
                yield from _guarded(row.name, self._look_at(row))

    def _look_at(self, row: AnyRow) -> Iterator[Mended]:
        campaign = as_campaign(row)
        yield from self._mender.bury(
            campaign.name, lambda lease: str(Step(lease.step, lease.iteration)), campaign_id=campaign.id
        )
        if row.parked_reason is None and row.stop_requested_at is None:
            yield from self._campaign(campaign)

    def _campaign(self, campaign: Campaign) -> Iterator[Mended]:
        with self.workspace.database.read() as tx:
            view = _View(
                campaign,
                _open_steps(tx, campaign),
                activities.attempts(tx, campaign.id),
                {Step(row.step, row.iteration) for row in activities.leases(tx, campaign.id) if not row.is_expired},
            )
        if not view.due or view.due[0].kind == AWAIT:
            return
        is_parked = False
        for step, document in queued(self.workspace, self.launchpad, campaign.name):
            found = self._mender.look_at(self._work(view, step), document)
            if found is not None:
                yield found
                is_parked |= found.what.startswith(PARKED)
        if not is_parked:
            yield from self._missing(view)

    def _work(self, view: _View, step: Step) -> Work:
        return Work(
            owner=view.campaign.name,
            what=str(step),
            is_due=step in view.due,
            is_leased=step in view.leased,
            tries=view.tries(step),
            is_done=partial(self._is_done, view.campaign, step),
            park=partial(self._park, view.campaign, step),
            cure=f"agd resume {view.campaign.name}",
        )

    def _is_done(self, campaign: Campaign, step: Step) -> bool:
        with self.workspace.database.read() as tx:
            return is_done(tx, campaign, step)

    def _park(self, campaign: Campaign, step: Step, reason: str) -> None:
        with self.workspace.database.transaction() as tx:
            park(tx, campaign, step, reason)

    def _missing(self, view: _View) -> Iterator[Mended]:
        """The steps that are due and that no firework will do."""
        if self._is_covered(view):
            return
        name = view.campaign.name
        waiting = [
            document["fw_id"] for step, document in queued(self.workspace, self.launchpad, name) if step in view.due
        ]
        for fw_id in [] if self.is_dry else waiting:
            self._mender.refresh(fw_id)
        if waiting and self._is_covered(view):
            yield Mended(name, waiting[0], f"{view.due[0]}: made ready")
            return
        with self.workspace.database.read() as tx:
            if _open_steps(tx, view.campaign) != view.due:  # it went on meanwhile
                return
        if not self.is_dry:
            self._retire(name)
            self.launchpad.add_wf(campaign_workflow(self.workspace, view.campaign, view.due))
        yield Mended(name, None, f"{', '.join(map(str, view.due))}: due and not in the queue, queued")

    def _is_covered(self, view: _View) -> bool:
        """Whether each step that is due has its firework, or something is at work, after which we look again.

        What runs need not be due: the record has a step before the queue hears of it and makes the next one ready.
        """
        states: dict[Step, set[str]] = {}
        for step, document in queued(self.workspace, self.launchpad, view.campaign.name):
            states.setdefault(step, set()).add(document["state"])
        if view.leased or any("RUNNING" in found for found in states.values()):
            return True
        return all(states.get(step, set()) & {"READY", "RESERVED", "FIZZLED", "PAUSED"} for step in view.due)

    def _strangers(self, names: set[str], job_ids: set[int]) -> Iterator[Mended]:
        """Lost runs of what is done, and of steps of campaigns that are over, stopped for good or another engine's.

        Not those of campaigns of these names, nor of these jobs.
        """
        for launch in self.launchpad.launches.find({"state": "RUNNING"}):
            if seconds_since(launch) < self.workspace.pace.lease_s:
                continue
            document = self.launchpad.fireworks.find_one({"fw_id": launch["fw_id"], "state": "RUNNING"})
            if document is None or launch["launch_id"] not in document["launches"] or not is_ours(document):
                continue
            name = document["spec"].get("campaign")
            if document["spec"].get("job") in job_ids:
                continue
            if step_of(self.workspace, document) is not None and (name in names or self._is_leased(name)):
                continue
            fw_id, n = document["fw_id"], len(document["archived_launches"]) + 1
            if n <= MAX_LOST:
                again = f"{document['name']}: lost by its worker, queued again"
                yield self._mender.mended(name, fw_id, again, self._mender.rerun)
            else:
                give_up = f"{document['name']}: lost {n} times, given up; `agd lpad rerun_fws -i {fw_id}` tries again"
                yield self._mender.mended(name, fw_id, give_up, partial(self._fizzle, launch["launch_id"]))

    def _former(self) -> Iterator[Mended]:
        """Take out the fireworks of a release before, and have done what they stand for: due steps are queued anew."""
        query = {"spec._tasks._fw_name": {"$in": former.NAMES}, "state": {"$in": list(UNSETTLED)}}
        by_owner: dict[str, list[Mapping[str, Any]]] = {}
        for document in self.launchpad.fireworks.find(query, {"fw_id": 1, "spec": 1}):
            by_owner.setdefault(document["spec"]["campaign"], []).append(document)
        for name, documents in by_owner.items():
            if name not in self._locked.values():
                yield from _guarded(name, self._replaced(name, documents))

    def _replaced(self, name: str, documents: Sequence[Mapping[str, Any]]) -> Iterator[Mended]:
        plans = [plan for document in documents if (plan := former.plan_of(document["spec"]["_tasks"][0])) is not None]
        if not self.is_dry:
            for plan in plans:
                self._requests.leave(plan)
            self._mender.archive([document["fw_id"] for document in documents])
        yield Mended(name, None, f"{len(documents)} fireworks of a release before, taken out of the queue")

    def _is_leased(self, name: str) -> bool:
        """Whether somebody is at work on a step of that campaign."""
        with self.workspace.database.read() as tx:
            row = campaigns.find(tx, name)
            return row is not None and any(not lease.is_expired for lease in activities.leases(tx, row.id))

    def _locks(self) -> Iterator[Mended]:
        """Locks on workflows that their holder, killed meanwhile, will not give back."""
        now = time.monotonic()
        rows = {row["nodes"][0]: row for row in self.launchpad.workflows.find({"locked": True}) if row["nodes"]}
        marks = {node: str(row.get("updated_on")) for node, row in rows.items()}
        self._since = {(node, mark): self._since.get((node, mark), now) for node, mark in marks.items()}
        self._locked = {node: (row.get("metadata") or {}).get("campaign") for node, row in rows.items()}
        for (node, _), since in self._since.items():
            if now - since >= self.workspace.pace.lease_s:
                taken_off = "a workflow's stale lock, taken off"
                yield self._mender.mended(self._locked.pop(node), node, taken_off, self._unlock)

    def _fizzle(self, launch_id: int, _fw_id: int) -> None:
        self.launchpad.mark_fizzled(launch_id)

    def _unlock(self, node: int) -> None:
        self.launchpad.workflows.find_one_and_update({"nodes": node}, {"$unset": {"locked": True}})

    def _retire(self, name: str) -> None:
        """Take what cannot go on out of the queue."""
        self._mender.archive([document["fw_id"] for _, document in queued(self.workspace, self.launchpad, name)])


def states(launchpad: LaunchPad, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many fireworks of each campaign are in each state."""
    stages = [
        {"$match": {"spec.campaign": {"$in": list(names)}}},
        {"$group": {"_id": {"campaign": "$spec.campaign", "state": "$state"}, "n": {"$sum": 1}}},
    ]
    found: dict[str, dict[str, int]] = {name: {} for name in names}
    for row in launchpad.fireworks.aggregate(stages):
        found[row["_id"]["campaign"]][row["_id"]["state"]] = row["n"]
    return {name: counts for name, counts in found.items() if counts}


def _guarded(name: str | None, found: Iterator[Mended]) -> Iterator[Mended]:
    """A look at one campaign or request, which keeps its trouble to itself."""
    try:
        yield from found
    except DatabaseError:
        raise
    except Exception as error:  # noqa: BLE001  whatever FireWorks or the specification raises: others go on
        words = str(error).strip().partition("\n")[0]
        yield Mended(name, None, f"cannot be looked at ({type(error).__name__}: {words})")


def _open_steps(tx: Transaction, campaign: Campaign) -> Sequence[Step]:
    """The steps that are due and may be taken: not those whose jobs are held, parked or cancelled."""
    due = due_steps(tx, campaign)
    kept = kept_back(tx, campaign, due)
    return [step for step in due if step not in kept]


def is_ours(document: Mapping[str, Any]) -> bool:
    """Whether a firework is one of this program's, which say every heartbeat that they live."""
    tasks = document["spec"].get("_tasks") or [{}]
    return str(tasks[0].get("_fw_name", "")).startswith("agd.")
