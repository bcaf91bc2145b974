"""Killing at random: 20 kills in the ordinary tests, as many as one likes by `make soak`."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_lost_whoever_is_killed() -> None:
    script = Path(__file__).parents[1] / "soak" / "kill_workers.py"
    command = [
        sys.executable,
        str(script),
        "--kills",
        "20",
        "--budget",
        "240",
        "--standstill",
        "600",
    ]  # other tests run here, too
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=880)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "20 kills" in ran.stdout
    assert "     0 campaigns with other rows than undisturbed" in ran.stdout
