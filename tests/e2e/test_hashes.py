"""What the hash of a search covers, when it is kept, and what `agd doctor` finds where rows were falsified."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from typer.testing import CliRunner

from agd.api import Campaign
from agd.cli.app import app
from agd.db.record import hashes
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps.campaign.campaigns import Step
from agd.steps.campaign.opening import open_campaign, reopen_campaign
from agd.steps.data.labelling import retract_label
from agd.steps.screening.screening import ScreeningPlan, screen
from agd.steps.upkeep.examining import examine
from agd.work.workspace import Workspace

MakeSpec = Callable[..., ResolvedSpec]
RANDOM = '[oracle]\nn_trees = 5\n[sampler]\nkind = "random"\n'
EXTERNAL = '[oracle]\nkind = "external"\n[sampler]\nkind = "random"\n'


class _LeftError(Exception):
    """Somebody pulls the plug."""


@pytest.fixture
def installed(starter: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The record as `agd` finds it by its environment."""
    monkeypatch.setenv("AGD_HOME", str(starter.artifacts.parent))
    monkeypatch.setenv("AGD_DATABASE_URL", starter.database.url)
    return starter


def run(workspace: Workspace, resolved: ResolvedSpec, *, until: Step | None = None) -> None:
    def leave(step: Step) -> None:
        if step == until:
            raise _LeftError

    campaign = open_campaign(workspace, resolved)
    if until is None:
        assert LocalEngine().run(workspace, campaign).is_ended
        return
    with pytest.raises(_LeftError):
        LocalEngine().run(workspace, campaign, on_step=leave)


def of(workspace: Workspace, name: str, *, with_later: bool = False) -> str:
    with workspace.database.read() as tx:
        found = hashes.of_campaign(tx, name, with_later=with_later)
    assert found is not None
    return found.sha256


def kept(workspace: Workspace, name: str) -> list[int]:
    with workspace.database.read() as tx:
        return [row.n_steps for row in hashes.searches(tx) if row.name == name]


def falsify(workspace: Workspace, statement: str) -> None:
    """As the owner of the database can, whatever its triggers say."""
    with workspace.database.transaction() as tx:
        tx.execute(text("SET LOCAL session_replication_role = replica"))
        changed = tx.execute(text(statement))
        assert changed.rowcount != 0


def errors() -> set[str]:
    return {f"{found.subject}: {found.what}" for found in examine() if found.severity == "error"}


def one_label(workspace: Workspace, where: str) -> int:
    with workspace.database.read() as tx:
        return int(tx.scalar(text(f"SELECT min(l.id) FROM label l WHERE {where}")) or 0)


def test_equal_rows_have_one_hash_whatever_came_later(installed: Workspace, make_spec: MakeSpec) -> None:
    run(installed, make_spec("first", more=RANDOM, budget=6))
    run(installed, make_spec("second", more=RANDOM, budget=6))
    run(installed, make_spec("longer", more=RANDOM, budget=7))
    search, whole = of(installed, "first"), of(installed, "first", with_later=True)
    assert of(installed, "second") == search != of(installed, "longer")
    assert of(installed, "second", with_later=True) == whole != search
    screen(installed, ScreeningPlan("first", "starter", ("baseline",), limit=300))
    screened = of(installed, "first", with_later=True)
    retract_label(installed, one_label(installed, "l.model_version_id IS NOT NULL"), "another phase")
    assert of(installed, "first") == search
    assert len({whole, screened, of(installed, "first", with_later=True)}) == 3
    told = json.loads(CliRunner().invoke(app, ["hash", "first", "--json"]).stdout)
    assert (told["function"], told["sha256"]) == ("agd_content_hash_v3", search)
    assert "search alone" in told["covers"]
    later = CliRunner().invoke(app, ["hash", "first", "--with-later"]).stdout
    assert later.strip() == of(installed, "first", with_later=True)
    assert errors() == set()


def test_no_text_imitates_another_line(installed: Workspace, make_spec: MakeSpec) -> None:
    """Two reasons, one with what looks like the end of its line and the next line, are told apart."""
    name = "small"
    run(installed, make_spec(more=RANDOM, budget=4))
    ranks = "SELECT s.id FROM suggestion s WHERE outcome = 'new' ORDER BY s.id LIMIT 2"
    with installed.database.read() as tx:
        first, second = tx.scalars(text(ranks)).all()

    def reject(suggestion: int, reason: str) -> None:
        falsify(
            installed,
            f"UPDATE suggestion SET outcome = 'rejected', reason = {reason}, label_id = NULL, label_activity_id = NULL"
            f" WHERE id = {suggestion}",
        )

    found = set()
    for one, other in (
        ("'a b'", "'c'"),
        ("'a'", "'b c'"),
        ("E'a\"\\n[\"b'", "'c'"),
        ("'a'", "E'b\\nc'"),
        ("'-'", "'c'"),
    ):
        reject(first, one)
        reject(second, other)
        found.add(of(installed, name))
    assert len(found) == 5


def test_the_hash_is_kept_whenever_a_search_is_left(installed: Workspace, make_spec: MakeSpec) -> None:
    run(installed, make_spec(more=RANDOM), until=Step("train autoencoder"))
    run(installed, make_spec(more=RANDOM), until=Step("suggest", 1))
    run(installed, make_spec(more=RANDOM), until=Step("label", 2))
    run(installed, make_spec(more=RANDOM), until=Step("label", 2))  # nothing was done
    assert kept(installed, "small") == [0, 1, 7]
    before = of(installed, "small")
    LocalEngine().run(installed, reopen_campaign(installed, "small"))
    assert len(kept(installed, "small")) == 4
    assert errors() == set()
    with installed.database.read() as tx:
        assert hashes.search_now(tx, "small", 7) == before


@pytest.mark.slow
def test_an_answer_given_up_or_told_anew_is_part_of_what_came_later(installed: Workspace, make_spec: MakeSpec) -> None:
    campaign = Campaign(installed, open_campaign(installed, make_spec(more=EXTERNAL)), None)  # type: ignore[arg-type]
    first, second, *rest = campaign.ask()
    for suggestion in (first, *rest):
        told = campaign.tell(suggestion.formula, 2.5, operator="ada", measured_on="2026-01-15")
    campaign.give_up(second.formula, reason="it decomposes")
    campaign.ask()
    search, whole = of(installed, "small"), of(installed, "small", with_later=True)
    retract_label(installed, told.label_id, "another phase")
    campaign.tell(rest[-1].formula, 3.5, operator="ada", measured_on="2026-01-16")
    assert (of(installed, "small"), of(installed, "small", with_later=True) != whole) == (search, True)
    falsify(installed, "UPDATE given_up SET reason = 'it never came'")
    assert of(installed, "small") == search
    assert errors() == set()
    falsify(installed, "DELETE FROM given_up")
    assert any("campaign small: its search" in words for words in errors())


SMALL, STARTER = "campaign small: its search", "dataset starter: its rows, labels or rejects differ"
OF_SMALL = "(SELECT min(label_id) FROM suggestion WHERE label_id IS NOT NULL)"
FALSIFIED = {
    "a label": (f"UPDATE label SET value = value + {{}} WHERE id = {OF_SMALL}", SMALL),
    "an uncertainty": (f"UPDATE label SET uncertainty = uncertainty + {{}} WHERE id = {OF_SMALL}", SMALL),
    "a suggestion": ("UPDATE suggestion SET rank = rank + 100 * {} WHERE id = 1", SMALL),
    "a reason": ("UPDATE campaign SET end_reason = CASE {} WHEN 1 THEN 'stalled' ELSE 'budget spent' END", SMALL),
    "a target": ("UPDATE campaign SET target_low = target_low + {}", SMALL),
    "a latent": (
        "UPDATE latent SET vector[1] = vector[1] + {} WHERE id = (SELECT min(latent_id) FROM suggestion)",
        SMALL,
    ),
    "a label of a dataset": (
        "UPDATE label SET value = value + {} WHERE id = (SELECT max(id) FROM label WHERE dataset_id IS NOT NULL)",
        STARTER,
    ),
    "a row of a dataset": ("UPDATE dataset_row SET n_rows = n_rows + {} WHERE line = 2", STARTER),
    "an activity": (
        "UPDATE activity SET kind = CASE {} WHEN 1 THEN 'encode' ELSE 'decode' END"
        " WHERE id = (SELECT max(decode_activity_id) FROM suggestion)",
        "activity: 1 did not succeed, or are of another kind or iteration",
    ),
    "a row that is referred to": (
        "UPDATE suggestion SET decode_activity_id = decode_activity_id + 1000 * {} WHERE id = 1",
        "suggestion: 1 refer to rows of activity that are not there",
    ),
    "a disabled trigger": ("ALTER TABLE label {} TRIGGER defend_rows", "trigger defend_rows of label is disabled"),
    "disabled foreign keys": (
        "ALTER TABLE decode_failure {} TRIGGER ALL",
        "foreign key fk_decode_failure_suggestion_id of decode_failure is disabled",
    ),
}


@pytest.mark.slow
def test_doctor_names_what_was_falsified(installed: Workspace, make_spec: MakeSpec) -> None:
    run(installed, make_spec(more=RANDOM, budget=6))
    for what, (statement, words) in FALSIFIED.items():
        back_and_forth = ("DISABLE", "ENABLE") if "TRIGGER" in statement else ("1", "-1")
        falsify(installed, statement.format(back_and_forth[0]))
        assert any(words in found for found in errors()), what
        falsify(installed, statement.format(back_and_forth[1]))
        assert not any(words in found for found in errors()), what


def test_doctor_says_how_far_a_search_is_unchanged(installed: Workspace, make_spec: MakeSpec) -> None:
    run(installed, make_spec(more=RANDOM), until=Step("suggest", 2))
    run(installed, make_spec(more=RANDOM), until=Step("suggest", 3))
    falsify(installed, "UPDATE suggestion SET posterior_mean = 1 WHERE id = (SELECT max(id) FROM suggestion)")
    [found] = [finding for finding in examine() if finding.severity == "error"]
    assert found.subject == "campaign small"
    assert found.what.startswith("its search, recorded up to iteration 2, differs from what was kept on ")
    assert found.what.endswith("; as it was recorded up to iteration 1, it is unchanged")
    assert "restore" in found.cure


@pytest.mark.slow
def test_definitions_changed_by_hand(installed: Workspace, make_spec: MakeSpec) -> None:
    run(installed, make_spec(more=RANDOM, budget=4))
    for statement in (
        "CREATE OR REPLACE FUNCTION agd_content_hash_v3(campaign_name text, n_steps integer DEFAULT NULL) RETURNS text"
        " LANGUAGE sql STABLE AS 'SELECT sha256 FROM campaign_hash ORDER BY n_steps DESC LIMIT 1'",
        "CREATE OR REPLACE VIEW v_lease AS SELECT * FROM (SELECT k.name AS campaign, a.kind AS step, i.number AS"
        " iteration, a.id AS token, a.host, a.pid, a.fw_id, a.launch_id, a.started_at, a.lease_expires_at,"
        " false AS is_expired, a.campaign_id, a.iteration_id, a.kind AS title, a.job_id FROM activity a"
        " JOIN campaign k ON k.id = a.campaign_id LEFT JOIN iteration i ON i.id = a.iteration_id"
        " WHERE a.outcome = 'running') x",
        "ALTER TABLE label DROP CONSTRAINT ck_label_value_is_finite, ADD CONSTRAINT ck_label_value_is_finite"
        " CHECK (value IS NOT NULL)",
        "DROP INDEX uq_suggestion_new_once",
        "CREATE UNIQUE INDEX uq_suggestion_new_once ON suggestion (campaign_id, composition_id, rank)",
        "DROP TRIGGER defend_rows ON suggestion",
        "ALTER TABLE verdict ENABLE ROW LEVEL SECURITY",
        "CREATE FUNCTION agd_ours() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    ):
        falsify(installed, statement)
    falsify(installed, f"UPDATE label SET value = 9 WHERE id = {OF_SMALL}")
    found = {words.removeprefix("schema: it is not what migrations make: ") for words in errors()}
    assert found >= {
        "constraint ck_label_value_is_finite of label is changed",
        "function agd_content_hash_v3(campaign_name text, n_steps integer) is changed",
        "function agd_ours() is not known",
        "index uq_suggestion_new_once of suggestion is changed",
        "table verdict is changed",
        "trigger defend_rows of suggestion is missing",
        "view v_lease is changed",
    }
    [hashes_] = [words for words in found if words.startswith("hashes: ")]
    assert "not compared: function agd_content_hash_v3" in hashes_
    shown = CliRunner().invoke(app, ["doctor", "--quiet"])
    assert shown.exit_code == 1


def test_who_may_make_no_schema_is_told_so(installed: Workspace) -> None:
    """As a role that reads alone; what the tables lack is named all the same."""
    name = make_url(installed.database.url).database
    role = f"{name}_reader"
    with installed.database.transaction() as tx:
        tx.execute(text("DROP INDEX ix_suggestion_label"))
        tx.execute(text(f'CREATE ROLE "{role}"'))
        tx.execute(text(f'GRANT USAGE ON SCHEMA public, queue TO "{role}"'))
        tx.execute(text(f'GRANT SELECT ON ALL TABLES IN SCHEMA public, queue TO "{role}"'))
        tx.execute(text(f'ALTER DATABASE "{name}" SET role = "{role}"'))
    try:
        found = [finding for finding in examine() if finding.subject == "schema"]
    finally:
        with installed.database.transaction() as tx:
            tx.execute(text("SET LOCAL ROLE NONE"))
            tx.execute(text(f'ALTER DATABASE "{name}" RESET role'))
            tx.execute(text(f'DROP OWNED BY "{role}"'))
            tx.execute(text(f'DROP ROLE "{role}"'))
    assert [(one.severity, one.what.partition(":")[0]) for one in found] == [
        ("error", "it is not what migrations make"),
        ("note", "views, functions, triggers and constraints were not compared"),
    ]


@pytest.mark.parametrize("what", ["ended", "dataset"])
def test_a_hash_that_is_gone_is_missed(installed: Workspace, make_spec: MakeSpec, what: str) -> None:
    if what == "ended":
        run(installed, make_spec(more=RANDOM, budget=4))
    falsify(installed, "DELETE FROM campaign_hash" if what == "ended" else "DELETE FROM dataset_hash")
    expected = "campaign small: it has ended, and no hash" if what == "ended" else "dataset starter: no hash of it"
    assert any(words.startswith(expected) for words in errors())


def test_an_import_keeps_a_hash_that_its_name_does_not_change(workspace: Workspace, tmp_path: Path) -> None:
    from agd.steps.data.cleaning import ImportRules
    from agd.steps.data.importing import import_dataset

    found = []
    for name in ("one", "other"):
        table = tmp_path / f"{name}.csv"
        table.write_text("formula,gap\nNaCl,5.0\nXx2,1\nMgO,4.5\nNaCl,5.5\n")
        import_dataset(workspace, table, name, ImportRules("formula", "gap", "band_gap", "eV"))
        with workspace.database.transaction() as tx:
            (row,) = [row for row in hashes.datasets(tx) if row.name == name]
            assert hashes.dataset_now(tx, row.id) == row.sha256
            found.append(row.sha256)
            tx.execute(text("SELECT agd_open_removal('the next is the same under another name')"))
            tx.execute(text("DELETE FROM label"))
            for rows in ("dataset_row", "dataset_reject", "dataset_hash", "dataset_tally", "dataset"):
                tx.execute(text(f"DELETE FROM {rows}"))
    assert found[0] == found[1]
