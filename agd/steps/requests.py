"""Requests: screenings, generations and structures that are left to others, each a job that keeps what was asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from agd.db.connection import AnyRow, Transaction
from agd.db.record import activities, jobs
from agd.db.record.jobs import Needs, NewJob
from agd.errors import InputError
from agd.policies import Category
from agd.steps.calculations.calculating import CalculationPlan, calculate
from agd.steps.calculations.dft import dft_of, new_job
from agd.steps.calculations.dft_plans import DftPlan, prepared
from agd.steps.campaign.campaigns import get_campaign
from agd.steps.campaign.kinds import STEPS
from agd.steps.generation.generating import GenerationPlan, generate
from agd.steps.models.predicting import answering
from agd.steps.models.training import of_record, training_of
from agd.steps.screening.screening import ScreenerChoice, ScreeningPlan, screen, title_of, train_role
from agd.steps.structures.structuring import StructurePlan, structure_of
from agd.work.leases import performed
from agd.work.workspace import Workspace

Plan: TypeAlias = ScreeningPlan | GenerationPlan | StructurePlan | CalculationPlan | DftPlan
"""What can be left to others."""

_TRAIN = training_of("screener")


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a worker may be limited to, how a kind of request is done, and the seed in it."""

    category: Category
    do: Callable[[Workspace, Mapping[str, Any]], object]
    seed: Callable[[Mapping[str, Any]], int | None] = lambda _: None


def _train(workspace: Workspace, request: Mapping[str, Any]) -> None:
    train_role(workspace, request["campaign"], request["role"], ScreenerChoice.of_request(request["choice"]))


def _screen(workspace: Workspace, request: Mapping[str, Any]) -> None:
    screen(workspace, ScreeningPlan.of_request(request), n_top=0)


def _generate(workspace: Workspace, request: Mapping[str, Any]) -> None:
    generate(workspace, GenerationPlan.of_request(request))


def _structure(workspace: Workspace, request: Mapping[str, Any]) -> None:
    plan = StructurePlan.of_request(request)
    structure_of(workspace, plan, plan.formulas[0])


def _calculate(workspace: Workspace, request: Mapping[str, Any]) -> None:
    calculate(workspace, CalculationPlan.of_request(request))


def _compute(workspace: Workspace, request: Mapping[str, Any]) -> None:
    """One calculation by first principles.

    Raises:
        InputError: the engine of this machine refuses it.
    """
    found, refused = prepared(workspace, DftPlan.of_request(request))
    for reason in refused.values():
        raise InputError(reason)
    dft_of(workspace, found[0])


KINDS: dict[str, _Kind] = {
    _TRAIN: _Kind("train", _train, lambda request: int(request["choice"]["seed"])),
    "screen": _Kind("screen", _screen),
    "generate": _Kind("generate", _generate, lambda request: int(request["seed"])),
    "structure": _Kind("structure", _structure),
    "phonons": _Kind("structure", _calculate),
    "elastic": _Kind("structure", _calculate),
    "dft": _Kind("dft", _compute),
}
"""What can be asked for, by the kind of its job."""


def category_of(kind: str) -> Category:
    """What a worker may be limited to, of everything that is queued: a step of a campaign, or a request."""
    return STEPS[kind].category if kind in STEPS else KINDS[kind].category


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is left to do.

    `is_ready` says whether what it waits for is done, `is_leased` whether somebody is at it; `tries` are the attempts
    that did not succeed and are not forgiven, oldest first: rows of v_attempt.
    """

    job_id: int
    title: str
    campaign: str | None
    is_ready: bool
    is_leased: bool
    tries: Sequence[AnyRow]


def ask(workspace: Workspace, plan: Plan) -> list[int]:
    """The jobs that a plan comes to: before a screening the trainings of its screeners, which it waits for.

    Of structures one job for each formula.

    Raises:
        NotFoundError: no such campaign or model.
    """
    if isinstance(plan, GenerationPlan):
        needs = Needs(n_cores=plan.threads)
        with workspace.database.transaction() as tx:
            return [jobs.ask(tx, "generate", f"generate {plan.name}", plan.as_request(), needs=needs)]
    if isinstance(plan, StructurePlan):
        return _ask_for_structures(workspace, plan)
    if isinstance(plan, DftPlan):
        return _ask_for_dft(workspace, plan)
    if isinstance(plan, CalculationPlan):
        campaign_id = None if plan.campaign is None else get_campaign(workspace, plan.campaign).id
        with workspace.database.transaction() as tx:
            return [jobs.ask(tx, plan.kind, plan.title, plan.as_request(), campaign_id=campaign_id)]
    if plan.campaign is None or plan.model is not None:
        return [_ask_by_model(workspace, plan)]
    campaign = get_campaign(workspace, plan.campaign)
    threads = campaign.spec.threads
    trained = Needs(n_cores=threads if plan.choice.threads is None else plan.choice.threads)
    with workspace.database.transaction() as tx:
        trainings = [
            jobs.ask(
                tx,
                _TRAIN,
                f"{campaign.name}: train {role} screener",
                {"campaign": campaign.name, "role": role, "choice": asdict(plan.choice)},
                campaign_id=campaign.id,
                needs=trained,
            )
            for role in plan.roles
        ]
        title, needs = f"{campaign.name}: screen {plan.pool}", Needs(n_cores=threads)
        request = plan.as_request()
        return [
            *trainings,
            jobs.ask(tx, "screen", title, request, campaign_id=campaign.id, needs=needs, after=trainings),
        ]


def _ask_for_structures(workspace: Workspace, plan: StructurePlan) -> list[int]:
    campaign_id = None if plan.campaign is None else get_campaign(workspace, plan.campaign).id
    with workspace.database.transaction() as tx:
        return [
            jobs.ask(
                tx,
                "structure",
                plan.title_of(formula),
                replace(plan, formulas=(formula,)).as_request(),
                campaign_id=campaign_id,
            )
            for formula in plan.formulas
        ]


def _ask_for_dft(workspace: Workspace, plan: DftPlan) -> list[int]:
    """A job for each structure that is not done; what the engine refuses is left out, for who asks has seen it."""
    found, _ = prepared(workspace, plan)
    asked = [new_job(workspace, one) for one in found if not one.was_done]
    with workspace.database.transaction() as tx:
        ids = [jobs.ensure(tx, one) for one in asked]
        for job_id in ids:
            jobs.take_up(tx, job_id)
    return ids


def _ask_by_model(workspace: Workspace, plan: ScreeningPlan) -> int:
    """The job of a screening that has nothing to train; the model is named by its id, which stays its own."""
    campaign = None if plan.campaign is None else get_campaign(workspace, plan.campaign)
    with workspace.database.transaction() as tx:
        model = of_record(tx, answering(tx, plan.model or ""))
        request = replace(plan, model=str(model.model_version_id)).as_request()
        return jobs.ask(
            tx,
            "screen",
            title_of(plan.pool, campaign, model),
            request,
            campaign_id=None if campaign is None else campaign.id,
            needs=Needs(n_cores=1 if campaign is None else campaign.spec.threads),
        )


def fulfil(workspace: Workspace, row: AnyRow) -> bool:
    """Do what a job asks for; False where that is done.

    Raises:
        StepError: the job is held, parked or cancelled.
        AgdError: what the work raised; the attempt keeps it.
    """
    kind, new = KINDS[row.kind], NewJob(row.kind, row.title, row.key_sha256)
    with performed(workspace, new, seed=kind.seed(row.request), threads=row.n_cores) as activity_id:
        if activity_id is None:
            return False
        kind.do(replace(workspace, attempt=(row.kind, activity_id)), row.request)
        with workspace.database.transaction() as tx:
            attempt = activities.find(tx, activity_id)
            if attempt is not None and attempt.outcome != "done":  # its products were there before
                activities.finish(tx, activity_id)
    return True


def left(tx: Transaction) -> list[Request]:
    """The requests that are neither done nor held, parked or cancelled, oldest first."""
    rows = jobs.overview(tx, kinds=KINDS, states=("open", "waiting", "running"))
    asked = {row.id for row in jobs.some(tx, [row.id for row in rows]) if row.request}
    leased = {row.job_id for row in activities.leases(tx) if not row.is_expired}
    return [
        Request(row.id, row.title, row.campaign, row.state != "waiting", row.id in leased, _tries(tx, row.id))
        for row in rows
        if row.id in asked
    ]


def _tries(tx: Transaction, job_id: int) -> list[AnyRow]:
    return [row for row in jobs.attempts(tx, job_id) if row.is_counted and row.outcome in {"failed", "lost"}]
