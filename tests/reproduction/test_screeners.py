"""The page of screeners: where their labels come from, and what they are judged by."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from agd.reproduction import screeners
from agd.reproduction.outcome import Compared
from agd.reproduction.screeners import ANALOGUE, AP, ARMS, KNOWN, MAE, R2
from agd.reproduction.study import Protocol, Study, Wish

MakeStudy = Callable[..., Study]


def test_the_unseen_are_the_500_and_others_none_of_the_start(make_study: MakeStudy) -> None:
    study = make_study(Protocol())
    rows = [formula for formula, _ in screeners.unseen_rows(study)]
    assert len(rows) == 500 + screeners.N_UNSEEN
    assert not set(rows) & {row.formula for row in study.files.rows("Exp3_BS_0.3k.csv")}
    assert rows == [formula for formula, _ in screeners.unseen_rows(study)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_screener_and_no_oracle_learns_from_what_they_are_judged_by(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        screeners, "_SPECIFICATION", screeners._SPECIFICATION.replace('"ensemble"', '"random_forest"\nn_trees = 4')
    )
    monkeypatch.setattr(screeners, "_GIVEN", {"n_trees": 10})
    monkeypatch.setattr(Study, "corpus", lambda study: study.dataset("Exp1"))  # the whole one takes a minute
    study = make_study(Protocol(calls=40, al_seeds=1))
    outcome = screeners.screeners(study, Wish())
    (table,) = (part for part in outcome.parts if isinstance(part, Compared))
    assert {line.row for line in table.lines} == {arm.title for arm in ARMS}
    assert {line.quantity for line in table.lines} == {AP, R2, MAE}
    assert all(line.ours is not None for line in table.lines)
    unseen = {formula for formula, _ in screeners.unseen_rows(study)}
    with study.workspace.database.read() as tx:
        sizes = tx.execute(
            text(
                "SELECT v.kind, count(*) AS n, count(*) FILTER (WHERE c.reduced_formula = ANY(:unseen)) AS n_unseen"
                " FROM model_version v JOIN training_set_member t USING (training_set_id)"
                " JOIN composition c ON c.id = t.composition_id GROUP BY v.id, v.kind"
            ),
            {"unseen": sorted(unseen)},
        ).all()
        campaigns = set(tx.scalars(text("SELECT name FROM campaign")))
    assert campaigns == {f"screeners-{one.name}-{n}-s0" for one in (ANALOGUE, KNOWN) for n in (40, 20)}
    assert not any(row.n_unseen for row in sizes)
    assert min(row.n for row in sizes if row.kind == "screener") == 300
    assert {row.kind for row in sizes} >= {"oracle", "screener"}
