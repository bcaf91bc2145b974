"""Keeping queue and record in step: the record is the truth, the queue is mended.

Whatever was killed, one pass after the leases have run out finds it: lost runs are run again, failed ones as their
error deserves, what keeps failing is parked with its error kept, and where the queue has forgotten a campaign, or says
done where the record does not, the campaign's next steps are queued again.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fireworks import LaunchPad

from agd.db import activities, campaigns
from agd.db.connection import AnyRow, Transaction, locked_campaigns
from agd.engines import Mended
from agd.errors import DatabaseError
from agd.steps import AWAIT, due_steps
from agd.steps.campaign.campaigns import Campaign, Step, as_campaign, kept_back, park
from agd.steps.kinds import STEPS
from agd.steps.turns import is_done
from agd.work.retrying import MAX_LOST, Verdict, judge
from agd.work.workspace import Workspace
from agd_workflows import tasks
from agd_workflows.build import campaign_workflow, step_of
from agd_workflows.cluster import blame
from agd_workflows.hands import ENGINE, UNSETTLED, queued


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

    @property
    def has_locks(self) -> bool:
        """Whether the last pass saw a locked workflow, which the next one may find stale."""
        return bool(self._locked)

    def _pass(self) -> Iterator[Mended]:
        with self.workspace.database.read() as tx:
            rows, alone = campaigns.open_on(tx, ENGINE), locked_campaigns(tx, alone=True)
        yield from self._locks()
        yield from self._former()
        yield from self._strangers({row.name for row in rows})
        for row in rows:
            if row.id not in alone and row.name not in self._locked.values():
                yield from self._guarded(row)

    def _guarded(self, row: AnyRow) -> Iterator[Mended]:
        """A pass over one campaign, which keeps its trouble to itself."""
        try:
            campaign = as_campaign(row)
            yield from self._bury(campaign)
            if row.parked_reason is None and row.stop_requested_at is None:
                yield from self._campaign(campaign)
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001  whatever FireWorks or the specification raises: others go on
            words = str(error).strip().partition("\n")[0]
            yield Mended(row.name, None, f"cannot be looked at ({type(error).__name__}: {words})")

    def _bury(self, campaign: Campaign) -> Iterator[Mended]:
        with self.workspace.database.transaction() as tx:
            expired = [row for row in activities.leases(tx, campaign.id) if row.is_expired]
            if expired and not self.is_dry:
                activities.bury_expired(tx, campaign_id=campaign.id)
        for row in expired:
            step = Step(row.step, row.iteration)
            yield Mended(campaign.name, row.fw_id, f"{step}: lost, process {row.pid} on {row.host} fell silent")

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
            if document["state"] == "RUNNING":
                found = self._running(view, step, document)
            elif document["state"] == "FIZZLED":
                found = self._fizzled(view, step, document)
            elif document["state"] == "RESERVED":
                found = self._reserved(view, step, document)
            else:
                continue
            if found is not None:
                yield found
                is_parked |= found.what.startswith(_PARKED)
        if not is_parked:
            yield from self._missing(view)

    def _running(self, view: _View, step: Step, document: Mapping[str, Any]) -> Mended | None:
        """A firework that somebody should be at."""
        fw_id = document["fw_id"]
        launch = self.launchpad.launches.find_one({"launch_id": (document["launches"] or [None])[-1]})
        if launch is not None and launch["state"] != "RUNNING":
            return self._mend(view.campaign, fw_id, f"{step}: ended, which the queue had not taken in", self._refresh)
        silent_s = self.workspace.pace.lease_s if launch is None else _seconds_since(launch)
        if step in view.leased or silent_s < self.workspace.pace.lease_s:
            return None
        verdict = self._judged(view, step)
        if verdict.parked is not None and step in view.due:
            return self._park(view.campaign, step, fw_id, verdict.parked)
        job = blame(launch["fworker"].get("env") or {}) if launch is not None and launch.get("fworker") else ""
        why = f" ({job})" if job else ""
        return self._mend(view.campaign, fw_id, f"{step}: lost by its worker{why}, queued again", self._rerun)

    def _fizzled(self, view: _View, step: Step, document: Mapping[str, Any]) -> Mended | None:
        """A firework that failed: run again at once, later, or not at all."""
        fw_id = document["fw_id"]
        with self.workspace.database.read() as tx:
            if is_done(tx, view.campaign, step):
                return self._mend(view.campaign, fw_id, f"{step}: done by the record, queued to go on", self._rerun)
        if step not in view.due or step in view.leased:
            return None
        verdict = self._judged(view, step, n_launches=len(document["archived_launches"]) + 1)
        if verdict.parked is not None:
            return self._park(view.campaign, step, fw_id, verdict.parked)
        launch = self.launchpad.launches.find_one({"launch_id": (document["launches"] or [None])[-1]})
        if launch is not None and _seconds_since(launch) < verdict.pause_s:
            return None
        return self._mend(view.campaign, fw_id, f"{step}: failed ({verdict.error}), queued again", self._rerun)

    def _judged(self, view: _View, step: Step, n_launches: int = 0) -> Verdict:
        """Whether and when a step is tried again."""
        first_pause_s = self.workspace.pace.reconcile_s
        return judge(step, view.tries(step), first_pause_s=first_pause_s, n_launches=n_launches)

    def _reserved(self, view: _View, step: Step, document: Mapping[str, Any]) -> Mended | None:
        """A firework whose worker died between taking it and beginning; one that a job was sent for is left alone."""
        launch = self.launchpad.launches.find_one({"launch_id": (document["launches"] or [None])[-1]})
        silent_s = _seconds_since({"state_history": [document]})
        if silent_s < self.workspace.pace.lease_s or (launch is not None and launch["state"] == "RESERVED"):
            return None
        return self._mend(view.campaign, document["fw_id"], f"{step}: taken and not begun, queued again", self._rerun)

    def _missing(self, view: _View) -> Iterator[Mended]:
        """The steps that are due and that no firework will do."""
        if self._is_covered(view):
            return
        name = view.campaign.name
        waiting = [
            document["fw_id"] for step, document in queued(self.workspace, self.launchpad, name) if step in view.due
        ]
        for fw_id in [] if self.is_dry else waiting:
            self._refresh(fw_id)
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

    def _strangers(self, names: set[str]) -> Iterator[Mended]:
        """Lost runs of screenings, and of steps of campaigns that are over, stopped for good or another engine's."""
        for launch in self.launchpad.launches.find({"state": "RUNNING"}):
            if _seconds_since(launch) < self.workspace.pace.lease_s:
                continue
            document = self.launchpad.fireworks.find_one({"fw_id": launch["fw_id"], "state": "RUNNING"})
            if document is None or launch["launch_id"] not in document["launches"] or not is_ours(document):
                continue
            name = document["spec"].get("campaign")
            if step_of(self.workspace, document) is not None and (name in names or self._is_leased(name)):
                continue
            fw_id, n = document["fw_id"], len(document["archived_launches"]) + 1
            if n <= MAX_LOST:
                yield self._mended(name, fw_id, f"{document['name']}: lost by its worker, queued again", self._rerun)
            else:
                give_up = f"{document['name']}: lost {n} times, given up; `agd lpad rerun_fws -i {fw_id}` tries again"
                yield self._mended(name, fw_id, give_up, partial(self._fizzle, launch["launch_id"]))

    def _former(self) -> Iterator[Mended]:
        """Fireworks by a release that had a task for each kind of step: no worker can load them any more."""
        query = {"spec._tasks._fw_name": {"$in": _FORMER}, "state": {"$in": list(UNSETTLED)}}
        by_campaign: dict[str, list[int]] = {}
        for document in self.launchpad.fireworks.find(query, {"fw_id": 1, "spec.campaign": 1}):
            by_campaign.setdefault(document["spec"]["campaign"], []).append(document["fw_id"])
        for name, ids in by_campaign.items():
            if name not in self._locked.values():
                if not self.is_dry:
                    self._archive(ids)
                yield Mended(name, None, f"{len(ids)} fireworks of a release before, taken out of the queue")

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
                yield self._mended(self._locked.pop(node), node, "a workflow's stale lock, taken off", self._unlock)

    def _mend(self, campaign: Campaign, fw_id: int, what: str, cure: Callable[[int], object]) -> Mended:
        return self._mended(campaign.name, fw_id, what, cure)

    def _mended(self, name: str | None, fw_id: int, what: str, cure: Callable[[int], object]) -> Mended:
        if not self.is_dry:
            cure(fw_id)
        return Mended(name, fw_id, what)

    def _park(self, campaign: Campaign, step: Step, fw_id: int, reason: str) -> Mended:
        if not self.is_dry:
            with self.workspace.database.transaction() as tx:
                park(tx, campaign, step, reason)
        return Mended(campaign.name, fw_id, f"{_PARKED}{reason}; `agd resume {campaign.name}` tries again")

    def _rerun(self, fw_id: int) -> None:
        self.launchpad.rerun_fw(fw_id)

    def _refresh(self, fw_id: int) -> None:
        self.launchpad._refresh_wf(fw_id)  # noqa: SLF001  FireWorks' way to take in what was killed half-way

    def _fizzle(self, launch_id: int, _fw_id: int) -> None:
        self.launchpad.mark_fizzled(launch_id)

    def _unlock(self, node: int) -> None:
        self.launchpad.workflows.find_one_and_update({"nodes": node}, {"$unset": {"locked": True}})

    def _retire(self, name: str) -> None:
        """Take what cannot go on out of the queue."""
        self._archive([document["fw_id"] for _, document in queued(self.workspace, self.launchpad, name)])

    def _archive(self, ids: Sequence[int]) -> None:
        self.launchpad.fireworks.update_many({"fw_id": {"$in": ids}}, {"$set": {"state": "ARCHIVED"}})
        changed = {"$set": {"state": "ARCHIVED", **{f"fw_states.{fw_id}": "ARCHIVED" for fw_id in ids}}}
        for row in list(self.launchpad.workflows.find({"nodes": {"$in": ids}}, {"nodes": 1})):
            mine = {
                key: value for key, value in changed["$set"].items() if key == "state" or _fw_id(key) in row["nodes"]
            }
            self.launchpad.workflows.find_one_and_update({"nodes": row["nodes"][0]}, {"$set": mine})


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


_PARKED = "parked: "

_FORMER = [tasks.name_of(kind) for kind in STEPS]
"""What the tasks of steps were called that did not name a job."""


def _open_steps(tx: Transaction, campaign: Campaign) -> Sequence[Step]:
    """The steps that are due and may be taken: not those whose jobs are held, parked or cancelled."""
    due = due_steps(tx, campaign)
    kept = kept_back(tx, campaign, due)
    return [step for step in due if step not in kept]


def is_ours(document: Mapping[str, Any]) -> bool:
    """Whether a firework is one of this program's, which say every heartbeat that they live."""
    tasks = document["spec"].get("_tasks") or [{}]
    return str(tasks[0].get("_fw_name", "")).startswith("agd.")


def _fw_id(key: str) -> int:
    return int(key.rpartition(".")[2])


def _seconds_since(launch: Mapping[str, Any]) -> float:
    """How long ago a launch was last heard of."""
    last = max((entry.get("updated_on") or entry["created_on"] for entry in launch["state_history"]), default=None)
    if last is None:
        return float("inf")
    when = datetime.fromisoformat(last) if isinstance(last, str) else last
    return (datetime.now(UTC) - (when if when.tzinfo else when.replace(tzinfo=UTC))).total_seconds()
