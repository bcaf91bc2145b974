"""Workflows: one firework per job, one iteration at a time, so that the queue holds little."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from fireworks import Firework, Workflow

from agd.db.connection import AnyRow, Transaction
from agd.db.record import jobs
from agd.steps.campaign.campaigns import Campaign, Step, job_of
from agd.steps.campaign.kinds import ENCODING, ITERATION, STEPS
from agd.steps.requests import category_of
from agd.work.workspace import Workspace
from agd_workflows.tasks import Job


def campaign_workflow(workspace: Workspace, campaign: Campaign, due: Sequence[Step]) -> Workflow:
    """What a campaign does from the steps that are due to the end of their iteration; each is a job of the record."""
    with workspace.database.transaction() as tx:
        ids = [jobs.ensure(tx, job_of(campaign, step)) for step in due]
        before = list(ids)
        for step in _after(due[-1], has_latents=campaign.spec.autoencoder is not None):
            before = [jobs.ensure(tx, job_of(campaign, step, before))]
            ids += before
        made = _fireworks(tx, ids)
    return _linked(campaign.name, made[: len(due)], made[len(due) :])


def request_workflow(workspace: Workspace, job_ids: Sequence[int]) -> Workflow:
    """What somebody asked for; the last of the jobs comes after the others."""
    with workspace.database.read() as tx:
        made = _fireworks(tx, job_ids)
    return _linked(made[-1].spec["campaign"] or made[-1].name, made[:-1], made[-1:])


def step_of(workspace: Workspace, document: Mapping[str, Any]) -> Step | None:
    """The step of a campaign that a firework of the queue stands for, None where it is none."""
    return steps_of(workspace, [document])[0]


def steps_of(workspace: Workspace, documents: Sequence[Mapping[str, Any]]) -> list[Step | None]:
    """The same of each of several fireworks: the record says it by the job that a firework names."""
    ids = [document["spec"].get("job") for document in documents]
    with workspace.database.read() as tx:
        rows = jobs.some(tx, [job_id for job_id in ids if isinstance(job_id, int)])
    steps = {(row.id, row.campaign): Step(row.kind, row.iteration) for row in rows if row.kind in STEPS}
    return [steps.get((document["spec"].get("job"), document["spec"].get("campaign"))) for document in documents]


def _after(step: Step, *, has_latents: bool) -> list[Step]:
    """The steps that follow one, to the end of its iteration; nothing is encoded where there are no latents."""
    kinds = [kind.name for kind in ITERATION]
    if step.iteration is not None:
        return [Step(kind, step.iteration) for kind in kinds[kinds.index(step.kind) + 1 :]]
    encode = [] if step.kind == ENCODING.name or not has_latents else [Step(ENCODING.name)]
    return [*encode, *(Step(kind, 1) for kind in kinds)]


def _fireworks(tx: Transaction, job_ids: Sequence[int]) -> list[Firework]:
    """A firework for each job, numbered in their order: FireWorks counts the last made first."""
    rows = {row.id: row for row in jobs.some(tx, job_ids)}
    return [_firework(rows[job_id]) for job_id in reversed(job_ids)][::-1]


def _firework(row: AnyRow) -> Firework:
    """A job's firework: what a worker may be limited by stands in its spec."""
    spec = {
        "campaign": row.campaign,
        "job": row.id,
        "n_cores": row.n_cores,
        "hours": row.hours,
        "programs": list(row.programs),
        "_category": category_of(row.kind),
        "_add_launchpad_and_fw_id": True,
    }
    return Firework([Job(job=row.id)], spec=spec, name=row.title)


def _linked(name: str, first: list[Firework], chain: list[Firework]) -> Workflow:
    """The first ones side by side, then the chain one after another."""
    links = {before: [chain[0]] for before in first} if chain else {}
    links |= {before: [after] for before, after in pairwise(chain)}
    return Workflow([*first, *chain], links_dict=links, name=name, metadata={"campaign": name})
