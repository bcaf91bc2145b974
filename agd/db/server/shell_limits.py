"""Limits of the shell that starts the server: they are that shell's affair, and the server serves everybody."""

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_log = logging.getLogger(__name__)

_STACK_BYTES = 8 << 20
_NEEDED = {
    "CPU": (math.inf, "t", 1),
    "FSIZE": (math.inf, "f", 1024),
    "AS": (8 << 30, "v", 1024),
    "DATA": (4 << 30, "d", 1024),
    "NPROC": (512, "u", 1),
    "NOFILE": (1024, "n", 1),
    "STACK": (4 << 20, "s", 1024),
}
"""What serves a hundred clients: the least value of each limit, the shell's option for it, its unit there."""


@contextmanager
def widest_limits() -> Iterator[None]:
    """Lift the limits of this process and thread as far as they go, for the children started meanwhile.

    Warns of what is still too low.
    """
    import resource  # Windows has none

    kinds = {name: getattr(resource, f"RLIMIT_{name}") for name in _NEEDED if hasattr(resource, f"RLIMIT_{name}")}
    before = {kind: resource.getrlimit(kind) for kind in kinds.values()}
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    try:
        if stuck := [low for name, kind in kinds.items() if (low := _lift(name, kind))]:
            _log.warning(
                "limits of this shell cannot be lifted and hold for the server as long as it runs: %s. To be rid of "
                "them, `agd db stop`, then start it from a shell without them",
                ", ".join(stuck),
            )
        if processors:
            with suppress(OSError):  # what a container or a batch system forbids stays forbidden
                os.sched_setaffinity(0, range(os.sysconf("SC_NPROCESSORS_CONF")))
        yield
    finally:
        for kind, pair in before.items():
            resource.setrlimit(kind, pair)
        if processors:
            with suppress(OSError):
                os.sched_setaffinity(0, processors)


def _lift(name: str, kind: int) -> str:
    """Lift one limit, root its hard one too, others up to that; name it where it stays too low."""
    import resource

    needed, option, unit = _NEEDED[name]
    soft, hard = resource.getrlimit(kind)
    if _is_enough(soft, _STACK_BYTES if name == "STACK" else math.inf):
        return ""
    wanted = _STACK_BYTES if name == "STACK" else resource.RLIM_INFINITY  # an endless stack moves all other memory
    least = hard if needed == math.inf else _larger(hard, int(needed))  # of open files, none has endlessly many
    for wish in ((wanted, _larger(hard, wanted)), (least, least), (hard, hard)):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, wish)
            soft = wish[0]
            break
    return "" if _is_enough(soft, needed) else f"`ulimit -{option}` {soft // unit}"


def _is_enough(value: int, needed: float) -> bool:
    import resource

    return value == resource.RLIM_INFINITY or value >= needed


def _larger(limit: int, other: int) -> int:
    import resource

    return resource.RLIM_INFINITY if resource.RLIM_INFINITY in (limit, other) else max(limit, other)
