"""FireWorks' launchpad with each of its changes whole: who is killed in the middle of one has changed nothing."""

from collections.abc import Callable
from typing import Any

from fireworks import LaunchPad


def _whole(name: str) -> Callable[..., Any]:
    plain = getattr(LaunchPad, name)

    def method(self: "WholeLaunchPad", *args: Any, **options: Any) -> Any:
        return self.connection.pool.whole(lambda: plain(self, *args, **options))

    method.__name__, method.__doc__ = name, plain.__doc__
    return method


class WholeLaunchPad(LaunchPad):  # type: ignore[misc]  # FireWorks has no types
    """A launchpad on a queue in PostgreSQL; what FireWorks writes in a dozen places for one change is one transaction.

    Numbers are drawn outside of it: no two processes wait for each other's, and one that is not used is no loss.
    """

    add_wf = _whole("add_wf")
    append_wf = _whole("append_wf")
    archive_wf = _whole("archive_wf")
    bulk_add_wfs = _whole("bulk_add_wfs")
    checkout_fw = _whole("checkout_fw")
    complete_launch = _whole("complete_launch")
    defuse_fw = _whole("defuse_fw")
    delete_fws = _whole("delete_fws")
    delete_wf = _whole("delete_wf")
    mark_fizzled = _whole("mark_fizzled")
    pause_fw = _whole("pause_fw")
    reignite_fw = _whole("reignite_fw")
    rerun_fw = _whole("rerun_fw")
    reserve_fw = _whole("reserve_fw")
    resume_fw = _whole("resume_fw")
    _refresh_wf = _whole("_refresh_wf")

    def get_new_fw_id(self, quantity: int = 1) -> int:
        """The first of so many new firework ids."""
        return int(self.connection.pool.aside(lambda: LaunchPad.get_new_fw_id(self, quantity)))

    def get_new_launch_id(self) -> int:
        """A new launch id."""
        return int(self.connection.pool.aside(lambda: LaunchPad.get_new_launch_id(self)))
