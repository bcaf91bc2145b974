"""The SQL of the README runs on a real record and answers."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps.opening import open_campaign
from agd.steps.workspace import Workspace

README = (Path(__file__).parents[2] / "README.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", README, flags=re.DOTALL)


def test_every_view_of_the_readme_has_a_query() -> None:
    assert len(QUERIES) >= 8
    for view in ("v_suggestion", "v_label", "v_lineage", "v_campaign_progress", "v_iteration"):
        assert any(view in query for query in QUERIES)


def test_the_queries_answer(starter: Workspace, make_spec: Callable[..., ResolvedSpec]) -> None:
    more = '[oracle]\nn_trees = 5\nexclude_initial = false\n[sampler]\nkind = "random"\n'
    campaign = open_campaign(starter, make_spec("demo", target="band_gap > 1 eV", more=more))
    LocalEngine().run(starter, campaign)
    with starter.database.transaction() as tx:  # make what is asked for exist
        best = tx.scalar(text("SELECT reduced_formula FROM v_suggestion WHERE outcome = 'new' AND is_find LIMIT 1"))
        tx.execute(
            text("UPDATE composition SET chemical_system = 'F-Na' WHERE reduced_formula = :best"), {"best": best}
        )
        tx.execute(text("UPDATE activity SET outcome = 'lost' WHERE id = (SELECT max(id) FROM activity)"))
        member = (
            "INSERT INTO training_set_member SELECT m.training_set_id, c.id, NULL, true FROM model_version m,"
            " composition c WHERE m.kind = 'oracle' AND c.reduced_formula = :best ON CONFLICT DO NOTHING"
        )
        tx.execute(text(member), {"best": best})
    for query in QUERIES:
        with starter.database.read() as tx:
            rows = tx.execute(text(query.replace("'NaF'", f"'{best}'"))).all()
        if "string_to_array" in query:
            assert [row.reduced_formula for row in rows if row.reduced_formula == best] == [best]
        assert rows, query


@pytest.mark.parametrize("verb", sorted(set(re.findall(r"^agd ([a-z]+(?: [a-z]+)?)", README, flags=re.MULTILINE))))
def test_the_verbs_exist(verb: str) -> None:
    from typer.testing import CliRunner

    from agd.cli.app import app

    words = [word for word in verb.split() if word not in {"wide", "file"}]
    runner = CliRunner()
    assert any(runner.invoke(app, [*words[:n], "--help"]).exit_code == 0 for n in range(len(words), 0, -1))
