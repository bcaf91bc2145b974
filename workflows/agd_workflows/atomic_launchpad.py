"""FireWorks' launchpad with each of its changes whole: who is killed in the middle of one has changed nothing."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from fireworks import Firework, FWAction, FWorker, LaunchPad

from agd_workflows.mongo.launches import Launches


def _whole(name: str) -> Callable[..., Any]:
    plain = getattr(LaunchPad, name)

    def method(self: "WholeLaunchPad", *args: Any, **options: Any) -> Any:
        return self.connection.pool.whole(lambda: plain(self, *args, **options))

    method.__name__, method.__doc__ = name, plain.__doc__
    return method


class WholeLaunchPad(LaunchPad):  # type: ignore[misc]  # FireWorks has no types
    """A launchpad on a queue in PostgreSQL; what FireWorks writes in a dozen places for one change is one transaction.

    Numbers are drawn outside of it: no two processes wait for each other's, and one that is not used is no loss. A
    usual launch goes a shorter way than FireWorks' own: one statement to claim a firework, one to end its launch.
    """

    add_wf = _whole("add_wf")
    append_wf = _whole("append_wf")
    archive_wf = _whole("archive_wf")
    bulk_add_wfs = _whole("bulk_add_wfs")
    defuse_fw = _whole("defuse_fw")
    delete_fws = _whole("delete_fws")
    delete_wf = _whole("delete_wf")
    mark_fizzled = _whole("mark_fizzled")
    pause_fw = _whole("pause_fw")
    reignite_fw = _whole("reignite_fw")
    rerun_fw = _whole("rerun_fw")
    resume_fw = _whole("resume_fw")
    _refresh_wf = _whole("_refresh_wf")

    def get_new_fw_id(self, quantity: int = 1) -> int:
        """The first of so many new firework ids."""
        return int(self.connection.pool.aside(lambda: LaunchPad.get_new_fw_id(self, quantity)))

    def get_new_launch_id(self) -> int:
        """A new launch id."""
        return int(self.connection.pool.aside(lambda: LaunchPad.get_new_launch_id(self)))

    @cached_property
    def _short(self) -> Launches:
        return Launches(self)

    def checkout_fw(
        self,
        fworker: FWorker,
        launch_dir: str,
        fw_id: int | None = None,
        host: str | None = None,
        ip: str | None = None,
        state: str = "RUNNING",
    ) -> tuple[Firework | None, int | None]:
        """As FireWorks'."""
        claimed = self._short.claim(fworker, launch_dir, fw_id, host, ip, state)
        if claimed is None:
            claimed = _checkout(self, fworker, launch_dir, fw_id, host, ip, state)
            self._short.note(claimed[1], is_over=False)
        return claimed

    def ping_launch(self, launch_id: int, ptime: Any = None, checkpoint: Any = None) -> None:
        """As FireWorks'."""
        if ptime is not None or not self._short.tell(launch_id, checkpoint):
            super().ping_launch(launch_id, ptime, checkpoint)

    def complete_launch(
        self, launch_id: int, action: FWAction | None = None, state: str = "COMPLETED"
    ) -> dict[str, Any]:
        """As FireWorks'."""
        ended = self._short.end(launch_id, action, state)
        if ended is None:
            ended = _complete(self, launch_id, action, state)
            self._short.note(launch_id, is_over=True)
        return ended


_checkout, _complete = _whole("checkout_fw"), _whole("complete_launch")
