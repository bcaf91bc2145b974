"""A screener learns from the labels of several campaigns: of a search, and of random compositions beside it."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from agd.errors import InputError, NotFoundError
from agd.loop import LocalEngine
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign
from agd.steps.screening.screening import ScreenerChoice, ScreeningPlan, train_screener
from agd.work.workspace import Workspace

POOL = '[oracle]\nn_trees = 5\nuses_known_labels = false\n[sampler]\nkind = "pool"\npool = "starter"\n'
SMALL = ("n_trees=10",)


def test_labels_of_a_search_and_of_chance(starter: Workspace, make_spec: Callable[..., ResolvedSpec]) -> None:
    campaigns = [
        open_campaign(starter, make_spec(name, budget=16, more=more))
        for name, more in (("small", POOL.replace('"pool"\npool', '"retrieval"\npool')), ("chance", POOL))
    ]
    for campaign in campaigns:
        assert LocalEngine().run(starter, campaign).is_ended
    own = train_screener(starter, campaigns[0], "al", ScreenerChoice(options=SMALL))
    both = train_screener(starter, campaigns[0], "al", ScreenerChoice(options=SMALL, also=("chance", "small")))
    with starter.database.read() as tx:
        query = "SELECT count(DISTINCT composition_id) FROM v_suggestion WHERE is_result"
        assert both.n_learned == tx.scalar(text(query))
        parts = "SELECT k.name, s.n_members FROM training_set_campaign s JOIN campaign k ON k.id = s.campaign_id"
        ofs = f"{parts} JOIN model_version m USING (training_set_id) WHERE m.id = :id ORDER BY k.id"
        rows = dict(tx.execute(text(ofs), {"id": both.model_version_id}).all())
    assert rows == {"small": own.n_learned, "chance": both.n_learned - own.n_learned}
    assert 16 == own.n_learned < both.n_learned
    baseline = train_screener(starter, campaigns[0], "initial", ScreenerChoice(options=SMALL, also=("chance",)))
    assert baseline.n_learned == 0
    with pytest.raises(NotFoundError, match="--also-labels-of: no campaign 'none'"):
        train_screener(starter, campaigns[0], "al", ScreenerChoice(also=("none",)))
    with starter.database.transaction() as tx:
        tx.execute(text("SELECT agd_open_removal('a test')"))
        tx.execute(text("UPDATE campaign SET property = 'density' WHERE name = 'chance'"))
    with pytest.raises(InputError, match="chance: its labels are of density, not of band_gap"):
        train_screener(starter, campaigns[0], "al", ScreenerChoice(also=("chance",)))


def test_a_plan_that_asks_for_no_more_is_what_it_was() -> None:
    plan = ScreeningPlan("small", "pool.csv")
    assert "also" not in plan.as_request()["choice"]
    assert ScreeningPlan.of_request(plan.as_request()) == plan
    more = ScreeningPlan("small", "pool.csv", choice=ScreenerChoice(also=("chance",)))
    assert ScreeningPlan.of_request(more.as_request()) == more
