"""Work in three parts, so that what is computed can be computed where no record is in reach."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from agd.db.connection import Transaction
from agd.db.record import activities
from agd.progress import Progress
from agd.work.absences import outlasting
from agd.work.leases import heartbeat, kept_error
from agd.work.shelf import Shelf
from agd.work.workspace import Workspace

Task = TypeVar("Task")
"""What is to be done: a step of a campaign, or a plan."""

Inputs = TypeVar("Inputs")
Outputs = TypeVar("Outputs")


@dataclass(frozen=True, slots=True)
class Work(Generic[Task, Inputs, Outputs]):
    """Read, compute with nothing open, write in the transaction that ends the activity.

    `inputs` and `outputs` are what goes from part to part: frozen dataclasses of arrays, models and plain values. A
    seed is what the activity's row keeps.
    """

    inputs: type[Inputs]
    outputs: type[Outputs]
    read: Callable[[Transaction, Task], Inputs]
    compute: Callable[[Shelf, Task, Inputs, Progress], Outputs]
    write: Callable[[Transaction, Task, int, Inputs, Outputs], None]
    seed: Callable[[Task], int | None] = lambda _task: None

    def do(
        self,
        workspace: Workspace,
        task: Task,
        activity_id: int,
        finish: Callable[[Transaction, int], object],
        progress: Progress,
    ) -> None:
        """All three parts under a lease that was taken, which is renewed meanwhile; `finish` ends the activity.

        Reading and writing outlast a server that goes away: what was computed is written when it is back.

        Raises:
            BusyError: somebody else took it over meanwhile: then nothing was written.
        """
        with kept_error(workspace, activity_id), heartbeat(workspace, activity_id):
            inputs = outlasting(workspace, lambda: self._inputs(workspace, task))
            outputs = self.compute(workspace.shelf, task, inputs, progress)

            is_again = False

            def write() -> None:
                nonlocal is_again
                with workspace.database.transaction() as tx:
                    if is_again and activities.is_done(tx, activity_id):
                        return  # the server went away after it was committed and before it said so
                    is_again = True
                    activities.hold(tx, activity_id)
                    self.write(tx, task, activity_id, inputs, outputs)
                    finish(tx, activity_id)

            outlasting(workspace, write)

    def _inputs(self, workspace: Workspace, task: Task) -> Inputs:
        with workspace.database.read() as tx:
            return self.read(tx, task)
