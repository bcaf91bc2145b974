"""What campaigns took, and what they found for it."""

from collections.abc import Sequence

from sqlalchemy import text

from agd.db.connection import AnyRow, Transaction

# Verified is a find whose property a calculation or a measurement says again, and says to be in the target.
_FOUND = text("""
SELECT p.campaign, p.twin_of, p.campaign_id, p.n_charged AS n_calls, p.n_finds, (
    SELECT count(DISTINCT s.composition_id) FROM v_suggestion_judged s
    WHERE s.campaign_id = k.id AND s.is_result AND s.is_find AND EXISTS (
        SELECT FROM v_label l
        WHERE l.composition_id = s.composition_id AND l.property = k.property AND NOT l.is_retracted
          AND l.source_kind IN ('calculation', 'measurement')
          AND agd_is_met(k.property, k.target_low, k.target_high, l.value))) AS n_verified
FROM v_campaign_progress p JOIN campaign k ON k.id = p.campaign_id
WHERE p.campaign = :name OR p.twin_of = :name ORDER BY p.campaign <> :name, p.campaign_id
""")

_SPENT = text("""
SELECT kind, count(*) AS n_attempts, count(*) FILTER (WHERE outcome <> 'done') AS n_failed,
       sum(wall_seconds) / 3600 AS wall_hours, sum(asked_core_hours) AS asked_core_hours,
       sum(core_seconds) / 3600 AS counted_core_hours, sum(spent_core_hours) AS spent_core_hours,
       max(memory_bytes) AS memory_bytes
FROM v_core_hours WHERE campaign_id = :campaign GROUP BY kind ORDER BY spent_core_hours DESC, kind
""")


def found(tx: Transaction, name: str) -> Sequence[AnyRow]:
    """A campaign and then its twins (campaign, twin_of, campaign_id, n_calls, n_finds, n_verified); none: no such."""
    return tx.execute(_FOUND, {"name": name}).all()


def spent(tx: Transaction, campaign_id: int) -> Sequence[AnyRow]:
    """What a campaign took by the kind of work, the most first; counted is what processors said."""
    return tx.execute(_SPENT, {"campaign": campaign_id}).all()
