"""How many threads the numerical libraries use: rows depend on it, so all are held to it, whenever they are loaded."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController, threadpool_limits

from agd.errors import InputError

# What a library reads while it is loaded: threadpoolctl reaches those that are loaded already, and no others.
_READ_WHEN_LOADED = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

_held: list[int] = []


def n_threads() -> int:
    """How many threads are held; one where none are."""
    return _held[-1] if _held else 1


@contextmanager
def limited_threads(n: int) -> Iterator[None]:
    """Hold BLAS, OpenMP and torch to `n` threads, whatever the environment says, and what is loaded meanwhile too.

    Afterwards each library has what it had before, and one that was loaded meanwhile what torch has.

    Raises:
        InputError: the environment lets OpenMP take fewer threads than it is told to.
    """
    import scipy.linalg  # OpenBLAS, which takes no more threads from the environment than there are processors
    import torch

    del scipy
    _refuse_fewer(n, os.environ)
    n_before = torch.get_num_threads()
    torch.set_num_threads(n)
    loaded = {library["filepath"] for library in ThreadpoolController().info()}  # type: ignore[no-untyped-call]  # the library has no types
    _held.append(n)
    try:
        with threadpool_limits(limits=n), _environment(dict.fromkeys(_READ_WHEN_LOADED, str(n))):  # type: ignore[no-untyped-call]  # same
            yield
    finally:
        _held.pop()
        torch.set_num_threads(n_before)
        for library in ThreadpoolController().lib_controllers:  # type: ignore[no-untyped-call]  # same
            if library.filepath not in loaded:
                library.set_num_threads(n_before)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _refuse_fewer(n: int, environment: Mapping[str, str]) -> None:
    """OpenMP reads these once, when it is loaded, and nothing can be told to it later."""
    if n == 1:
        return
    limit, dynamic = environment.get("OMP_THREAD_LIMIT", "").strip(), environment.get("OMP_DYNAMIC", "").strip()
    if limit.isdigit() and int(limit) < n:
        given = f"OMP_THREAD_LIMIT={limit}"
    elif dynamic.lower() in {"true", "1", "yes", "on"}:
        given = f"OMP_DYNAMIC={dynamic}"
    else:
        return
    raise InputError(f"{given} lets OpenMP use fewer than {n} threads, and rows depend on their number: unset it")
