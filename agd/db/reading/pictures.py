"""What figures of a running campaign are drawn from: of its latest results, so many at most, never of all of them."""

from collections.abc import Sequence

from sqlalchemy import text

from agd.db.connection import AnyRow, Transaction
from agd.db.plausible_labels import IS_FIND, IS_RESULT

_VALUES = text(f"""
SELECT v.value FROM v_suggestion_judged v
WHERE v.campaign_id = :campaign AND {IS_RESULT} ORDER BY v.suggestion_id DESC LIMIT :n
""")

_FINDS = text(f"""
SELECT c.chemical_system, v.is_known FROM v_suggestion_judged v JOIN composition c ON c.id = v.composition_id
WHERE v.campaign_id = :campaign AND {IS_FIND} ORDER BY v.suggestion_id DESC LIMIT :n
""")

_AGREEMENT = text(f"""
SELECT v.expected, v.value FROM v_suggestion v
WHERE v.campaign_id = :campaign AND {IS_RESULT} AND v.expected IS NOT NULL ORDER BY v.suggestion_id DESC LIMIT :n
""")


def latest_values(tx: Transaction, campaign_id: int, n: int) -> list[float]:
    """Values of the latest results of a campaign, the latest first, in the unit of its property."""
    return list(tx.execute(_VALUES, {"campaign": campaign_id, "n": n}).scalars())


def latest_finds(tx: Transaction, campaign_id: int, n: int) -> Sequence[AnyRow]:
    """(chemical_system, is_known) of the latest finds of a campaign."""
    return tx.execute(_FINDS, {"campaign": campaign_id, "n": n}).all()


def latest_agreement(tx: Transaction, campaign_id: int, n: int) -> Sequence[AnyRow]:
    """(expected, value) of the latest results that the sampler had expected something of."""
    return tx.execute(_AGREEMENT, {"campaign": campaign_id, "n": n}).all()
