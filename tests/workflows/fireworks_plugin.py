"""A pytest plugin for FireWorks' own tests: whatever host they ask for, they get the queue at AGD_TEST_QUEUE_URL."""

import os
from typing import Any

import fireworks.core.launchpad
import fireworks.fw_config
import fireworks.utilities.filepad

from agd_workflows import launchpad
from agd_workflows.mongo import connecting


def _connect(*_given: Any, **_options: Any) -> Any:
    return connecting.connect(os.environ["AGD_TEST_QUEUE_URL"])


launchpad.install()
for _module in (fireworks.fw_config, fireworks.core.launchpad, fireworks.utilities.filepad):
    _module.MongoClient = _connect
