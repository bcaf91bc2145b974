"""What happened to a campaign, in order, and what people said of it."""

from collections.abc import Sequence

from sqlalchemy import text

from agd.db.connection import AnyRow, Transaction

_ABOUT = text("SELECT * FROM v_campaign_about ORDER BY campaign_id")

_LOG = text("""
WITH k AS (SELECT * FROM campaign WHERE id = :campaign), told AS (
    SELECT k.created_at AS at, 'opened' AS what, concat('with agd ', k.agd_version, ', seed ', k.seed) AS detail,
           NULL AS by, 0 AS place FROM k
    UNION ALL
    SELECT a.started_at, e.kind, CASE e.kind WHEN 'rename' THEN 'it was called ' || e.value ELSE e.value END,
           e.operator, 1
    FROM campaign_event e JOIN activity a ON a.id = e.activity_id WHERE e.campaign_id = :campaign
    UNION ALL
    SELECT a.started_at, 'extend', concat(m.key, ': ', m.old_value, ' -> ', m.new_value), a.host, 1
    FROM campaign_amendment m JOIN activity a ON a.id = m.activity_id WHERE m.campaign_id = :campaign
    UNION ALL
    SELECT a.started_at, concat_ws(' ', a.kind, i.number),
           concat(a.outcome, CASE WHEN a.error IS NOT NULL THEN ': ' || a.error END), a.host, 1
    FROM activity a LEFT JOIN iteration i ON i.id = a.iteration_id
    WHERE a.campaign_id = :campaign AND (a.iteration_id IS NULL OR a.outcome IN ('failed', 'lost'))
    UNION ALL
    SELECT a.ended_at, concat('iteration ', i.iteration),
           concat(i.n_suggested, ' suggested, ', i.n_new, ' new, ', i.n_finds, ' finds'), a.host, 2
    FROM v_iteration i JOIN activity a ON a.iteration_id = i.iteration_id AND a.kind = 'record' AND a.outcome = 'done'
    WHERE i.campaign_id = :campaign
    UNION ALL
    SELECT a.started_at, 'screening', concat(g.role, ' screener ', m.plugin, ' on ', g.source), a.host, 1
    FROM screening g JOIN activity a ON a.id = g.activity_id JOIN model_version m ON m.id = g.model_version_id
    WHERE g.campaign_id = :campaign
    UNION ALL
    SELECT greatest(k.ended_at, (SELECT max(a.ended_at) FROM activity a
                                 WHERE a.campaign_id = k.id AND a.kind = 'record' AND a.outcome = 'done')),
           'ended', k.end_reason, NULL, 3 FROM k WHERE k.ended_at IS NOT NULL
)
SELECT at, what, detail, by FROM told ORDER BY at DESC, place DESC LIMIT :n
""")


def about(tx: Transaction) -> Sequence[AnyRow]:
    """What people said of each campaign: rows of v_campaign_about."""
    return tx.execute(_ABOUT).all()


def log(tx: Transaction, campaign_id: int, n: int | None = None) -> Sequence[AnyRow]:
    """What happened to a campaign (at, what, detail, by), the last `n`, in order; iterations as a whole."""
    return tx.execute(_LOG, {"campaign": campaign_id, "n": n}).all()[::-1]
