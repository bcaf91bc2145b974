"""Calculations by first principles that are left to the queue: a firework each, of their own category."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from agd.steps.calculations.dft_plans import DftPlan
from agd.work.workspace import Workspace
from agd_workflows.engine import FireWorksEngine

pytestmark = pytest.mark.skipif(find_spec("ase") is None, reason="ASE is not installed")


@pytest.mark.usefixtures("quick")
def test_calculations_go_through_the_queue(queue: Any, import_metals: Callable[[Workspace], None]) -> None:
    import_metals(queue.workspace)
    ids = FireWorksEngine().submit(queue.workspace, DftPlan(("CuAu",), "emt"))
    more = FireWorksEngine().submit(queue.workspace, DftPlan(("AgNi",), "emt", options={"n_stubborn": 9}))
    assert len(set(ids) | set(more)) == 2
    assert list(FireWorksEngine().submit(queue.workspace, DftPlan(("CuAu",), "emt"))) == list(ids)
    documents = {row["name"]: row["spec"] for row in queue.launchpad.fireworks.find({})}
    assert [name.partition(" #")[0] for name in documents] == ["dft gap of CuAu", "dft gap of NiAg"]
    assert {spec["_category"] for spec in documents.values()} == {"dft"}
    queue.work_through()
    labels = "SELECT value, method FROM v_label WHERE reduced_formula = 'CuAu' AND property = 'band_gap'"
    assert queue.rows(labels) == [(1.25, "emt")]
    assert queue.rows("SELECT state FROM job WHERE kind = 'dft' ORDER BY id") == [("done",), ("parked",)]
    assert "electronic: ArithmeticError" in queue.scalar("SELECT reason FROM job WHERE state = 'parked'")
    fw_ids = queue.rows("SELECT fw_id FROM activity WHERE kind = 'dft' AND outcome = 'done'")
    assert [one.fw_id for one in fw_ids] == list(ids)
