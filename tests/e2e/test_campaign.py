from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from agd import registry
from agd.db.reading import progress
from agd.db.record import activities, campaigns, hashes
from agd.db.removals import open_removal
from agd.errors import BusyError, DatabaseError, ModelError, SpecChangedError, SpecError
from agd.loop import LocalEngine
from agd.nets.threads import limited_threads
from agd.protocols import Options
from agd.spec import ResolvedSpec
from agd.steps.campaign.campaigns import Campaign, Step
from agd.steps.campaign.opening import open_campaign, plan, reopen_campaign
from agd.steps.campaign.stepping import next_step, perform
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.compositions import counts_of
from agd.steps.data.importing import import_dataset
from agd.steps.models.training import retrain
from agd.steps.reading.explaining import why
from agd.types import History, Proposals
from agd.work.workspace import Workspace

MakeSpec = Callable[..., ResolvedSpec]
STARTER = Path(str(files("agd") / "data" / "starter.csv"))


def run(workspace: Workspace, resolved: ResolvedSpec) -> Campaign:
    campaign = open_campaign(workspace, resolved)
    assert LocalEngine().run(workspace, campaign).is_ended
    return campaign


def state(workspace: Workspace, name: str = "small") -> dict[str, object]:
    with workspace.database.read() as tx:
        return progress.campaigns(tx, name)[0]


def content_hash(workspace: Workspace, name: str = "small") -> str | None:
    with workspace.database.read() as tx:
        found = hashes.of_campaign(tx, name)
        return found and found.sha256


def scalar(workspace: Workspace, query: str) -> object:
    with workspace.database.read() as tx:
        return tx.scalar(text(query))


def test_the_budget_is_spent_on_distinct_compositions(starter: Workspace, make_spec: MakeSpec) -> None:
    run(starter, make_spec())
    row = state(starter)
    assert row["state"] == "ended: budget spent"
    assert row["n_new"] == 25
    assert row["n_suggested"] == row["n_undecodable"] + row["n_decodable"]
    assert row["n_decodable"] == row["n_new"] + row["n_duplicate"] + row["n_known"] + row["n_rejected"]
    assert scalar(starter, "SELECT count(DISTINCT composition_id) FROM suggestion WHERE outcome = 'new'") == 25
    assert scalar(starter, "SELECT count(*) FROM label WHERE model_version_id IS NOT NULL") == 25
    assert scalar(starter, "SELECT count(*) FROM suggestion WHERE outcome = 'new' AND label_id IS NULL") == 0
    assert scalar(starter, "SELECT count(*) FROM decode_failure") == row["n_undecodable"]
    assert (
        scalar(starter, "SELECT count(*) FROM suggestion s LEFT JOIN latent z ON z.id = s.latent_id WHERE z.id IS NULL")
        == 0
    )
    assert scalar(starter, "SELECT count(*) FROM activity WHERE outcome <> 'done'") == 0
    assert scalar(starter, "SELECT count(*) FROM label WHERE value < 0") == 0
    assert scalar(starter, "SELECT options ->> 'minimum' FROM model_version WHERE kind = 'oracle'") == "0.0"


def test_trust_regions_suggest_what_is_new_and_allowed(starter: Workspace, make_spec: MakeSpec) -> None:
    """Nothing is undecodable or known already but where a batch could not be filled."""
    sampler = '[sampler]\nkind = "trust-region"\nn_perturbed = 300\nn_new = 30\nmax_per_system = 2\n'
    more = f"[oracle]\nn_trees = 10\n{sampler}[filter]\nmax_elements = 4\n"
    run(starter, make_spec(budget=16, more=more))
    assert scalar(starter, "SELECT count(*) FROM model_version WHERE kind = 'autoencoder'") == 1
    of = "FROM suggestion WHERE proposed = 'latent' AND posterior_mean IS NOT NULL"
    assert scalar(starter, f"SELECT count(*) {of}") == scalar(starter, f"SELECT count(*) {of} AND outcome = 'new'") > 8
    assert scalar(starter, "SELECT count(*) FROM suggestion WHERE outcome = 'new'") == 16
    most = (
        "SELECT max(n) FROM (SELECT count(*) AS n FROM suggestion s JOIN composition c ON c.id = s.composition_id"
        " WHERE posterior_mean IS NOT NULL GROUP BY chemical_system) AS of_system"
    )
    assert scalar(starter, most) <= 2  # type: ignore[operator]


@pytest.mark.slow
def test_another_record_gives_the_same_rows(starter: Workspace, make_spec: MakeSpec) -> None:
    resolved = make_spec()
    run(starter, resolved)
    first = content_hash(starter)
    run(starter, make_spec("other"))
    assert content_hash(starter, "other") == first
    with starter.database.transaction() as tx:  # the same rows under other ids: forget the campaign and run it again
        open_removal(tx, "a test")
        for table in (
            "iteration_tally",
            "decode_failure",
            "suggestion",
            "latent",
            "campaign_model",
            "campaign_set",
            "campaign_known",
            "campaign_hash",
        ):
            tx.execute(text(f"DELETE FROM {table}"))
        tx.execute(text("DELETE FROM label WHERE model_version_id IS NOT NULL"))
        tx.execute(text("DELETE FROM model_version"))
        of_none = "campaign_id = NULL, iteration_id = NULL, job_id = NULL, lease_expires_at = NULL"
        tx.execute(text(f"UPDATE activity SET {of_none}"))
        tx.execute(text("DELETE FROM job"))
        tx.execute(text("DELETE FROM iteration"))
        tx.execute(text("DELETE FROM campaign"))
    starter._loaded.clear()
    run(starter, resolved)
    assert content_hash(starter) == first


@pytest.mark.slow
def test_a_run_broken_at_every_step_gives_the_same_rows(
    starter: Workspace, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step dies once before it commits and once after it computed; nothing is lost, doubled or different."""
    run(starter, make_spec("undisturbed", budget=12))
    expected = _neutral(content_hash(starter, "undisturbed"), starter, "undisturbed")
    campaign = open_campaign(starter, make_spec("small", budget=12))
    finish = activities.finish
    broken: set[tuple[str, int | None]] = set()
    while (step := next_step(starter, campaign)) is not None:
        if (step.kind, step.iteration) not in broken:
            broken.add((step.kind, step.iteration))

            def die(*_: object) -> None:
                raise KeyboardInterrupt

            monkeypatch.setattr(activities, "finish", die)
            with pytest.raises(KeyboardInterrupt), limited_threads(1):
                perform(starter, campaign, step)
            monkeypatch.setattr(activities, "finish", finish)
            assert next_step(starter, campaign) == step
        starter._loaded.clear()
        with limited_threads(1):
            perform(starter, campaign, step)
    assert _neutral(content_hash(starter), starter, "small") == expected
    assert scalar(starter, "SELECT count(*) FROM activity WHERE outcome = 'failed'") == len(broken)


def _neutral(_: str | None, workspace: Workspace, name: str) -> list[tuple[object, ...]]:
    """The rows of a campaign without its name: what two campaigns of one seed must share."""
    with workspace.database.read() as tx:
        rows = tx.execute(
            text(
                "SELECT iteration, rank, outcome, reduced_formula, value, uncertainty, posterior_mean, acquisition,"
                " (SELECT vector FROM latent WHERE id = latent_id) AS vector"
                " FROM v_suggestion WHERE campaign = :name ORDER BY iteration, rank"
            ),
            {"name": name},
        )
        return [tuple(row) for row in rows]


@pytest.mark.slow
def test_a_done_campaign_is_left_alone(starter: Workspace, make_spec: MakeSpec) -> None:
    resolved = make_spec(budget=5)
    run(starter, resolved)
    before = content_hash(starter)
    outcome = LocalEngine().run(starter, open_campaign(starter, resolved))
    assert (outcome.is_ended, outcome.n_steps) == (True, 0)
    assert content_hash(starter) == before


@pytest.mark.slow
def test_two_campaigns_share_models_and_labels(starter: Workspace, make_spec: MakeSpec) -> None:
    run(starter, make_spec("first", budget=15))
    n_labels = scalar(starter, "SELECT count(*) FROM label")
    run(starter, make_spec("second", budget=15))
    assert scalar(starter, "SELECT count(*) FROM model_version") == 2
    assert scalar(starter, "SELECT count(*) FROM label") == n_labels  # the same seed asks for the same compositions
    assert state(starter, "second")["n_new"] == 15  # and is charged all the same


def test_the_table_oracle_answers_from_its_rows_only(starter: Workspace, make_spec: MakeSpec) -> None:
    more = '[oracle]\nkind = "table"\n[sampler]\nkind = "random"\n'
    campaign = open_campaign(starter, make_spec(more=more))
    LocalEngine().run(starter, campaign)
    assert scalar(starter, "SELECT count(*) FROM label WHERE model_version_id IS NOT NULL") == 0
    assert scalar(starter, "SELECT count(*) FROM suggestion WHERE outcome = 'unanswered' AND label_id IS NOT NULL") == 0
    answered = scalar(
        starter,
        "SELECT count(*) FROM suggestion s JOIN label l ON l.id = s.label_id JOIN dataset d ON d.id = l.dataset_id"
        " WHERE s.outcome = 'new' AND d.name = 'starter'",
    )
    assert answered == state(starter)["n_new"]


def test_the_table_oracle_is_not_charged_for_what_it_lacks(
    starter: Workspace, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compositions that the table lacks leave the whole budget to those that it holds."""
    more = '[oracle]\nkind = "table"\n[sampler]\nkind = "ucb"\n'
    with fixed_proposals(monkeypatch, ["Na7Cl5", "K7Cl5", "KF", "NaF", "BaF2", "SrF2"]):
        campaign = open_campaign(starter, make_spec(budget=2, more=more))
        LocalEngine().run(starter, campaign)
    with starter.database.read() as tx:
        rows = tx.execute(text("SELECT outcome, reduced_formula, value FROM v_suggestion ORDER BY rank")).all()
    outcomes = {row.reduced_formula: row.outcome for row in rows}
    assert [outcomes[formula] for formula in ("Na7Cl5", "K7Cl5")] == ["unanswered", "unanswered"]
    assert sorted(outcomes.values()).count("new") == 2
    assert state(starter)["n_new"] == 2


def test_a_lost_model_file_is_made_again(starter: Workspace, make_spec: MakeSpec) -> None:
    run(starter, make_spec(budget=5))
    before = {file.name: file.read_bytes() for file in starter.artifacts.rglob("*.npz")}
    for file in starter.artifacts.rglob("*.npz"):
        file.unlink()
    starter._loaded.clear()
    with pytest.raises(ModelError, match="agd retrain"):
        run(starter, make_spec("other", budget=5))
    for name in before:
        retrain(starter, name[:10])
    assert {file.name: file.read_bytes() for file in starter.artifacts.rglob("*.npz")} == before


def test_a_name_taken_meanwhile_is_one_clear_line(
    starter: Workspace, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes that both saw nothing: the second is told, and nothing of it is kept."""
    from agd.steps.campaign import opening
    from agd.steps.data import importing

    open_campaign(starter, make_spec())
    monkeypatch.setattr(opening.campaigns, "find", lambda *_: None)
    with pytest.raises(BusyError, match="run the command again"):
        open_campaign(starter, make_spec())
    monkeypatch.setattr(importing, "is_imported", lambda *_: False)
    with pytest.raises(BusyError, match="run the command again"):
        import_dataset(starter, STARTER, "starter", ImportRules("formula", "band_gap_ev", "band_gap", "eV", "keep"))
    assert scalar(starter, "SELECT count(*) FROM label") == scalar(starter, "SELECT count(*) FROM dataset_row")


def test_a_lost_lock_ends_the_run(starter: Workspace, make_spec: MakeSpec) -> None:
    campaign = open_campaign(starter, make_spec())

    def lose_lock(step: Step) -> None:
        if step.kind == "encode":
            with starter.database.transaction() as tx:
                tx.execute(text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"))

    with pytest.raises(DatabaseError, match="What was committed is safe"):
        LocalEngine().run(starter, campaign, on_step=lose_lock)
    assert next_step(starter, campaign) == Step("suggest", 1)


def test_an_initial_set_that_spans_no_box_is_refused(starter: Workspace, make_spec: MakeSpec) -> None:
    from agd import spec

    resolved = make_spec()
    (resolved.folder / "rows.csv").write_text("composition\nNaCl\n")
    path = resolved.folder / "wrong.toml"
    path.write_text(resolved.text.replace("n = 30\nat_most = 5.0", 'file = "rows.csv"'))
    with pytest.raises(SpecError, match=r"wrong.toml:9: initial.file: the search needs two rows"):
        open_campaign(starter, spec.read(path))


def test_a_search_that_finds_nothing_new_ends(starter: Workspace, make_spec: MakeSpec) -> None:
    more = '[oracle]\nkind = "table"\n[sampler]\nkind = "random"\n[filter]\nmax_atoms = 1\n'
    run(starter, make_spec(budget=1000, more=more))
    assert state(starter)["state"] == "ended: stalled"


def test_the_filter_rejects_and_does_not_charge(starter: Workspace, make_spec: MakeSpec) -> None:
    more = "[oracle]\nn_trees = 5\n[sampler]\nkind = 'random'\n[filter]\nis_charge_neutral = true\nmax_elements = 3\n"
    run(starter, make_spec(more=more))
    rejected = scalar(starter, "SELECT count(*) FROM suggestion WHERE outcome = 'rejected' AND label_id IS NULL")
    assert rejected == state(starter)["n_rejected"]
    charged = (
        "SELECT count(*) FROM suggestion s JOIN composition c ON c.id = s.composition_id"
        " JOIN verdict v ON v.composition_id = c.id WHERE s.outcome = 'new'"
        " AND (NOT v.is_charge_neutral OR c.n_elements > 3)"
    )
    assert scalar(starter, charged) == 0


@pytest.mark.parametrize("target", ["band_gap < 1 eV", "2 eV < band_gap < 4 eV"])
def test_other_targets(starter: Workspace, make_spec: MakeSpec, target: str) -> None:
    campaign = run(starter, make_spec(target=target, budget=10))
    with starter.database.read() as tx:
        (best, *_) = progress.top_finds(tx, campaign.id, 3)
        finds = scalar(starter, "SELECT n_finds FROM v_campaign_progress")
    if finds:
        assert best.is_find
        assert (campaign.spec.target.low or 0) <= best.value <= campaign.spec.target.high


def test_a_changed_specification_is_refused(starter: Workspace, make_spec: MakeSpec) -> None:
    open_campaign(starter, make_spec(budget=25))
    with pytest.raises(SpecChangedError, match=r"budget.oracle_calls: 25 -> 30.*agd resume small"):
        open_campaign(starter, make_spec(budget=30))


def test_another_major_version_is_refused(starter: Workspace, make_spec: MakeSpec) -> None:
    open_campaign(starter, make_spec())
    with starter.database.transaction() as tx:
        open_removal(tx, "a test")
        tx.execute(text("UPDATE campaign SET agd_version = '7.1.0'"))
    with pytest.raises(SpecChangedError, match=r"agd 7.1.0.*git checkout v7.1.0"):
        reopen_campaign(starter, "small")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n = 30", "n = 3000", "3000 rows wanted"),
        ("band_gap > 6 eV", "band_gap > 6 GPa", "band_gap is kept in eV, not in GPa"),
        ("band_gap > 6 eV", "density > 6 g/cm3", "holds values of band_gap"),
    ],
)
def test_what_the_record_cannot_give(starter: Workspace, make_spec: MakeSpec, old: str, new: str, message: str) -> None:
    from agd import spec

    resolved = make_spec()
    path = resolved.folder / "wrong.toml"
    path.write_text(resolved.text.replace(old, new))
    with pytest.raises(SpecError, match=message):
        open_campaign(starter, spec.read(path))
    assert scalar(starter, "SELECT count(*) FROM campaign") == 0


def test_only_one_process_runs_a_campaign(starter: Workspace, make_spec: MakeSpec) -> None:
    campaign = open_campaign(starter, make_spec())
    with starter.database.campaign_lock(campaign.id, "small"):
        assert state(starter)["state"] == "running"
        with pytest.raises(BusyError, match="agd stop small"):
            LocalEngine().run(starter, campaign)
    assert state(starter)["state"] == "paused"


def test_a_stop_is_heard_between_steps(starter: Workspace, make_spec: MakeSpec) -> None:
    campaign = open_campaign(starter, make_spec())
    steps: list[Step] = []

    def ask_to_stop(step: Step) -> None:
        steps.append(step)
        if step.kind == "decode":
            with starter.database.transaction() as tx:
                campaigns.request_stop(tx, campaign.id)

    assert not LocalEngine().run(starter, campaign, on_step=ask_to_stop).is_ended
    assert steps[-1] == Step("decode", 1)
    assert next_step(starter, campaign) == Step("label", 1)
    assert LocalEngine().run(starter, campaign).is_ended


def test_an_altered_model_file_is_refused(starter: Workspace, make_spec: MakeSpec) -> None:
    campaign = open_campaign(starter, make_spec())
    for _ in range(2):
        step = next_step(starter, campaign)
        assert step is not None
        perform(starter, campaign, step)
    for file in starter.artifacts.rglob("*.npz"):
        file.chmod(0o644)
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    starter._loaded.clear()
    with pytest.raises(ModelError, match="sha256"):
        LocalEngine().run(starter, campaign)


def test_why_in_any_spelling(starter: Workspace, make_spec: MakeSpec) -> None:
    campaign = run(starter, make_spec())
    with starter.database.read() as tx:
        (best,) = progress.top_finds(tx, campaign.id, 1)
    found = why(starter, best.reduced_formula)
    (first,) = [row for row in found.suggestions if row.outcome == "new"]
    assert first.iteration == best.iteration
    assert first.learned_from[0] == 30
    assert sum(first.learned_from.values()) == 30 + scalar(
        starter, f"SELECT count(*) FROM v_suggestion WHERE outcome = 'new' AND iteration < {best.iteration}"
    )
    assert {model.kind for model in found.model_versions} == {"autoencoder", "oracle"}
    assert first.label_id in {label.label_id for label in found.labels}
    assert why(starter, "Cl2Na2").formula == why(starter, "NaCl").formula == "NaCl"


def test_a_plan_stores_nothing(starter: Workspace, make_spec: MakeSpec) -> None:
    planned = plan(starter, make_spec())
    assert (planned.initial_rows, planned.oracle_calls_left) == (30, 25)
    assert scalar(starter, "SELECT count(*) FROM campaign") == 0


def test_a_sampler_may_propose_compositions(
    starter: Workspace, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a suggestion is encoded, so it has its latent row like any other."""
    proposed = ["NaF", "KF", "LiF", "MgF2", "NaF", "CaF2", "SrF2", "BaF2"]
    with fixed_proposals(monkeypatch, proposed):
        campaign = open_campaign(starter, make_spec(budget=100))
        for _ in range(7):
            step = next_step(starter, campaign)
            assert step is not None
            perform(starter, campaign, step)
    with starter.database.read() as tx:
        rows = tx.execute(text("SELECT * FROM v_suggestion ORDER BY rank")).all()
    assert {row.proposed for row in rows} == {"composition"}
    assert [row.reduced_formula for row in rows] == proposed
    assert rows[4].outcome == "duplicate"
    assert rows[4].latent_id == rows[0].latent_id


@contextmanager
def fixed_proposals(monkeypatch: pytest.MonkeyPatch, formulas: list[str]) -> Iterator[None]:
    """Let every sampler propose these compositions."""
    load = registry.load

    class Fixed:
        options_type = load("agd.samplers", "ucb").options_type
        space = "latent"
        draws_from_pool = False
        takes_several_properties = False

        def __init__(self, options: Options) -> None:
            self.options = options

        def suggest(self, history: History, n: int, *, seed: int) -> Proposals:
            del history, seed
            chosen = formulas[:n]
            nothing = np.full(len(chosen), np.nan)
            return Proposals(nothing, nothing, nothing, counts=counts_of(chosen))

    with monkeypatch.context() as patch:
        patch.setattr(registry, "load", lambda group, name: Fixed if group == "agd.samplers" else load(group, name))
        yield
