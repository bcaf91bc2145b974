"""FireWorks as it is shipped: no file and no variable that lies about changes what the queue does.

FireWorks reads its settings once, when it is imported: the first `FW_config.yaml` it finds in the working folder, in
~/.fireworks or beside itself, or what `FW_CONFIG_FILE` names, and the `my_*.yaml` beside those. They belong to whatever
else a user does with FireWorks; there they stay in force, for its own commands never come here.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_FILES = frozenset({"FW_config.yaml", "my_launchpad.yaml", "my_fworker.yaml", "my_qadapter.yaml"})
_VARIABLES = ("FW_CONFIG_FILE", "MONGOMOCK_SERVERSTORE_FILE")


def hide_settings() -> None:
    """Let FireWorks find no settings when it is imported; one that the program has imported before stays as it is."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the module that reads the settings where it is, and has it run where they are not."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the protocol of imports says; None for every other module."""
        if fullname != "fireworks.fw_config":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def unconfigured(module: ModuleType) -> None:
                with _nothing_to_read():
                    execute(module)

            spec.loader.exec_module = unconfigured  # type: ignore[method-assign]  # of this one loader
        return spec


@contextmanager
def _nothing_to_read() -> Iterator[None]:
    exists = os.path.exists
    kept = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}

    def is_there(path: Any) -> bool:
        return os.path.basename(path) not in _FILES and exists(path)  # noqa: PTH119  what FireWorks asks

    os.path.exists = is_there
    try:
        yield
    finally:
        os.path.exists = exists
        os.environ.update(kept)
