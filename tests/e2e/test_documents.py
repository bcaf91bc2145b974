"""What the documents say is so: queries answer, programs run, every command is one, links lead somewhere."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import text

from agd.cli.app import app
from agd.db.removals import open_removal
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.labelling import retract_label
from agd.steps.models.evaluating import evaluate
from agd.steps.screening.screening import ScreenerChoice, ScreeningPlan, screen
from agd.steps.structures.importing import import_structures
from agd.work.workspace import Workspace

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
SQL = (ROOT / "docs" / "reference" / "sql.md").read_text()
LAB = (ROOT / "docs" / "howto" / "lab.md").read_text()
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
VIEWS = ("v_attempt", "v_lease", "v_suggestion", "v_label", "v_lineage", "v_campaign_progress", "v_iteration")
NEWER = ("v_label_best", "v_sureness", "v_claim", "v_structure_candidate")
QUERIES = re.findall(r"```sql\n(.*?)```", SQL, flags=re.DOTALL)


def commands(page: str) -> list[str]:
    """The lines of a page that call agd, without what is said of them."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fences if not language]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+#\s.*", "", line) for line in lines if line.startswith("agd ")]


COMMANDS = sorted({line for page in PAGES for line in commands(page.read_text())})


GENERATION = (
    "INSERT INTO model_version (kind, plugin, architecture_version, options, seed, training_set_id, recipe_sha256,"
    " tensors_sha256, metrics, activity_id) SELECT 'generator', 'matgan', 1, '{}', 0, training_set_id, 'g',"
    " tensors_sha256, '{}', activity_id FROM model_version WHERE kind = 'autoencoder'",
    "INSERT INTO dataset (name, source, source_sha256, recipe_sha256, options, n_read, n_rejected, activity_id)"
    " SELECT 'made', '-', 's', 'made', '{}', 7, 0, activity_id FROM model_version WHERE kind = 'generator'",
    "INSERT INTO generation SELECT d.id, m.id, 0, 0, 7 FROM dataset d, model_version m"
    " WHERE d.name = 'made' AND m.kind = 'generator'",
    "INSERT INTO stage SELECT activity_id, '', 1, 'sampled', 7, 7 FROM v_generation",
    "INSERT INTO dataset_row SELECT g.dataset_id, c.id, 3, c.reduced_formula, 2 FROM generation g, composition c"
    " WHERE c.reduced_formula = :best",
    "INSERT INTO structure (composition_id, cell_sha256, n_sites, space_group, lattice, atomic_numbers, frac,"
    " activity_id) SELECT id, 's', 1, 1, '{1,0,0,0,1,0,0,0,1}', '{1}', '{0,0,0}', activity_id FROM composition"
    " WHERE reduced_formula = :best",
    "INSERT INTO template_search (composition_id, plugin, plugin_version, options, n_searched, n_proposed,"
    " recipe_sha256, activity_id) SELECT composition_id, 'substitution', '1', '{}', 1, 1, 'r', activity_id"
    " FROM structure WHERE cell_sha256 = 's'",
    "INSERT INTO structure_candidate SELECT q.id, 1, s.id, s.id, '{}', 0 FROM template_search q, structure s"
    " WHERE s.cell_sha256 = 's'",
)


def test_every_view_has_a_query() -> None:
    assert len(QUERIES) >= 10
    for view in (*VIEWS, "v_training_label", "v_screening_hit", "v_generation", "v_generated", "v_evaluation", *NEWER):
        assert any(view in query for query in QUERIES)


def test_the_queries_answer(starter: Workspace, make_spec: Callable[..., ResolvedSpec], tmp_path: Path) -> None:
    more = '[oracle]\nn_trees = 5\nexclude_initial = false\n[sampler]\nkind = "random"\n'
    campaign = open_campaign(starter, make_spec("demo", target="band_gap > 1 eV", more=more))
    LocalEngine().run(starter, campaign)
    with starter.database.transaction() as tx:  # make what is asked for exist
        open_removal(tx, "a test")
        answered = (
            "SELECT v.reduced_formula FROM v_suggestion v JOIN label l ON l.id = v.label_id"
            " WHERE v.outcome = 'new' AND v.is_find AND l.model_version_id IS NOT NULL ORDER BY v.suggestion_id LIMIT 1"
        )
        best = tx.scalar(text(answered))
        tx.execute(
            text("UPDATE composition SET chemical_system = 'F-Na' WHERE reduced_formula = :best"), {"best": best}
        )
        tx.execute(text("UPDATE activity SET outcome = 'lost' WHERE id = (SELECT max(id) FROM activity)"))
        leased = "SELECT min(id) FROM activity WHERE lease_expires_at IS NOT NULL"
        tx.execute(text(f"UPDATE activity SET outcome = 'running', ended_at = NULL WHERE id = ({leased})"))
        member = (
            "INSERT INTO training_set_member SELECT m.training_set_id, c.id, NULL, true FROM model_version m,"
            " composition c WHERE m.kind = 'oracle' AND c.reduced_formula = :best ON CONFLICT DO NOTHING"
        )
        tx.execute(text(member), {"best": best})
        unlucky = tx.scalar(text("SELECT id FROM suggestion WHERE outcome <> 'new' AND label_id IS NULL LIMIT 1"))
        undecodable = (
            "UPDATE suggestion SET outcome = 'undecodable', composition_id = NULL, reason = NULL WHERE id = :id",
            "INSERT INTO decode_failure VALUES (:id, 'two counts for Sr', 1) ON CONFLICT DO NOTHING",
        )
        for statement in undecodable:
            tx.execute(text(statement), {"id": unlucky})
        for statement in GENERATION:
            tx.execute(text(statement), {"best": best})
        initial = tx.scalar(
            text(
                "SELECT min(t.label_id) FROM training_set_member t JOIN campaign_set q USING (training_set_id)"
                " WHERE q.role = 'initial'"
            )
        )
    (tmp_path / "pool.csv").write_text(f"formula\n{best}\n")
    choice = ScreenerChoice(options=("n_trees=5",))
    pool, target = str(tmp_path / "pool.csv"), "band_gap > 0 eV"
    screen(starter, ScreeningPlan("demo", pool, choice=choice, target=target, is_novel=False, is_valid=False))
    with starter.database.read() as tx:
        screener = tx.scalar(text("SELECT min(id) FROM model_version WHERE kind = 'screener'"))
    evaluate(starter, screener, "starter")
    crystal = {"lattice": [3] * 3 + [90] * 3, "species": ["Cs", "Cl"], "frac": [0, 0, 0, 0.5, 0.5, 0.5], "e_form": -2}
    (tmp_path / "one.json").write_text(json.dumps(crystal))
    import_structures(starter, [tmp_path / "one.json"], "one", method="dft-pbe", scheme="mp2018")
    retract_label(starter, initial, "of another compound")
    for query in QUERIES:
        with starter.database.read() as tx:
            element = tx.scalar(text("SELECT (agd_elements(:best))[1]"), {"best": best})
            asked = query.replace("'NaF'", f"'{best}'").replace("'F')", f"'{element}')")
            rows = tx.execute(text(asked)).all()
        if "share_of_f" in query:
            assert [row.reduced_formula for row in rows if row.reduced_formula == best] == [best]
        assert rows, query


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one(line: str) -> None:
    """Verb, options and values are such that agd takes them; nothing is run."""
    command: Any = typer.main.get_command(app)
    context, words = None, shlex.split(line)
    while hasattr(command, "commands"):
        context = command.make_context(words[0], words[1:], parent=context)
        words = [*context._protected_args, *context.args]
        _, command, _ = command.resolve_command(context, words)
    command.make_context(words[0], words[1:], parent=context)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            is_made = page.parent.name != "hooks" and link.endswith(("specification.md", "cli.md", "schema.md"))
            assert link.startswith("https://") or is_made or (page.parent / link).exists(), (page.name, link)


@pytest.mark.slow
def test_the_tutorial_is_done_as_it_stands(tmp_path: Path) -> None:
    (spec,) = re.findall(r"```toml\n(.*?)```", TUTORIAL, flags=re.DOTALL)
    (tmp_path / "first.toml").write_text(spec)
    (tmp_path / "agd").symlink_to(ROOT / "agd")
    environment = os.environ | {"AGD_HOME": str(tmp_path / "home")}
    told = {}
    for line in commands(TUTORIAL):
        words = [sys.executable, "-m", "agd", *shlex.split(line)[1:]]
        ran = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, (line, ran.stderr)
        told[line] = ran.stdout
    assert "LiF" in told["agd top first -n 20"]
    assert {path.name for path in tmp_path.iterdir()} >= {"why.svg", "why.json", "first.html", "first.csv"}


def test_the_python_of_the_laboratory_runs(
    starter: Workspace, make_spec: Callable[..., ResolvedSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", LAB, flags=re.DOTALL)
    more = '[oracle]\nkind = "external"\n[sampler]\nkind = "random"\n'
    make_spec("lab", budget=9, more=more)
    monkeypatch.setenv("AGD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url)
    monkeypatch.chdir(tmp_path)
    told: list[str] = []

    def measure(formula: str) -> float:
        told.append(formula)
        return len(told) / 2

    names: dict[str, object] = {"measure": measure}
    exec(program, names)  # noqa: S102  the text is ours
    assert len(set(told)) == len(told) == 9
    assert names["lineage"]["formula"] == told[-1]  # type: ignore[index]
    assert len(names["frame"]) >= 9  # type: ignore[arg-type]
