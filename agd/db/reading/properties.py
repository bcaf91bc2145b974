"""How campaigns stand that seek several properties: what each suggestion came to in each, and the front."""

from collections.abc import Sequence

from sqlalchemy import bindparam, text

from agd.db.connection import AnyRow, Transaction

_OF_SUGGESTIONS = text("""
SELECT p.* FROM v_suggestion_property p
WHERE p.suggestion_id IN :ids AND EXISTS (SELECT FROM campaign_target t WHERE t.campaign_id = p.campaign_id)
ORDER BY p.suggestion_id, p.position
""").bindparams(bindparam("ids", expanding=True))

_TARGETS = text("""
SELECT t.position, t.property, t.unit, t.low, t.high, count(*) FILTER (WHERE p.is_met) AS n_met,
       (array_agg(p.value ORDER BY p.objective DESC NULLS LAST, p.iteration, p.rank)
        FILTER (WHERE p.objective IS NOT NULL))[1] AS best
FROM v_campaign_target t
LEFT JOIN v_suggestion_property p ON p.campaign_id = t.campaign_id AND p.position = t.position AND p.outcome = 'new'
WHERE t.campaign_id = :campaign GROUP BY t.position, t.property, t.unit, t.low, t.high ORDER BY t.position
""")

_SEEK_SEVERAL = text("SELECT DISTINCT campaign_id FROM campaign_target")

_FRONT = text("SELECT suggestion_id, is_on_front FROM v_pareto WHERE campaign_id IN :ids").bindparams(
    bindparam("ids", expanding=True)
)


_POINTS = text("SELECT * FROM v_pareto WHERE campaign_id = :campaign ORDER BY iteration, rank")


def points(tx: Transaction, campaign_id: int) -> Sequence[AnyRow]:
    """Rows of v_pareto: the results of a campaign that have a label of each property, in order."""
    return tx.execute(_POINTS, {"campaign": campaign_id}).all()


def seek_several(tx: Transaction) -> set[int]:
    """The campaigns that seek more than one property."""
    return set(tx.execute(_SEEK_SEVERAL).scalars())


def targets(tx: Transaction, campaign_id: int) -> Sequence[AnyRow]:
    """What a campaign seeks, in order, with how many results meet each target (n_met) and the best value (best)."""
    return tx.execute(_TARGETS, {"campaign": campaign_id}).all()


def of_suggestions(tx: Transaction, suggestion_ids: Sequence[int]) -> dict[int, list[AnyRow]]:
    """Rows of v_suggestion_property by suggestion, of those whose campaign seeks several properties."""
    found: dict[int, list[AnyRow]] = {}
    for row in tx.execute(_OF_SUGGESTIONS, {"ids": list(suggestion_ids)}) if suggestion_ids else ():
        found.setdefault(row.suggestion_id, []).append(row)
    return found


def front(tx: Transaction, campaign_ids: Sequence[int]) -> dict[int, bool]:
    """Whether a suggestion is on the front of its campaign, of those that have every label."""
    return dict(tx.execute(_FRONT, {"ids": list(campaign_ids)}).all()) if campaign_ids else {}
