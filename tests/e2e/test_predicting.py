"""What a trained model answers by hand."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from agd.errors import FormulaError, InputError, NotFoundError
from agd.spec import ResolvedSpec
from agd.steps.campaign.opening import open_campaign
from agd.steps.campaign.stepping import next_step, perform
from agd.steps.models.predicting import predict
from agd.work.workspace import Workspace


def test_any_model_is_asked(starter: Workspace, make_spec: Callable[..., ResolvedSpec]) -> None:
    campaign = open_campaign(starter, make_spec())
    while (step := next_step(starter, campaign)) is not None and step.kind != "encode":
        perform(starter, campaign, step)
    with starter.database.read() as tx:
        ids = {row.kind: row for row in tx.execute(text("SELECT kind, id, tensors_sha256 FROM model_version"))}
        n_before = tx.scalar(text("SELECT count(*) FROM composition"))
    oracle = ids["oracle"]
    rows = predict(starter, str(oracle.id), ["Sr Y F5", "NaCl", "C"])
    assert [row.formula for row in rows] == ["SrYF5", "NaCl", "C"]
    assert {(row.property, row.unit, row.model_version_id) for row in rows} == {("band_gap", "eV", oracle.id)}
    assert not rows[0].is_learned_from
    assert all(row.distance > 0 and 0 <= row.share_nearer <= 1 and row.uncertainty > 0 for row in rows)
    assert predict(starter, oracle.tensors_sha256[:12], ["SrYF5"]) == rows[:1]
    with pytest.raises(NotFoundError, match="--model 99: 0 models"):
        predict(starter, "99", ["NaCl"])
    with pytest.raises(InputError, match="answers no property"):
        predict(starter, str(ids["autoencoder"].id), ["NaCl"])
    with pytest.raises(FormulaError, match=r"'Xq'.*, and 1 more"):
        predict(starter, str(oracle.id), ["Xq", "NaCl", "Qx"])
    with starter.database.read() as tx:
        assert tx.scalar(text("SELECT count(*) FROM composition")) == n_before
