"""Outlasting a database server that goes away and comes back."""

import time
from collections.abc import Callable
from typing import TypeVar

from agd.errors import AbsentError
from agd.waiting import waiting

_LOOK_S = 0.2

_T = TypeVar("_T")


def outlasting(attempt: Callable[[], _T], seconds: float, revive: Callable[[], object]) -> _T:
    """Attempt what leaves nothing behind where it fails; again for so long while the server is away, reviving it.

    Raises:
        DatabaseError: the server did not come back.
    """
    try:
        return attempt()
    except AbsentError as error:
        if seconds <= 0.0:
            raise
        said = f"agd: {error}; waiting for it"
    end = time.monotonic() + seconds
    with waiting(lambda: said):
        while True:
            time.sleep(_LOOK_S)
            revive()
            try:
                return attempt()
            except AbsentError:
                if time.monotonic() >= end:
                    raise
