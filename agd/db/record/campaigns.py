"""Campaigns and their iterations: what is there, and what a step adds."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import column, func, insert, select, table, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from agd.db.connection import AnyRow, Transaction
from agd.db.record import jobs
from agd.db.tables import (
    activity,
    campaign,
    campaign_model,
    campaign_pool,
    campaign_set,
    iteration,
)

_budget = table("v_campaign_budget", *map(column, ("campaign_id", "calls")))

_STANDING = select(campaign, _budget.c.calls.label("oracle_calls")).join(
    _budget, _budget.c.campaign_id == campaign.c.id
)
"""Campaigns with the calls that they may spend, amendments included; `budget_calls` are those of the beginning."""


def find(tx: Transaction, name: str) -> AnyRow | None:
    """A campaign by its name, with the `oracle_calls` that it may spend by now."""
    return tx.execute(_STANDING.where(campaign.c.name == name)).one_or_none()


def names(tx: Transaction) -> list[str]:
    """Every campaign's name."""
    return list(tx.execute(select(campaign.c.name).order_by(campaign.c.name)).scalars())


def store(tx: Transaction, values: Mapping[str, object]) -> int | None:
    """Insert a campaign and return its id, None where the name is taken."""
    new = upsert(campaign).values(**values).on_conflict_do_nothing().returning(campaign.c.id)
    return tx.execute(new).scalar_one_or_none()


def store_set(tx: Transaction, campaign_id: int, role: str, training_set_id: int, activity_id: int) -> None:
    """Pin the training set of a role."""
    tx.execute(
        insert(campaign_set).values(
            campaign_id=campaign_id, role=role, training_set_id=training_set_id, activity_id=activity_id
        )
    )


def store_model(tx: Transaction, campaign_id: int, role: str, model_version_id: int, activity_id: int) -> None:
    """Pin the model version of a role."""
    tx.execute(
        insert(campaign_model).values(
            campaign_id=campaign_id, role=role, model_version_id=model_version_id, activity_id=activity_id
        )
    )


def store_pool(tx: Transaction, campaign_id: int, dataset_id: int, activity_id: int) -> None:
    """Pin the dataset that the campaign draws from."""
    tx.execute(insert(campaign_pool).values(campaign_id=campaign_id, dataset_id=dataset_id, activity_id=activity_id))


def pool_of(tx: Transaction, campaign_id: int) -> int | None:
    """The dataset that the campaign draws from, None where it draws from none."""
    return tx.scalar(select(campaign_pool.c.dataset_id).where(campaign_pool.c.campaign_id == campaign_id))


def drawn(tx: Transaction, dataset_id: int, seed: int, n: int) -> list[str]:
    """The first `n` reduced formulas of a dataset in the order of a seed, a random one and the same in every record."""
    rows = tx.execute(
        text(
            "SELECT c.reduced_formula FROM dataset_row r JOIN composition c ON c.id = r.composition_id"
            " WHERE r.dataset_id = :dataset"
            " ORDER BY sha256(convert_to(CAST(:seed AS text) || ' ' || c.reduced_formula, 'UTF8')) LIMIT :n"
        ),
        {"dataset": dataset_id, "seed": str(seed), "n": n},
    )
    return list(rows.scalars())


def sets_of(tx: Transaction, campaign_id: int) -> dict[str, int]:
    """Training set id by role."""
    found = select(campaign_set.c.role, campaign_set.c.training_set_id).where(campaign_set.c.campaign_id == campaign_id)
    return dict(tx.execute(found).all())


def models_of(tx: Transaction, campaign_id: int) -> dict[str, int]:
    """Model version id by role."""
    found = select(campaign_model.c.role, campaign_model.c.model_version_id).where(
        campaign_model.c.campaign_id == campaign_id
    )
    return dict(tx.execute(found).all())


def has_done(tx: Transaction, campaign_id: int, kind: str) -> bool:
    """Whether an activity of this kind has succeeded in the campaign."""
    found = select(activity.c.id).where(
        activity.c.campaign_id == campaign_id, activity.c.kind == kind, activity.c.outcome == "done"
    )
    return tx.execute(found.limit(1)).first() is not None


def request_stop(tx: Transaction, campaign_id: int) -> None:
    """Ask the process that runs the campaign to leave after its step."""
    tx.execute(update(campaign).where(campaign.c.id == campaign_id).values(stop_requested_at=func.clock_timestamp()))


def begin(tx: Transaction, campaign_id: int, engine: str, before: datetime) -> None:
    """Hand the campaign to an engine: a request to stop from before this time, and failures so far, are forgiven.

    Its parked steps are open again; those that somebody holds or has cancelled are not.
    """
    one = update(campaign).where(campaign.c.id == campaign_id)
    tx.execute(one.values(engine=engine, retries_from=func.clock_timestamp(), parked_reason=None))
    tx.execute(one.where(campaign.c.stop_requested_at < before).values(stop_requested_at=None))
    jobs.reopen_steps(tx, campaign_id)


def park(tx: Transaction, campaign_id: int, reason: str) -> None:
    """Keep why no step of the campaign is tried again until somebody says so."""
    tx.execute(update(campaign).where(campaign.c.id == campaign_id).values(parked_reason=reason))


def open_on(tx: Transaction, engine: str) -> Sequence[AnyRow]:
    """The campaigns that have not ended and belong to an engine, oldest first; rows as of `find`."""
    found = _STANDING.where(campaign.c.engine == engine, campaign.c.ended_at.is_(None))
    return tx.execute(found.order_by(campaign.c.id)).all()


def is_stop_requested(tx: Transaction, campaign_id: int) -> bool:
    """Whether somebody asked the campaign to stop."""
    return tx.scalar(select(campaign.c.stop_requested_at).where(campaign.c.id == campaign_id)) is not None


def end(tx: Transaction, campaign_id: int, reason: str) -> None:
    """Close the campaign; the steps that it does not come to any more are cancelled."""
    statement = update(campaign).where(campaign.c.id == campaign_id, campaign.c.ended_at.is_(None))
    if tx.execute(statement.values(ended_at=func.now(), end_reason=reason)).rowcount:
        jobs.cancel_steps(tx, campaign_id, _ended(reason))


def reopen(tx: Transaction, campaign_id: int, reason: str) -> None:
    """Undo an end that an amendment keeps, with what it cancelled."""
    statement = update(campaign).where(campaign.c.id == campaign_id, campaign.c.end_reason == reason)
    tx.execute(statement.values(ended_at=None, end_reason=None))
    jobs.reopen_cancelled(tx, campaign_id, _ended(reason))


def _ended(reason: str) -> str:
    """Why steps are cancelled that a campaign does not come to."""
    return f"the campaign has ended: {reason}"


def last_iteration(tx: Transaction, campaign_id: int) -> AnyRow | None:
    """The iteration with the highest number (id, number)."""
    found = select(iteration.c.id, iteration.c.number).where(iteration.c.campaign_id == campaign_id)
    return tx.execute(found.order_by(iteration.c.number.desc()).limit(1)).one_or_none()


def find_iteration(tx: Transaction, campaign_id: int, number: int) -> int | None:
    """The id of an iteration, None where it was never begun."""
    found = select(iteration.c.id).where(iteration.c.campaign_id == campaign_id, iteration.c.number == number)
    return tx.execute(found).scalar_one_or_none()


def open_iteration(tx: Transaction, campaign_id: int, number: int) -> int:
    """The id of an iteration, made where it is missing."""
    tx.execute(upsert(iteration).values(campaign_id=campaign_id, number=number).on_conflict_do_nothing())
    found = select(iteration.c.id).where(iteration.c.campaign_id == campaign_id, iteration.c.number == number)
    return int(tx.execute(found).scalar_one())


_COUNTED = (
    "n_suggested, n_undecodable, n_decodable, n_duplicate, n_known, n_rejected, n_new, n_charged, n_finds,"
    " n_known_finds, highest, lowest, best, is_best_feasible"
)

_TALLY = text(f"""
INSERT INTO iteration_tally (iteration_id, number, {_COUNTED}, n_changes, activity_id)
SELECT iteration_id, 1, {_COUNTED}, coalesce((SELECT n FROM v_iteration_changes WHERE iteration_id = :iteration), 0),
       :activity
FROM v_iteration_recount WHERE iteration_id = :iteration
""")

# Who counts at the same time, counts less: what then is missing, views count anew.
_TALLY_ANEW = text(f"""
INSERT INTO iteration_tally (iteration_id, number, {_COUNTED}, n_changes, activity_id)
SELECT said.iteration_id, said.number + 1, {_COUNTED}, said.n, :activity
FROM (SELECT x.iteration_id, t.number, x.n FROM v_iteration_changes x
      JOIN iteration_tally t ON t.iteration_id = x.iteration_id AND t.n_changes <> x.n
      WHERE NOT EXISTS (SELECT FROM iteration_tally l
                        WHERE l.iteration_id = t.iteration_id AND l.number > t.number)) said
CROSS JOIN LATERAL (SELECT {_COUNTED} FROM v_iteration_recount r WHERE r.iteration_id = said.iteration_id OFFSET 0) r
ON CONFLICT DO NOTHING
""")

# What is charged stays so: a label is retracted or told anew where there is one, and given up where there is none.
_N_CALLS = text("""
SELECT coalesce(sum(coalesce(t.n_charged, r.n_charged)), 0)
FROM iteration i LEFT JOIN iteration_tally t ON t.iteration_id = i.id AND t.number = 1
LEFT JOIN LATERAL (SELECT r.n_charged FROM v_iteration_recount r
                   WHERE r.iteration_id = i.id AND t.iteration_id IS NULL OFFSET 0) r ON true
WHERE i.campaign_id = :campaign
""")

_N_BARREN = text("""
SELECT CAST(:last AS integer) - coalesce((
    SELECT i.number FROM iteration i WHERE i.campaign_id = :campaign
    AND EXISTS (SELECT FROM v_suggestion_state s WHERE s.iteration_id = i.id AND s.outcome = 'new')
    ORDER BY i.number DESC LIMIT 1), 0)
""")


def store_tally(tx: Transaction, iteration_id: int, activity_id: int) -> None:
    """Keep what the suggestions of an iteration come to, once they have all their labels."""
    tx.execute(_TALLY, {"iteration": iteration_id, "activity": activity_id})


def store_tallies_anew(tx: Transaction, activity_id: int) -> None:
    """Count again what was counted before something was said of it, which v_iteration_changes tells."""
    tx.execute(_TALLY_ANEW, {"activity": activity_id})


def n_calls(tx: Transaction, campaign_id: int) -> int:
    """Calls charged so far."""
    return int(tx.execute(_N_CALLS, {"campaign": campaign_id}).scalar_one())


def n_barren_iterations(tx: Transaction, campaign_id: int, last: int) -> int:
    """How many iterations up to number `last` have gone by since one brought a new composition."""
    return int(tx.execute(_N_BARREN, {"campaign": campaign_id, "last": last}).scalar_one())
