"""Workflows: one firework per step, one iteration at a time, so that the queue holds little."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from fireworks import FiretaskBase, Firework, Workflow

from agd.steps.campaign.campaigns import Step
from agd.steps.generating import GenerationPlan
from agd.steps.kinds import CATEGORY, ENCODING, ITERATION, STEPS
from agd.steps.screening import ScreeningPlan
from agd_workflows import tasks

OF_STEP = {kind: task for kind, task in tasks.OF_KIND.items() if kind in STEPS}


def campaign_workflow(name: str, due: Sequence[Step], *, has_latents: bool = True) -> Workflow:
    """What a campaign does from the steps that are due to the end of their iteration."""
    steps = [*due, *_after(due[-1], has_latents=has_latents)]
    made = [_step(name, step) for step in reversed(steps)][::-1]  # FireWorks counts the last made first
    return _linked(name, made[: len(due)], made[len(due) :])


def screening_workflow(plan: ScreeningPlan) -> Workflow:
    """Train the screener of each role, then screen."""
    name, request = plan.campaign, plan.as_request()
    trained = [
        _firework(name, f"{name}: train {role} screener", tasks.TrainScreener(role=role, request=request))
        for role in plan.roles
    ]
    screen = _firework(name, f"{name}: screen {plan.pool}", tasks.Screen(request=request))
    return _linked(name, trained, [screen])


def generation_workflow(plan: GenerationPlan) -> Workflow:
    """One firework."""
    task = tasks.Generate(request=plan.as_request())
    return _linked(plan.name, [_firework(plan.name, f"generate {plan.name}", task)], [])


def step_of(document: Mapping[str, Any]) -> Step | None:
    """The step of a campaign that a firework of the queue stands for, None where it is none."""
    first = (document["spec"].get("_tasks") or [{"_fw_name": ""}])[0]
    kind = tasks.kind_of(first["_fw_name"])
    return Step(kind, first.get("iteration")) if kind in STEPS else None


def _after(step: Step, *, has_latents: bool) -> list[Step]:
    """The steps that follow one, to the end of its iteration; nothing is encoded where there are no latents."""
    kinds = [kind.name for kind in ITERATION]
    if step.iteration is not None:
        return [Step(kind, step.iteration) for kind in kinds[kinds.index(step.kind) + 1 :]]
    encode = [] if step.kind == ENCODING.name or not has_latents else [Step(ENCODING.name)]
    return [*encode, *(Step(kind, 1) for kind in kinds)]


def _step(name: str, step: Step) -> Firework:
    parameters = {"campaign": name} | ({} if step.iteration is None else {"iteration": step.iteration})
    return _firework(name, f"{name}: {step}", OF_STEP[step.kind](parameters))


def _firework(owner: str, title: str, task: FiretaskBase) -> Firework:
    """A firework of one task; its owner is a campaign, or a generation."""
    category = CATEGORY[tasks.kind_of(task.fw_name)]
    spec = {"campaign": owner, "_category": category, "_add_launchpad_and_fw_id": True}
    return Firework([task], spec=spec, name=title)


def _linked(name: str, first: list[Firework], chain: list[Firework]) -> Workflow:
    """The first ones side by side, then the chain one after another."""
    links = {before: [chain[0]] for before in first} if chain else {}
    links |= {before: [after] for before, after in pairwise(chain)}
    return Workflow([*first, *chain], links_dict=links, name=name, metadata={"campaign": name})
