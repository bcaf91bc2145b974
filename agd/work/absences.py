"""Outlasting a database server that goes away and comes back: what was computed meanwhile is not lost."""

import time
from collections.abc import Callable
from typing import TypeVar

from agd.errors import AbsentError
from agd.waiting import waiting
from agd.work.workspace import Workspace

_LOOK_S = 0.2

_T = TypeVar("_T")


def outlasting(workspace: Workspace, attempt: Callable[[], _T]) -> _T:
    """Attempt what leaves nothing behind where it fails; again where the server went away, for as long as a lease.

    An embedded server that died is started anew for a firework, as its worker would do; any other program leaves it to
    whoever stopped it, and fails at once.

    Raises:
        DatabaseError: the server did not come back.
    """
    is_ours = workspace.launch is not None
    try:
        return attempt()
    except AbsentError as error:
        if workspace.database.is_embedded and not is_ours:
            raise
        said = f"agd: {error}; waiting for it"
    end = time.monotonic() + workspace.pace.lease_s
    with waiting(lambda: said):
        while True:
            time.sleep(_LOOK_S)
            if is_ours:
                workspace.database.revive()
            try:
                return attempt()
            except AbsentError:
                if time.monotonic() >= end:
                    raise
