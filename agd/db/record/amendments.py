"""Amendments: what a campaign's specification says since it was opened, each change a row; the last one holds."""

from sqlalchemy import select, text

from agd.db.connection import Transaction
from agd.db.tables import campaign

_BUDGET = text("SELECT calls FROM v_campaign_budget WHERE campaign_id = :campaign")

_STORE = text("""
INSERT INTO campaign_amendment
    (campaign_id, number, key, old_value, new_value, n_steps, ended_at, end_reason, activity_id)
SELECT k.id, b.n_amendments + 1, 'budget.oracle_calls', b.calls, :calls, agd_search_progress(k.id), k.ended_at,
       k.end_reason, :activity
FROM campaign k JOIN v_campaign_budget b ON b.campaign_id = k.id WHERE k.id = :campaign
""")


def lock(tx: Transaction, campaign_id: int) -> None:
    """Keep others from ending or amending a campaign before the transaction ends."""
    tx.execute(select(campaign.c.id).where(campaign.c.id == campaign_id).with_for_update(key_share=True))


def held_budget(tx: Transaction, campaign_id: int) -> int:
    """The calls that a campaign may spend, which stay as many before the transaction ends."""
    lock(tx, campaign_id)
    return int(tx.execute(_BUDGET, {"campaign": campaign_id}).scalar_one())


def store_budget(tx: Transaction, campaign_id: int, calls: int, activity_id: int) -> None:
    """Say how many calls a campaign may spend from the next step on; an end that it has come to is kept with it."""
    tx.execute(_STORE, {"campaign": campaign_id, "calls": calls, "activity": activity_id})
