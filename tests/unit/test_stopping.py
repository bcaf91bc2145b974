"""A wish to stop is acknowledged at once, with how long the step may still take."""

import os
import signal
import time

from agd.loop import _StepClock, stop_signals
from agd.steps.campaign.campaigns import Step
from agd.waiting import watched


def test_the_first_signal_is_acknowledged_at_once() -> None:
    said: list[str] = []
    clock = _StepClock()
    with clock.at(Step("suggest", 1)):
        time.sleep(0.1)
    with watched(said.append), stop_signals(clock.words) as is_stopped, clock.at(Step("suggest", 2)):
        assert not is_stopped()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1.2)
        assert is_stopped()
    assert said == [
        "agd: stopping after this step (suggest), about 1 s; Ctrl-C again stops now, and the step is done anew"
    ]
