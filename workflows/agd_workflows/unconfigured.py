"""FireWorks as it is shipped: no file and no variable that lies about changes what the queue does.

FireWorks reads its settings once, when it is imported: the first `FW_config.yaml` it finds in the working folder, in
~/.fireworks or beside itself, or what `FW_CONFIG_FILE` names, and the `my_*.yaml` beside those. They belong to whatever
else a user does with FireWorks; there they stay in force, for its own commands never come here.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_FILES = frozenset({"FW_config.yaml", "my_launchpad.yaml", "my_fworker.yaml", "my_qadapter.yaml"})
_VARIABLES = ("FW_CONFIG_FILE", "MONGOMOCK_SERVERSTORE_FILE")


def load_fireworks() -> None:
    """Import FireWorks without settings; one that the program has imported before stays as it is."""
    with _nothing_to_read():
        import fireworks.fw_config  # noqa: F401


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
