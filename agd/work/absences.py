"""Outlasting a database server that goes away and comes back: what was computed meanwhile is not lost."""

from collections.abc import Callable
from typing import TypeVar

from agd.db import absences
from agd.work.workspace import Workspace

_T = TypeVar("_T")


def outlasting(workspace: Workspace, attempt: Callable[[], _T]) -> _T:
    """Attempt what leaves nothing behind where it fails; again where the server went away, for as long as a lease.

    An embedded server that died is started anew for a firework, as its worker would do; any other program leaves it to
    whoever stopped it, and fails at once.

    Raises:
        DatabaseError: the server did not come back.
    """
    database, is_ours = workspace.database, workspace.launch is not None
    seconds = 0.0 if database.is_embedded and not is_ours else workspace.pace.lease_s
    return absences.outlasting(attempt, seconds, database.revive)
