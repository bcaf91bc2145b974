"""Workflows: one firework per step, one iteration at a time, so that the queue holds little."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from fireworks import FiretaskBase, Firework, Workflow

from agd.steps.campaign.campaigns import Step
from agd.steps.kinds import CATEGORY, ENCODING, ITERATION, STEPS
from agd_workflows import tasks

OF_STEP = {kind: task for kind, task in tasks.OF_KIND.items() if kind in STEPS}


def campaign_workflow(name: str, due: Sequence[Step]) -> Workflow:
    """What a campaign does from the steps that are due to the end of their iteration."""
    steps = [*due, *_after(due[-1])]
    made = [_step(name, step) for step in reversed(steps)][::-1]  # FireWorks counts the last made first
    return _linked(name, made[: len(due)], made[len(due) :])


def screening_workflow(name: str, pool: str, choice: Mapping[str, Any], options: Mapping[str, Any]) -> Workflow:
    """Train the screener of each role, then screen; arguments as of `agd.steps.screening.screen`, as plain values."""
    shared = {"campaign": name, "choice": dict(choice)}
    trained = [
        _firework(f"{name}: train {role} screener", tasks.TrainScreener({**shared, "role": role}))
        for role in options["roles"]
    ]
    screen = tasks.Screen({**shared, "pool": pool, "options": dict(options)})
    return _linked(name, trained, [_firework(f"{name}: screen {pool}", screen)])


def generation_workflow(
    name: str, generator_id: int, keeping: Mapping[str, Any], options: Mapping[str, Any]
) -> Workflow:
    """One firework; arguments as of `agd.steps.generating.generate`, as plain values."""
    task = tasks.Generate(generation=name, generator=generator_id, keeping=dict(keeping), options=dict(options))
    return _linked(name, [_firework(f"generate {name}", task)], [])


def step_of(document: Mapping[str, Any]) -> Step | None:
    """The step of a campaign that a firework of the queue stands for, None where it is none."""
    first = (document["spec"].get("_tasks") or [{"_fw_name": ""}])[0]
    kind = tasks.kind_of(first["_fw_name"])
    return Step(kind, first.get("iteration")) if kind in STEPS else None


def _after(step: Step) -> list[Step]:
    """The steps that follow one, to the end of its iteration."""
    kinds = [kind.name for kind in ITERATION]
    if step.iteration is not None:
        return [Step(kind, step.iteration) for kind in kinds[kinds.index(step.kind) + 1 :]]
    encode = [] if step.kind == ENCODING.name else [Step(ENCODING.name)]
    return [*encode, *(Step(kind, 1) for kind in kinds)]


def _step(name: str, step: Step) -> Firework:
    parameters = {"campaign": name} | ({} if step.iteration is None else {"iteration": step.iteration})
    return _firework(f"{name}: {step}", OF_STEP[step.kind](parameters))


def _firework(title: str, task: FiretaskBase) -> Firework:
    category = CATEGORY[tasks.kind_of(task.fw_name)]
    owner = task.get("campaign") or task["generation"]
    spec = {"campaign": owner, "_category": category, "_add_launchpad_and_fw_id": True}
    return Firework([task], spec=spec, name=title)


def _linked(name: str, first: list[Firework], chain: list[Firework]) -> Workflow:
    """The first ones side by side, then the chain one after another."""
    links = {before: [chain[0]] for before in first} if chain else {}
    links |= {before: [after] for before, after in pairwise(chain)}
    return Workflow([*first, *chain], links_dict=links, name=name, metadata={"campaign": name})
