"""What a campaign took: by kind of work, for each call, find and verified find, beside its twins."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from agd.cli.app import app
from agd.errors import NotFoundError
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.labelling import Measurement, add_label
from agd.steps.reading.costs import cost_of
from agd.work.workspace import Workspace

# An hour of four cores, of which two were counted; and one of two that was lost with its lease after half an hour.
CALCULATION = """
INSERT INTO activity (kind, agd_version, host, cpu, threads, pid, started_at, ended_at, outcome)
    SELECT 'gap', '0', 'h', 'c', 1, 1, now() - interval '1 h', now(), 'done';
INSERT INTO potential (plugin, version, weights_sha256, activity_id) VALUES ('bonds', '1', 'w', 1);
INSERT INTO structure (composition_id, cell_sha256, n_sites, space_group, lattice, atomic_numbers, frac, activity_id)
    SELECT min(composition_id), 'a', 1, 1, '{4,0,0,0,4,0,0,0,4}', '{11}', '{0,0,0}', 1 FROM v_suggestion WHERE is_find;
INSERT INTO calculation_recipe (engine, potential_id, kind, inputs, sha256, activity_id)
    VALUES ('bonds', 1, 'elastic', '{}', 'r', 1);
INSERT INTO calculation (structure_id, recipe_id, campaign_id, activity_id) VALUES (1, 1, 1, 1);
INSERT INTO calculation_part (calculation_id, part, role, activity_id) VALUES (1, 0, 'whole', 1);
INSERT INTO calculation_attempt (activity_id, calculation_id, part, code_version, n_cores, outcome_class, core_seconds,
    wall_seconds, memory_bytes) SELECT max(id), 1, 0, '1', 4, 'done', 7200, 3600, 2097152 FROM activity;
INSERT INTO job (kind, title, key_sha256, campaign_id) VALUES ('elastic', 'lost', 'k', 1);
INSERT INTO activity (kind, agd_version, host, cpu, threads, pid, started_at, ended_at, outcome, job_id,
    lease_expires_at)
    SELECT 'elastic', '0', 'h', 'c', 2, 1, now() - interval '9 h', now(), 'lost', max(id), now() - interval '8.5 h'
    FROM job
"""


@pytest.fixture
def cli(starter: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The verbs in this process, on the record of the test."""
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url)
    monkeypatch.setenv("AGD_HOME", str(tmp_path))
    return lambda *words: CliRunner().invoke(app, list(words))


def test_a_campaign_has_its_cost(
    starter: Workspace, make_spec: Callable[..., ResolvedSpec], cli: Callable[..., Result]
) -> None:
    more = '[oracle]\nn_trees = 5\nexclude_initial = false\n[sampler]\nkind = "random"\n'
    LocalEngine().run(starter, open_campaign(starter, make_spec("demo", target="band_gap > 1 eV", more=more)))
    (before,) = cost_of(starter, "demo")
    assert before.n_calls > 0
    assert before.n_finds > 0
    assert (before.n_verified, before.core_hours_per_verified) == (0, None)
    assert before.core_hours_per_call == pytest.approx(before.spent_core_hours / before.n_calls)
    assert {"suggest", "label"} <= {one.kind for one in before.kinds}
    with starter.database.transaction() as tx:
        for statement in CALCULATION.split(";\n"):
            tx.execute(text(statement))
        best = tx.scalar(text("SELECT reduced_formula FROM v_suggestion WHERE is_find ORDER BY suggestion_id LIMIT 1"))
    (after,) = cost_of(starter, "demo")
    counted, lost = (next(one for one in after.kinds if one.kind == kind) for kind in ("gap", "elastic"))
    assert (counted.asked_core_hours, counted.counted_core_hours, counted.spent_core_hours) == (4.0, 2.0, 2.0)
    assert (lost.n_failed, lost.counted_core_hours, lost.spent_core_hours) == (1, None, pytest.approx(1.0))
    assert after.spent_core_hours == pytest.approx(before.spent_core_hours + 3.0)
    assert after.n_verified == 0
    add_label(starter, str(best), "band_gap", Measurement(3.0, "ada"), measured_on=date(2026, 1, 2))
    (verified,) = cost_of(starter, "demo")
    assert (verified.n_verified, verified.core_hours_per_verified) == (1, verified.spent_core_hours)
    shown = cli("cost", "demo").stdout
    assert "demo by kind of work" in shown
    (told,) = json.loads(cli("cost", "demo", "--json").stdout)
    assert told["n_verified"] == 1
    assert told["kinds"][0] == {
        "kind": "gap",
        "n_attempts": 1,
        "n_failed": 0,
        "wall_hours": 1.0,
        "asked_core_hours": 4.0,
        "counted_core_hours": 2.0,
        "spent_core_hours": 2.0,
        "memory_bytes": 2097152,
    }
    error = cli("cost", "dem").exception
    assert isinstance(error, NotFoundError)
    assert "did you mean 'demo'" in str(error)
