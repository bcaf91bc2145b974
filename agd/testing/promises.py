"""How a promise of a plug-in is checked, and what is said where it is broken."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from agd.nets.threads import limited_threads

_Contract = TypeVar("_Contract")
_Made = TypeVar("_Made")
Check: TypeAlias = Callable[[_Contract], None]

PROMISE = "__promise__"
"""Attribute of a method that checks a promise: what is promised."""


class BrokenPromiseError(AssertionError):
    """A plug-in does not do what its protocol promises; the message says which promise, what was found, and a cure."""


class FoundError(Exception):
    """What speaks against a promise."""


def promised(promise: str, *, cure: str) -> Callable[[Check[_Contract]], Check[_Contract]]:
    """Make a method the check of a promise: it is broken by what `require` finds and by any error of the plug-in.

    Threads are held to one, as every step of a campaign holds them.
    """

    def decorate(check: Check[_Contract]) -> Check[_Contract]:
        @wraps(check)
        def checked(self: _Contract) -> None:
            __tracebackhide__ = True
            with limited_threads(1), kept(self, promise, cure=cure):
                check(self)

        setattr(checked, PROMISE, promise)
        return checked

    return decorate


@contextmanager
def kept(contract: Any, promise: str, *, cure: str) -> Iterator[None]:
    """Blame whatever is raised meanwhile on a promise, unless another is blamed already."""
    __tracebackhide__ = True
    try:
        yield
    except BrokenPromiseError:
        raise
    except FoundError as found:
        raise BrokenPromiseError(_said(contract, promise, str(found), cure)) from found.__cause__
    except Exception as error:
        raise BrokenPromiseError(_said(contract, promise, raised(error), cure)) from error


def once(make: Callable[[type[_Contract]], _Made]) -> Callable[[type[_Contract]], _Made]:
    """Make something once for each contract; a broken promise is kept, too."""
    outcomes: dict[type[_Contract], _Made | BrokenPromiseError] = {}

    @wraps(make)
    def made(contract: type[_Contract]) -> _Made:
        if contract not in outcomes:
            try:
                outcomes[contract] = make(contract)
            except BrokenPromiseError as error:
                outcomes[contract] = error
        found = outcomes[contract]
        if isinstance(found, BrokenPromiseError):
            raise found
        return found

    return made


def raised(error: Exception) -> str:
    """What is said of an error of the plug-in's."""
    words = str(error).strip().partition("\n")[0]
    return f"it raises {type(error).__name__}" + (f": {words}" if words else "")


def require(is_kept: object, found: str) -> None:
    """Say what speaks against the promise, unless it is kept."""
    if not is_kept:
        raise FoundError(found)


def require_error(
    expected: type[Exception], call: Callable[[], object], what: str, words: Mapping[str, str] | None = None
) -> None:
    """Require that `call` raises `expected`, in one line that has each of `words`, given with what they are."""
    try:
        call()
    except expected as error:
        said = str(error)
    except Exception as error:
        raise FoundError(f"{what}: {raised(error)}, where {expected.__name__} is due") from error
    else:
        raise FoundError(f"{what} is taken without a word, where {expected.__name__} is due")
    require("\n" not in said.strip(), f"{what} is refused in several lines: {said!r}")
    for name, word in (words or {}).items():
        require(word in said, f"{what} is refused without {name}, {word!r}: {said!r}")


def require_array(array: object, shape: tuple[int, ...], kind: str, what: str) -> None:
    """Require an array of a shape of a numpy type, or kind of types, such as `int32` or `floating`."""
    require(isinstance(array, np.ndarray), f"{what}: {type(array).__name__}, not a numpy array")
    given: NDArray[Any] = np.asarray(array)
    require(given.shape == shape, f"{what}: shape {list(given.shape)}, not {list(shape)}")
    is_of_kind = np.issubdtype(given.dtype, getattr(np, kind))
    require(is_of_kind, f"{what}: type {given.dtype}, not {kind}")


def require_finite(array: NDArray[Any], what: str) -> None:
    """Require that no element is NaN or infinite."""
    is_finite = np.isfinite(array)
    require(is_finite.all(), f"{what}: not finite in row {_first_row(~is_finite)}")


def require_same(one: object, other: object, what: str) -> None:
    """Require arrays that are equal bit for bit, NaN included."""
    a, b = np.asarray(one), np.asarray(other)
    require(a.shape == b.shape and a.dtype == b.dtype, f"{what}: {a.dtype} {list(a.shape)}, {b.dtype} {list(b.shape)}")
    if a.tobytes() != b.tobytes():
        is_nan = np.isnan(a) & np.isnan(b) if np.issubdtype(a.dtype, np.inexact) else np.zeros(a.shape, np.bool_)
        differs = (a != b) & ~is_nan
        require(not differs.any(), f"{what}, first in row {_first_row(differs)}")


def checks_of(contract: type) -> Iterator[tuple[str, str]]:
    """The methods of a contract that check a promise, each with what is promised, in the order of their names."""
    for name in dir(contract):
        promise = getattr(getattr(contract, name), PROMISE, None)
        if promise is not None:
            yield name, promise


def _said(contract: Any, promise: str, found: str, cure: str) -> str:
    return f"{contract.title()} breaks a promise\n  promised: {promise}\n  found: {found}\n  cure: {cure}"


def _first_row(is_wrong: NDArray[np.bool_]) -> int:
    rows = np.argwhere(np.atleast_1d(is_wrong))[:, 0]
    return int(rows[0]) if len(rows) else -1
