"""Firetasks: ids in, one job done, what comes next out. Their names stay, so that files may move."""

from typing import Any, ClassVar

from fireworks import FiretaskBase, FWAction

from agd.steps import generating, screening
from agd.steps.tallying import Keeping
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
    required_params: ClassVar[list[str]] = ["campaign", "role", "choice"]

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:  # noqa: ARG002
        """Train it."""
        with hands.workspace(self) as workspace, hands.told(f"{self['campaign']}: train {self['role']} screener"):
            choice = screening.ScreenerChoice(**self["choice"])
            trained = screening.train_role(workspace, self["campaign"], self["role"], choice)
        return FWAction(stored_data={"tensors_sha256": trained.tensors_sha256})


class Screen(FiretaskBase):  # type: ignore[misc]
    """Screen a pool by a campaign's screeners."""

    _fw_name = "agd.screen"
    required_params: ClassVar[list[str]] = ["campaign", "pool", "choice", "options"]

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:  # noqa: ARG002
        """Screen it."""
        with hands.workspace(self) as workspace, hands.told(f"{self['campaign']}: screen {self['pool']}"):
            choice = screening.ScreenerChoice(**self["choice"])
            told = screening.screen(workspace, self["campaign"], self["pool"], choice=choice, **self["options"])
        return FWAction(stored_data={"screenings": [row["screening_id"] for row in told["screenings"]]})


class Generate(FiretaskBase):  # type: ignore[misc]
    """Store samples of a generator as a dataset, or find it there."""

    _fw_name = "agd.generate"
    required_params: ClassVar[list[str]] = ["generation", "generator", "keeping", "options"]

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:  # noqa: ARG002
        """Draw them."""
        with hands.workspace(self) as workspace, hands.told(f"generate {self['generation']}"):
            named = {"name": self["generation"], "keeping": Keeping(**self["keeping"])}
            told = generating.generate(workspace, self["generator"], **named, **self["options"])
        return FWAction(stored_data={"dataset_id": told["dataset_id"]})


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
