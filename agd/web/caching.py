"""What many visitors look at is read once for all of them."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

_Value = TypeVar("_Value")
_MOST: Final = 256


class Cache:
    """Values that are good for some seconds; one visitor reads anew, the others wait for that."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, good_for_s: float, read: Callable[[], _Value]) -> _Value:
        """The value of a key, read where none is there that is new enough."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            with self._lock:
                kept = self._kept.get(key)
            if kept is not None and time.monotonic() - kept[0] < good_for_s:
                found: _Value = kept[1]
                return found
            value = read()
            with self._lock:
                self._kept[key] = (time.monotonic(), value)
                self._kept.move_to_end(key)
                while len(self._kept) > _MOST:
                    old, _ = self._kept.popitem(last=False)
                    self._locks.pop(old, None)
            return value
