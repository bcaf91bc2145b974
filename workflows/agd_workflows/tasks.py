"""The one Firetask: a job id in, the job done, what comes next out. Its name stays, so that files may move."""

from typing import Any, ClassVar

from fireworks import FiretaskBase, FWAction

from agd_workflows import task_runs


class Job(FiretaskBase):  # type: ignore[misc]  # FireWorks has no types
    """A job of the record: done where the record says it is due, passed over where it is done.

    The last step of an iteration appends the next one to the workflow, while the campaign goes on.
    """

    _fw_name = "agd.job"
    required_params: ClassVar[list[str]] = ["job"]

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:  # noqa: ARG002  everything is in the record
        """Do it."""
        return task_runs.do_job(self)
