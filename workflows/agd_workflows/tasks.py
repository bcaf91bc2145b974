"""Firetasks: ids in, one job done, what comes next out. Their names stay, so that files may move."""

from typing import Any, ClassVar

from fireworks import FiretaskBase, FWAction

from agd.steps import generating, screening
from agd_workflows import hands


class Job(FiretaskBase):  # type: ignore[misc]  # FireWorks has no types
    """A job of the record: done where the record says it is due, passed over where it is done.

    The last step of an iteration appends the next one to the workflow, while the campaign goes on.
    """

    _fw_name = "agd.job"
    required_params: ClassVar[list[str]] = ["job"]

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:  # noqa: ARG002  everything is in the record
        """Do it."""
        return hands.do_job(self)


class TrainScreener(FiretaskBase):  # type: ignore[misc]
    """Train a screener on a campaign's labels, or find the version that is there."""

    _fw_name = "agd.train_screener"
    required_params: ClassVar[list[str]] = ["role"]

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:  # noqa: ARG002
        """Train it."""
        plan = screening_plan(self)
        with hands.workspace(self) as workspace, hands.told(f"{plan.campaign}: train {self['role']} screener"):
            trained = screening.train_role(workspace, plan.campaign, self["role"], plan.choice)
        return FWAction(stored_data={"tensors_sha256": trained.tensors_sha256})


class Screen(FiretaskBase):  # type: ignore[misc]
    """Screen a pool by a campaign's screeners."""

    _fw_name = "agd.screen"

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:  # noqa: ARG002
        """Screen it."""
        plan = screening_plan(self)
        with hands.workspace(self) as workspace, hands.told(f"{plan.campaign}: screen {plan.pool}"):
            found = screening.screen(workspace, plan)
        return FWAction(stored_data={"screenings": [row.screening_id for row in found.screenings]})


class Generate(FiretaskBase):  # type: ignore[misc]
    """Store samples of a generator as a dataset, or find it there."""

    _fw_name = "agd.generate"

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:  # noqa: ARG002
        """Draw them."""
        plan = generation_plan(self)
        with hands.workspace(self) as workspace, hands.told(f"generate {plan.name}"):
            dataset_id = generating.generate(workspace, plan).dataset_id
        return FWAction(stored_data={"dataset_id": dataset_id})


def screening_plan(task: FiretaskBase) -> screening.ScreeningPlan:
    """What a task asks for; one queued before requests were kept whole says it in its own parameters."""
    if "request" not in task:
        options = dict(task.get("options", {"roles": [task.get("role")]}))
        rules = options.pop("rules", {})
        asked = {"campaign": task["campaign"], "pool": task.get("pool", ""), "choice": task["choice"]}
        return screening.ScreeningPlan.of_request({**asked, **options, **rules})
    return screening.ScreeningPlan.of_request(task["request"])


def generation_plan(task: FiretaskBase) -> generating.GenerationPlan:
    """Likewise."""
    if "request" not in task:
        asked = {"name": task["generation"], "generator_id": task["generator"], "keeping": task["keeping"]}
        return generating.GenerationPlan.of_request({**asked, **task["options"]})
    return generating.GenerationPlan.of_request(task["request"])


def name_of(kind: str) -> str:
    """What the task of a kind of job is called in the queue."""
    return f"agd.{kind.replace(' ', '_')}"


def kind_of(name: str) -> str:
    """The kind of job that a task of this name in the queue does."""
    return name.removeprefix("agd.").replace("_", " ")


OF_KIND = {
    kind_of(task._fw_name): task  # noqa: SLF001  FireWorks' own convention
    for task in (Job, TrainScreener, Screen, Generate)
}
