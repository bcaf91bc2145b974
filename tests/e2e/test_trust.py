"""How much labels weigh for what a sampler learns: by their method, or by the dataset that they come from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from agd import spec
from agd.errors import SpecError
from agd.loop import LocalEngine
from agd.nets.surrogates import WEIGHING, believe
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign
from agd.steps.campaign.trust import weights_of
from agd.work.workspace import Workspace

SPEC = """\
name = "{name}"
target = "band_gap > 4 eV"
[data]
dataset = "starter"
[initial]
n = 20
at_most = 4.0
[budget]
oracle_calls = 16
suggestions_per_iteration = 8
[oracle]
n_trees = 5
uses_known_labels = false
[sampler]
kind = "{sampler}"
{pool}
[filter]
is_neutral_in_common_states = false
{more}
"""
TRUST = "[trust]\nmodel = 0.25\nstarter = 0.5\nunstated = 0.1\n"


@pytest.fixture
def specify(tmp_path: Path) -> Callable[..., ResolvedSpec]:
    def resolved(
        name: str, more: str = TRUST, sampler: str = "retrieval", pool: str = 'pool = "starter"'
    ) -> ResolvedSpec:
        words = SPEC.format(name=name, sampler=sampler, pool=pool, more=more)
        return spec.parse(words, tmp_path / f"{name}.toml")

    return resolved


def test_labels_weigh_by_dataset_then_method(starter: Workspace, specify: Callable[..., ResolvedSpec]) -> None:
    plain, trusting = (open_campaign(starter, specify(name, more)) for name, more in (("plain", ""), ("t", TRUST)))
    for campaign in (plain, trusting):
        assert LocalEngine().run(starter, campaign).is_ended
    with starter.database.read() as tx:
        asked = tx.scalars(text("SELECT reduced_formula FROM v_suggestion WHERE campaign = 't' AND is_result")).all()
        known = "SELECT c.reduced_formula FROM campaign k JOIN campaign_set q ON q.campaign_id = k.id"
        known += " JOIN training_set_member t USING (training_set_id) JOIN composition c ON c.id = t.composition_id"
        initial = tx.scalars(text(f"{known} WHERE k.name = 't' AND q.role = 'initial'")).all()
        weights = weights_of(tx, trusting, 3, [*initial, *asked, None])
        assert weights is not None
        assert weights.tolist() == [0.5] * 20 + [0.25] * 16 + [1.0]
        assert weights_of(tx, plain, 3, initial) is None
        means = "SELECT posterior_mean FROM v_suggestion WHERE campaign = :name ORDER BY iteration, rank"
        first, second = (tx.scalars(text(means), {"name": name}).all() for name in ("plain", "t"))
        stored = tx.execute(text("SELECT name, spec ? 'trust' AS has FROM campaign")).all()
    assert first != second
    assert {row.name: row.has for row in stored} == {"plain": False, "t": True}


@pytest.mark.parametrize(
    ("more", "sampler", "message"),
    [
        (
            "[trust]\nmodle = 0.5\n",
            "retrieval",
            r"t\.toml:20: trust\.modle: 'modle' is neither a method nor a dataset.*'model'",
        ),
        ("[trust]\nmodel = 1.5\n", "retrieval", "trust"),
        (TRUST, "ucb", "the sampler 'ucb' weighs no labels"),
    ],
)
def test_what_cannot_be_trusted(
    starter: Workspace, specify: Callable[..., ResolvedSpec], more: str, sampler: str, message: str
) -> None:
    pool = 'pool = "starter"' if sampler == "retrieval" else ""
    with pytest.raises(SpecError, match=message):
        open_campaign(starter, specify("t", more, sampler, pool))


@pytest.mark.parametrize("surrogate", WEIGHING)
def test_what_weighs_little_says_little(surrogate: str) -> None:
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(40, 6)), 2, axis=0)
    values = np.tile([0.0, 1.0], 40)
    believed = [
        believe(surrogate, features, values, features, seed=0, weights=np.tile(weights, 40)).mean.mean()  # type: ignore[arg-type]  # they are
        for weights in ((1.0, 0.01), (0.01, 1.0))
    ]
    assert believed[0] < 0.2
    assert believed[1] > 0.8
