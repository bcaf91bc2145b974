"""A pytest plugin for FireWorks' own tests: whatever launchpad they ask for, they get ours at AGD_TEST_QUEUE_URL.

With AGD_TEST_PLAIN it is FireWorks' own launchpad on our client, as in FireWorks' commands.
"""

import os
import sys
from typing import Any

import fireworks.core.launchpad
import fireworks.core.rocket_launcher
import fireworks.features.multi_launcher
import fireworks.fw_config
import fireworks.queue.queue_launcher
import fireworks.scripts.lpad_run
import fireworks.scripts.mlaunch_run
import fireworks.scripts.qlaunch_run
import fireworks.scripts.rlaunch_run
import fireworks.utilities.filepad

from agd_workflows import launchpad
from agd_workflows.atomic_launchpad import WholeLaunchPad
from agd_workflows.mongo import connecting


def _connect(*_given: Any, **_options: Any) -> Any:
    return connecting.connect(os.environ["AGD_TEST_QUEUE_URL"])


launchpad.install()
for _module in (fireworks.fw_config, fireworks.core.launchpad, fireworks.utilities.filepad):
    _module.MongoClient = _connect
_plain = fireworks.core.launchpad.LaunchPad
for _name, _module in list(sys.modules.items()):
    if "AGD_TEST_PLAIN" in os.environ or _name.partition(".")[0] != "fireworks":
        continue
    if getattr(_module, "LaunchPad", None) is _plain:
        _module.LaunchPad = WholeLaunchPad
