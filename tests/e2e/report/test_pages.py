"""Pages of small campaigns in every state: they stand alone, and say what the record holds."""

import json
from collections.abc import Callable
from shlex import quote
from typing import Any

import pytest
from sqlalchemy import text

from agd.db.removals import open_removal
from agd.loop import LocalEngine
from agd.nets.threads import limited_threads
from agd.report.comparison import compare
from agd.report.exporting import export
from agd.report.frames import suggestions_frame
from agd.report.page import comparison_page, report_page
from agd.spec import ResolvedSpec
from agd.steps.campaign.campaigns import Campaign
from agd.steps.campaign.opening import open_campaign
from agd.steps.campaign.stepping import next_step, perform
from agd.work.workspace import Workspace

MakeSpec = Callable[..., ResolvedSpec]
Row = Callable[[Workspace, str], tuple[Any, ...]]
ReadPage = Callable[[str], Any]

UCB = '[oracle]\nn_trees = 10\nexclude_initial = false\n[sampler]\nkind = "ucb"\nkappa = 5\nn_warmup = 200\n'
RANDOM = UCB[: UCB.index("[sampler]")] + '[sampler]\nkind = "random"\n'
REPEATING = UCB + "avoids_seen = false\n"
TABLE = '[oracle]\nkind = "table"\n[sampler]\nkind = "random"\n'
EXTERNAL = '[oracle]\nkind = "external"\n[sampler]\nkind = "random"\n'


def run(workspace: Workspace, resolved: ResolvedSpec) -> Campaign:
    campaign = open_campaign(workspace, resolved)
    assert LocalEngine().run(workspace, campaign).is_ended
    return campaign


def until(workspace: Workspace, resolved: ResolvedSpec, kind: str, iteration: int) -> Campaign:
    """Run a campaign up to a step, and leave it there."""
    campaign = open_campaign(workspace, resolved)
    while (step := next_step(workspace, campaign)) is not None and (step.kind, step.iteration) != (kind, iteration):
        with limited_threads(1):
            perform(workspace, campaign, step)
    return campaign


def change(workspace: Workspace, statement: str, **values: object) -> None:
    with workspace.database.transaction() as tx:
        open_removal(tx, "a test")
        tx.execute(text(statement), values)


def test_a_page_says_what_the_record_holds(searched: Workspace, read_page: ReadPage, row: Row) -> None:
    written = report_page(searched, "small")
    page = read_page(written)
    n_finds, spec_sha256 = row(
        searched,
        "SELECT n_finds, spec_sha256 FROM v_campaign_progress p JOIN campaign k ON k.name = p.campaign"
        " WHERE campaign = 'small'",
    )
    (n_twin,) = row(searched, "SELECT n_finds FROM v_campaign_progress WHERE campaign = 'small-random'")
    (content_hash,) = row(searched, "SELECT agd_content_hash_v3('small')")
    assert int(str(n_finds)) > 0
    assert f"25 of 25 calls spent, {n_finds} distinct find" in page.text
    assert f"the random twin found {n_twin or 'none'}" in page.text
    assert str(spec_sha256)[:12] in page.text
    assert str(content_hash) in page.text
    assert "the search alone, under any name" in page.text
    with searched.database.read() as tx:
        finds = tx.execute(
            text(
                "SELECT v.*, m.tensors_sha256 FROM v_suggestion v JOIN label l ON l.id = v.label_id"
                " JOIN model_version m ON m.id = l.model_version_id WHERE campaign = 'small' AND outcome = 'new'"
                " AND is_find ORDER BY v.value DESC, iteration, rank"
            )
        ).all()
    at = 0
    for find in finds:
        at = page.text.index(f"agd why {quote(find.reduced_formula)}", at)
        assert f"{find.iteration}.{find.rank}" in page.text
        assert find.tensors_sha256[:8] in page.text
    assert page.tags.count("svg") == 7
    assert "Nothing has been screened yet; agd screen small --pool FILE does it." in page.text
    assert "[budget] oracle_calls = 25" in page.text
    assert len(written) < 1_500_000
    assert report_page(searched, "small") == written


def test_campaigns_on_their_way(starter: Workspace, make_spec: MakeSpec, read_page: ReadPage) -> None:
    open_campaign(starter, make_spec("opened"))
    page = read_page(report_page(starter, "opened"))
    assert "Nothing has been suggested yet: 30 labels known from the start, 25 calls to spend." in page.text
    assert "None trained yet." in page.text
    assert read_page(comparison_page(compare(starter, ["opened"]))).text
    for kind, told in (("decode", "0 of 25 calls spent, no find yet."), ("label", "0 of 25 calls spent, no find yet.")):
        until(starter, make_spec("early", more=RANDOM), kind, 1)
        assert told in read_page(report_page(starter, "early")).text
        assert len(suggestions_frame(starter, "early")) == 8
    campaign = until(starter, make_spec("early", more=RANDOM), "suggest", 2)
    with starter.database.transaction() as tx:
        tx.execute(
            text(
                "INSERT INTO activity (kind, campaign_id, agd_version, host, cpu, threads, pid, outcome, ended_at,"
                " error) VALUES ('suggest', :campaign, '0', 'h', 'c', 1, 77, 'failed', now(),"
                " 'StepError: <b>no</b> & more')"
            ),
            {"campaign": campaign.id},
        )
    change(starter, "UPDATE campaign SET spec_text = spec_text || '# <script>alert(1)</script>' WHERE name = 'early'")
    written = report_page(starter, "early")
    assert "StepError: &lt;b&gt;no&lt;/b&gt; &amp; more" in written
    assert "<script>alert(1)</script>" in read_page(written).text
    assert "failed" in read_page(written).text


@pytest.mark.parametrize(
    ("target", "more", "told"),
    [
        ("band_gap > 60 eV", RANDOM, "9 of 9 calls spent, no find."),
        ("band_gap < 2 eV", UCB, "distinct find"),
        ("1 eV < band_gap < 4 eV", UCB, "distinct find"),
        ("band_gap > 0.5 eV", TABLE, "calls spent"),
    ],
)
def test_every_kind_of_target_and_oracle(
    starter: Workspace, make_spec: MakeSpec, target: str, more: str, told: str, read_page: ReadPage
) -> None:
    run(starter, make_spec("one", target=target, budget=9, more=more))
    assert told in read_page(report_page(starter, "one")).text
    compared = compare(starter, ["one"])
    if more == TABLE:
        assert compared[0].figures["n_finds_by_bound"] is None  # the table states no uncertainty
    read_page(comparison_page(compared))


@pytest.mark.slow
def test_repeats_are_charged_again_in_the_published_loop_and_found_once(
    starter: Workspace, make_spec: MakeSpec, read_page: ReadPage, row: Row
) -> None:
    run(starter, make_spec("one", target="band_gap > 1 eV", budget=12, more=REPEATING))
    before = compare(starter, ["one"])[0]
    change(starter, "UPDATE campaign SET mode = 'paper'")
    change(
        starter,
        "UPDATE iteration_tally t SET n_charged = r.n_charged"
        " FROM v_iteration_recount r WHERE r.iteration_id = t.iteration_id",
    )
    after = compare(starter, ["one"])[0]
    (n_repeats,) = row(
        starter, "SELECT count(*) FROM suggestion WHERE label_id IS NOT NULL AND outcome IN ('duplicate', 'known')"
    )
    assert isinstance(n_repeats, int)
    assert n_repeats > 0
    assert after.figures["n_calls"] == before.figures["n_calls"] + n_repeats
    assert after.figures["n_finds"] == before.figures["n_finds"] == before.trace.finds()[1][-1]
    assert after.trace.finds()[0][-1] == after.figures["n_calls"]
    page = read_page(report_page(starter, "one"))
    assert f"{after.figures['n_calls']} of 12 calls spent on 12 distinct compositions" in page.text
    assert "charged again" in page.text


def test_labels_from_outside_and_labels_taken_back(
    starter: Workspace, make_spec: MakeSpec, read_page: ReadPage
) -> None:
    campaign = until(starter, make_spec("lab", target="band_gap > 1 eV", budget=6, more=EXTERNAL), "await labels", 1)
    with starter.database.transaction() as tx:
        activity_id = tx.scalar(text("SELECT max(id) FROM activity"))
        new = tx.execute(
            text("SELECT id, composition_id FROM suggestion WHERE campaign_id = :c AND outcome = 'new' ORDER BY rank"),
            {"c": campaign.id},
        ).all()
        assert len(new) > 2
        for i, (suggestion_id, composition_id) in enumerate(new[:2]):
            values = {"c": composition_id, "a": activity_id, "v": 2.5 + i, "s": suggestion_id}
            measured = tx.scalar(
                text(
                    "INSERT INTO measurement (composition_id, property, operator, measured_on, replicate, activity_id)"
                    " VALUES (:c, 'band_gap', '<ada>', '2026-01-02', 1, :a) RETURNING id"
                ),
                values,
            )
            label = tx.scalar(
                text(
                    "INSERT INTO label (composition_id, property, value, uncertainty, measurement_id, activity_id)"
                    " VALUES (:c, 'band_gap', :v, 0.1, :m, :a) RETURNING id"
                ),
                {**values, "m": measured},
            )
            attach = "UPDATE suggestion SET label_id = :l, label_activity_id = :a WHERE id = :s"
            tx.execute(text(attach), {**values, "l": label})
    page = read_page(report_page(starter, "lab"))
    assert "2 of 6 calls spent, 2 distinct finds, the first after 1 call." in page.text
    assert f"{len(new) - 2} suggestion" in page.text
    assert "measurement <ada>" in page.text
    assert compare(starter, ["lab"])[0].figures["best"] == 3.5
    change(starter, "INSERT INTO retraction VALUES (:label, 'wrong sample', 1)", label=label)
    figures = compare(starter, ["lab"])[0].figures
    assert (figures["n_calls"], figures["n_finds"], figures["best"]) == (2, 1, 2.5)
    assert "2 of 6 calls spent, 1 distinct find, " in read_page(report_page(starter, "lab")).text
    exported = starter.artifacts.parent / "labels.json"
    export(starter, "lab", exported, "json", what="labels")
    labels = json.loads(exported.read_text())
    assert [label["origin"] for label in labels] == ["initial"] * 30 + ["suggestion"] * 2
    assert labels[-1]["retraction_reason"] == "wrong sample"
    assert (labels[-1]["source"], labels[-1]["measured_on"]) == ("<ada>", "2026-01-02")


def test_a_screening_is_drawn(searched: Workspace, read_page: ReadPage) -> None:
    for role, n_left in (("baseline", 40), ("al", 60)):
        change(
            searched,
            "INSERT INTO screening (campaign_id, role, model_version_id, source, source_sha256, criteria,"
            " recipe_sha256, activity_id) SELECT k.id, :role, m.id, 'pool<.csv', 's', '{}', :role, 1"
            " FROM campaign k, model_version m"
            " WHERE k.name = 'small' AND m.kind = 'oracle'",
            role=role,
        )
        change(
            searched,
            "INSERT INTO stage SELECT activity_id, role, position, name, n, n FROM screening,"
            " (VALUES (1, 'read', 1234567), (2, 'parsed', 1234000), (3, 'predicted', CAST(:n AS int)))"
            " s (position, name, n) WHERE role = :role",
            role=role,
            n=n_left,
        )
        change(
            searched,
            "INSERT INTO screening_hit SELECT g.id, row_number() OVER (ORDER BY c.id), c.id, c.id, c.reduced_formula,"
            " 4, 0.5 FROM screening g, composition c WHERE g.role = :role AND c.id <= :n",
            role=role,
            n=n_left,
        )
    page = read_page(report_page(searched, "small"))
    assert page.tags.count("svg") == 8
    assert "Pool pool<.csv. Picked: baseline 40, al 60; 40 of them by both." in page.text
    assert {"1,234,567", "1,234,000", "40", "60"} <= set(page.words)
    exported = searched.artifacts.parent / "hits.csv"
    assert export(searched, "small", exported, "csv", what="hits") == 100
    assert len(exported.read_text().splitlines()) == 101
