"""One Firetask per step: ids in, one step taken, what comes next out. Their names stay, so that files may move."""

from typing import Any, ClassVar

from fireworks import FiretaskBase, FWAction

from agd.steps import generating, screening
from agd_workflows import hands


class _CampaignStep(FiretaskBase):  # type: ignore[misc]  # FireWorks has no types
    """A step of a campaign: done where the record says it is due, passed over where it is done."""

    required_params: ClassVar[list[str]] = ["campaign"]

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:  # noqa: ARG002  everything is in the task
        """Take the campaign's turn."""
        return hands.take_turn(self)


class _IterationStep(_CampaignStep):
    required_params: ClassVar[list[str]] = ["campaign", "iteration"]


class TrainAutoencoder(_CampaignStep):
    """Train the autoencoder, or find the version that is there."""

    _fw_name = "agd.train_autoencoder"


class TrainOracle(_CampaignStep):
    """Train the oracle, or find the version that is there."""

    _fw_name = "agd.train_oracle"


class Encode(_CampaignStep):
    """Give the initial compositions their latent vectors."""

    _fw_name = "agd.encode"


class Suggest(_IterationStep):
    """Propose what to label next."""

    _fw_name = "agd.suggest"


class Decode(_IterationStep):
    """Turn proposed points into compositions."""

    _fw_name = "agd.decode"


class Label(_IterationStep):
    """Ask the oracle."""

    _fw_name = "agd.label"


class Record(_IterationStep):
    """Close the iteration; while the campaign goes on, the next one is appended to the workflow."""

    _fw_name = "agd.record"


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
    for task in (TrainAutoencoder, TrainOracle, Encode, Suggest, Decode, Label, Record, TrainScreener, Screen, Generate)
}
