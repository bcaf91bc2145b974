"""How campaigns stand: the counters of the views, and who is at work."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, text

from agd.answerers import ANSWERERS
from agd.db.connection import AnyRow, Transaction, locked_campaigns
from agd.db.plausible_labels import BEST_FIRST, IS_RESULT, stands


def predicted_hull_of(alias: str) -> str:
    """SQL: a join of `h.value`, the energy above the hull that the newest model predicts of a row's composition."""
    return f"""
LEFT JOIN LATERAL (SELECT l.value FROM label l
                   WHERE l.composition_id = {alias}.composition_id AND l.property = 'e_above_hull'
                     AND l.model_version_id IS NOT NULL AND l.structure_id IS NULL AND {stands("l")}
                   ORDER BY l.model_version_id DESC LIMIT 1) h ON true
"""


_STATE = """
SELECT p.*, final.outcome AS last_outcome, final.error AS last_error,
       spent.last_active, spent.time_spent, spent.n_launches, k.engine, k.parked_reason,
       k.spec #>> '{oracle,kind}' = ANY(:awaited) AND EXISTS (
           SELECT FROM v_suggestion_judged s WHERE s.campaign_id = k.id AND s.is_awaited) AS is_waiting
FROM v_campaign_progress p
JOIN campaign k ON k.id = p.campaign_id
LEFT JOIN LATERAL (SELECT outcome, error FROM activity a
                   WHERE a.campaign_id = p.campaign_id ORDER BY a.id DESC LIMIT 1) final ON true
LEFT JOIN LATERAL (SELECT max(coalesce(a.ended_at, a.started_at)) AS last_active,
                          sum(a.ended_at - a.started_at) FILTER (WHERE a.outcome = 'done') AS time_spent,
                          count(a.launch_id) AS n_launches
                   FROM activity a WHERE a.campaign_id = p.campaign_id) spent ON true
"""

# The first n of all lie in the n iterations whose best come first. What is known is looked through for each of those
# that are shown, and for no other.
_TOP = text(f"""
WITH best AS MATERIALIZED (
    SELECT v.*, row_number() OVER (ORDER BY {BEST_FIRST}) AS place
    FROM v_suggestion v JOIN campaign k ON k.id = v.campaign_id
    WHERE v.campaign_id = :campaign AND {IS_RESULT}
      AND v.iteration_id = ANY (ARRAY(
          SELECT i.iteration_id FROM v_iteration i JOIN campaign k ON k.id = i.campaign_id
          WHERE i.campaign_id = :campaign AND i.best IS NOT NULL
          ORDER BY i.is_best_feasible DESC, agd_objective(k.target_low, k.target_high, i.best) DESC, i.iteration
          LIMIT CASE WHEN :level = 0 THEN :n END))
      AND (:level = 0
           OR (SELECT q.level FROM v_claim q WHERE q.composition_id = v.composition_id OFFSET 0) >= :level)
    ORDER BY {BEST_FIRST} LIMIT :n
)
SELECT b.*, n.lower_bound, n.novelty, n.analogue, n.reference, q.claim, q.level AS claim_level,
       h.value AS predicted_e_above_hull_ev_per_atom
FROM best b CROSS JOIN LATERAL (SELECT * FROM v_sureness n WHERE n.suggestion_id = b.suggestion_id OFFSET 0) n
LEFT JOIN LATERAL (SELECT * FROM v_claim q WHERE q.composition_id = b.composition_id OFFSET 0) q ON true
{predicted_hull_of("b")}
ORDER BY b.place
""")


def campaigns(tx: Transaction, name: str | None = None) -> list[dict[str, Any]]:
    """Rows of v_campaign_progress, oldest first, each with its `state` and how its activities ended."""
    where = "" if name is None else "WHERE p.campaign = :name"
    values = {"name": name, "awaited": [kind for kind, who in ANSWERERS.items() if who.is_awaited]}
    rows = tx.execute(text(f"{_STATE} {where} ORDER BY p.campaign_id"), values).mappings().all()
    leased = tx.execute(text("SELECT campaign_id FROM v_lease WHERE NOT is_expired")).scalars()
    at_work = locked_campaigns(tx).union(leased)
    return [{"state": _state(row, is_at_work=row["campaign_id"] in at_work), **row} for row in rows]


def amendments(tx: Transaction, name: str | None = None) -> Sequence[AnyRow]:
    """What was amended of a campaign's specification, or of all, in order, with when and by which agd."""
    where = "" if name is None else "WHERE k.name = :name"
    return tx.execute(
        text(
            "SELECT k.name AS campaign, m.*, a.started_at AS made_at, a.agd_version, a.host FROM campaign_amendment m"
            " JOIN campaign k ON k.id = m.campaign_id JOIN activity a ON a.id = m.activity_id"
            f" {where} ORDER BY m.campaign_id, m.number"
        ),
        {"name": name},
    ).all()


def iterations(tx: Transaction, campaign_id: int, last: int | None = None) -> Sequence[AnyRow]:
    """Rows of v_iteration, all or the last few, in order."""
    rows = tx.execute(
        text("SELECT * FROM v_iteration WHERE campaign_id = :campaign ORDER BY iteration DESC LIMIT :last"),
        {"campaign": campaign_id, "last": last},
    ).all()
    return rows[::-1]


def top_finds(tx: Transaction, campaign_id: int, n: int, level: int = 0) -> Sequence[AnyRow]:
    """The best labelled compositions of a campaign, by the target: rows of v_suggestion, v_sureness and v_claim.

    Of those only whose claim is of that level or a higher one.
    """
    return tx.execute(_TOP, {"campaign": campaign_id, "n": n, "level": level}).all()


def _state(row: RowMapping, *, is_at_work: bool) -> str:
    if row["end_reason"] is not None:
        return f"ended: {row['end_reason']}"
    if is_at_work:
        return "stopping" if row["stop_requested_at"] is not None else "running"
    is_queued = row["engine"] != "local" and row["stop_requested_at"] is None
    if row["parked_reason"] is not None or (row["last_outcome"] == "failed" and not is_queued):
        return "failed"
    if row["is_waiting"]:
        return "waiting for labels"
    return "queued" if is_queued else "paused"
