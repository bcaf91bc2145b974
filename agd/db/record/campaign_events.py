"""What people say of campaigns and do to them, each a row: notes, tags, archiving, names. None of it is in any hash."""

from sqlalchemy import insert, select, text

from agd.db.connection import Transaction
from agd.db.tables import campaign, campaign_event

_RENAME = text("""
UPDATE campaign SET name = :new, spec = jsonb_set(spec, '{name}', to_jsonb(CAST(:new AS text))), spec_sha256 = :sha256
WHERE id = :campaign
""")

_RENAME_STEPS = text("""
UPDATE job SET key_sha256 = agd_step_key(:new, kind, iteration),
       title = CAST(:new AS text) || substr(title, length(:old) + 1)
WHERE campaign_id = :campaign AND key_sha256 = agd_step_key(:old, kind, iteration)
""")

_WAITING_REQUESTS = text("""
SELECT id FROM job
WHERE campaign_id = :campaign AND request <> '{}' AND state NOT IN ('done', 'cancelled') ORDER BY id
""")


def store(tx: Transaction, campaign_id: int, kind: str, value: str | None, operator: str, activity_id: int) -> None:
    """Keep what somebody said."""
    row = {"campaign_id": campaign_id, "kind": kind, "value": value, "operator": operator, "activity_id": activity_id}
    tx.execute(insert(campaign_event).values(**row))


def named_before(tx: Transaction, name: str) -> str | None:
    """What a campaign is called now that had this name before and gave it up, None where there is none."""
    found = (
        select(campaign.c.name)
        .join(campaign_event, campaign_event.c.campaign_id == campaign.c.id)
        .where(campaign_event.c.kind == "rename", campaign_event.c.value == name, campaign.c.name != name)
    )
    return tx.scalar(found.order_by(campaign_event.c.id.desc()).limit(1))


def rename(tx: Transaction, campaign_id: int, old: str, new: str, spec_sha256: str) -> None:
    """Give a campaign and its steps another name; the transaction has opened the removal door."""
    values = {"campaign": campaign_id, "old": old, "new": new, "sha256": spec_sha256}
    tx.execute(_RENAME, values)
    tx.execute(_RENAME_STEPS, values)


def waiting_requests(tx: Transaction, campaign_id: int) -> list[int]:
    """Jobs that are not done and name the campaign in their request."""
    return list(tx.execute(_WAITING_REQUESTS, {"campaign": campaign_id}).scalars())
