"""Requests in the queue: put there, tried again as their errors deserve, queued anew where it has forgotten them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from agd.db.record import jobs
from agd.engines import Mended
from agd.steps import requests
from agd.steps.requests import Plan, Request
from agd_workflows.build import request_workflow
from agd_workflows.mending import PARKED, Mender, Work
from agd_workflows.task_runs import unsettled

Documents: TypeAlias = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RequestQueue:
    """The requests of the record, and the fireworks that will do them."""

    mender: Mender

    def leave(self, plan: Plan) -> list[int]:
        """Queue what a plan asks for; the ids of its fireworks, which may have been there before."""
        asked = requests.ask(self.mender.workspace, plan)
        there = self.documents(asked)
        if missing := [job_id for job_id in asked if job_id not in there]:
            self._queue(missing)
        return sorted(document["fw_id"] for found in self.documents(asked).values() for document in found)

    def documents(self, job_ids: Sequence[int]) -> Mapping[int, Documents]:
        """The fireworks that may still do those jobs, by job."""
        found: dict[int, list[Mapping[str, Any]]] = {}
        for document in unsettled(self.mender.launchpad, {"spec.job": {"$in": list(job_ids)}}) if job_ids else ():
            found.setdefault(document["spec"]["job"], []).append(document)
        return found

    def look(self, request: Request, documents: Documents) -> Iterator[Mended]:
        """Compare a request with its fireworks."""
        yield from self.mender.bury(request.campaign, lambda _: _what(request), job_id=request.job_id)
        work = self._work(request)
        is_parked = False
        for document in documents:
            if (found := self.mender.look_at(work, document)) is not None:
                yield found
                is_parked |= found.what.startswith(PARKED)
        if is_parked or request.is_leased or not request.is_ready:
            return
        if all(document["state"] == "WAITING" for document in documents):
            yield from self._missing(request, [document["fw_id"] for document in documents])

    def _missing(self, request: Request, waiting: Sequence[int]) -> Iterator[Mended]:
        """One that no firework will do."""
        mender = self.mender
        for fw_id in [] if mender.is_dry else waiting:
            mender.refresh(fw_id)
        documents = self.documents([request.job_id]).get(request.job_id, [])
        if any(document["state"] != "WAITING" for document in documents):
            yield Mended(request.campaign, None, f"{_what(request)}: made ready")
            return
        with mender.workspace.database.read() as tx:
            if not any(one.job_id == request.job_id and not one.is_leased for one in requests.left(tx)):
                return  # it went on meanwhile
        if not mender.is_dry:
            mender.archive(waiting)
            self._queue([request.job_id])
        yield Mended(request.campaign, None, f"{_what(request)}: due and not in the queue, queued")

    def _work(self, request: Request) -> Work:
        return Work(
            owner=request.campaign,
            what=_what(request),
            is_due=request.is_ready,
            is_leased=request.is_leased,
            tries=request.tries,
            is_done=lambda: False,
            park=partial(self._park, request.job_id),
            cure=f"agd jobs retry {request.job_id}",
        )

    def _park(self, job_id: int, reason: str) -> None:
        """Try a request no more before somebody says so, by a firework that has not been tried yet."""
        with self.mender.workspace.database.transaction() as tx:
            jobs.park(tx, job_id, reason)
        self.mender.archive([document["fw_id"] for document in self.documents([job_id]).get(job_id, [])])

    def _queue(self, job_ids: Sequence[int]) -> None:
        self.mender.launchpad.add_wf(request_workflow(self.mender.workspace, job_ids))


def _what(request: Request) -> str:
    return request.title.removeprefix(f"{request.campaign}: ")
