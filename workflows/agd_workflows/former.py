"""Fireworks by a release that had a task for each kind of work: what they stand for, since no worker can load them."""

from collections.abc import Mapping
from typing import Any

from agd.steps.generation.generating import GenerationPlan
from agd.steps.requests import Plan
from agd.steps.screening.screening import ScreeningPlan

_STEPS = ("train_autoencoder", "train_oracle", "encode", "suggest", "decode", "label", "record")

NAMES = [f"agd.{kind}" for kind in (*_STEPS, "train_screener", "screen", "generate")]
"""What their tasks were called."""


def plan_of(task: Mapping[str, Any]) -> Plan | None:
    """What a task asks for by itself; None for a step, and for a training that its screening asks for.

    One that was queued before requests were kept whole says it in parameters of its own.
    """
    if task["_fw_name"] == "agd.screen":
        return ScreeningPlan.of_request(task.get("request") or _screening(task))
    if task["_fw_name"] == "agd.generate":
        return GenerationPlan.of_request(task.get("request") or _generation(task))
    return None


def _screening(task: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(task["options"])
    rules = options.pop("rules")
    return {"campaign": task["campaign"], "pool": task["pool"], "choice": task["choice"], **options, **rules}


def _generation(task: Mapping[str, Any]) -> dict[str, Any]:
    asked = {"name": task["generation"], "generator_id": task["generator"], "keeping": task["keeping"]}
    return {**asked, **task["options"]}
