"""Mending one firework, whatever it stands for: run again, taken in, or given up and parked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fireworks import LaunchPad

from agd.db.connection import AnyRow
from agd.db.record import activities
from agd.engines import Mended
from agd.work.retrying import Verdict, judge
from agd.work.workspace import Workspace
from agd_workflows.cluster.worker_jobs import blame

PARKED = "parked: "


@dataclass(frozen=True, slots=True)
class Work:
    """What a firework stands for, as the record has it: a step of a campaign, or a request.

    `is_due` says whether it may be tried; `tries` are the attempts that did not succeed and are not forgiven: rows of
    v_attempt. `cure` is the command that has it tried again once it is parked.
    """

    owner: str | None
    what: str
    is_due: bool
    is_leased: bool
    tries: Sequence[AnyRow]
    is_done: Callable[[], bool]
    park: Callable[[str], None]
    cure: str


@dataclass(frozen=True, slots=True)
class Mender:
    """What can be done to fireworks; with a dry look nothing is."""

    workspace: Workspace
    launchpad: LaunchPad
    is_dry: bool = False

    def bury(self, owner: str | None, what: Callable[[AnyRow], str], **whose: int) -> list[Mended]:
        """Say of the attempts whose lease has run out that they are lost: of one `campaign_id`, or one `job_id`."""
        with self.workspace.database.transaction() as tx:
            expired = [lease for lease in activities.leases(tx, **whose) if lease.is_expired]
            if expired and not self.is_dry:
                activities.bury_expired(tx, **whose)
        return [
            Mended(owner, lease.fw_id, f"{what(lease)}: lost, process {lease.pid} on {lease.host} fell silent")
            for lease in expired
        ]

    def look_at(self, work: Work, document: Mapping[str, Any]) -> Mended | None:
        """Mend a firework whose worker is gone, or that failed."""
        state = document["state"]
        if state == "RUNNING":
            return self._running(work, document)
        if state == "FIZZLED":
            return self._fizzled(work, document)
        return self._reserved(work, document) if state == "RESERVED" else None

    def _running(self, work: Work, document: Mapping[str, Any]) -> Mended | None:
        """A firework that somebody should be at."""
        fw_id = document["fw_id"]
        launch = self._last_launch(document)
        if launch is not None and launch["state"] != "RUNNING":
            return self.mended(work.owner, fw_id, f"{work.what}: ended, which the queue had not taken in", self.refresh)
        silent_s = self.workspace.pace.lease_s if launch is None else seconds_since(launch)
        if work.is_leased or silent_s < self.workspace.pace.lease_s:
            return None
        verdict = self._judged(work)
        if verdict.parked is not None and work.is_due:
            return self._park(work, fw_id, verdict.parked)
        job = blame(launch["fworker"].get("env") or {}) if launch is not None and launch.get("fworker") else ""
        why = f" ({job})" if job else ""
        return self.mended(work.owner, fw_id, f"{work.what}: lost by its worker{why}, queued again", self.rerun)

    def _fizzled(self, work: Work, document: Mapping[str, Any]) -> Mended | None:
        """A firework that failed: run again at once, later, or not at all."""
        fw_id = document["fw_id"]
        if work.is_done():
            return self.mended(work.owner, fw_id, f"{work.what}: done by the record, queued to go on", self.rerun)
        if not work.is_due or work.is_leased:
            return None
        verdict = self._judged(work, n_launches=len(document["archived_launches"]) + 1)
        if verdict.parked is not None:
            return self._park(work, fw_id, verdict.parked)
        launch = self._last_launch(document)
        if launch is not None and seconds_since(launch) < verdict.pause_s:
            return None
        return self.mended(work.owner, fw_id, f"{work.what}: failed ({verdict.error}), queued again", self.rerun)

    def _reserved(self, work: Work, document: Mapping[str, Any]) -> Mended | None:
        """A firework whose worker died between taking it and beginning; one that a job was sent for is left alone."""
        launch = self._last_launch(document)
        silent_s = seconds_since({"state_history": [document]})
        if silent_s < self.workspace.pace.lease_s or (launch is not None and launch["state"] == "RESERVED"):
            return None
        return self.mended(work.owner, document["fw_id"], f"{work.what}: taken and not begun, queued again", self.rerun)

    def _judged(self, work: Work, n_launches: int = 0) -> Verdict:
        """Whether and when it is tried again."""
        return judge(work.what, work.tries, first_pause_s=self.workspace.pace.reconcile_s, n_launches=n_launches)

    def _last_launch(self, document: Mapping[str, Any]) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self.launchpad.launches.find_one(
            {"launch_id": (document["launches"] or [None])[-1]}
        )
        return found

    def _park(self, work: Work, fw_id: int, reason: str) -> Mended:
        if not self.is_dry:
            work.park(reason)
        return Mended(work.owner, fw_id, f"{PARKED}{reason}; `{work.cure}` tries again")

    def mended(self, owner: str | None, fw_id: int, what: str, cure: Callable[[int], object]) -> Mended:
        """Cure a firework, unless this is a dry look."""
        if not self.is_dry:
            cure(fw_id)
        return Mended(owner, fw_id, what)

    def rerun(self, fw_id: int) -> None:
        """Have a firework launched again."""
        self.launchpad.rerun_fw(fw_id)

    def refresh(self, fw_id: int) -> None:
        """Let the queue take in what was killed half-way."""
        self.launchpad._refresh_wf(fw_id)  # noqa: SLF001  FireWorks' way

    def archive(self, ids: Sequence[int]) -> None:
        """Take fireworks out of the queue."""
        self.launchpad.fireworks.update_many({"fw_id": {"$in": ids}}, {"$set": {"state": "ARCHIVED"}})
        for row in list(self.launchpad.workflows.find({"nodes": {"$in": ids}}, {"nodes": 1})):
            states = {f"fw_states.{fw_id}": "ARCHIVED" for fw_id in ids if fw_id in row["nodes"]}
            self.launchpad.workflows.find_one_and_update(
                {"nodes": row["nodes"][0]}, {"$set": {"state": "ARCHIVED", **states}}
            )


def seconds_since(launch: Mapping[str, Any]) -> float:
    """How long ago a launch was last heard of."""
    last = max((entry.get("updated_on") or entry["created_on"] for entry in launch["state_history"]), default=None)
    if last is None:
        return float("inf")
    when = datetime.fromisoformat(last) if isinstance(last, str) else last
    return (datetime.now(UTC) - (when if when.tzinfo else when.replace(tzinfo=UTC))).total_seconds()
