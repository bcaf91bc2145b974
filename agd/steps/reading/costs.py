"""What a campaign took, and what one find of it took, beside its twins."""

from agd import registry
from agd.db.connection import AnyRow, Transaction
from agd.db.reading import costs
from agd.db.record import campaigns
from agd.errors import NotFoundError
from agd.views import CampaignCost, KindCost, of_rows
from agd.work.workspace import Workspace


def cost_of(workspace: Workspace, name: str) -> list[CampaignCost]:
    """The cost of a campaign, and then of each twin that spent the same budget otherwise.

    Raises:
        NotFoundError: there is no such campaign.
    """
    with workspace.database.read() as tx:
        found = costs.found(tx, name)
        if not found:
            near = registry.suggestion(name, campaigns.names(tx))
            raise NotFoundError(f"no campaign {name!r}{near}: see `agd list`")
        return [_cost(tx, row) for row in found]


def _cost(tx: Transaction, row: AnyRow) -> CampaignCost:
    kinds = of_rows(KindCost, costs.spent(tx, row.campaign_id))
    spent = sum(one.spent_core_hours for one in kinds)
    return CampaignCost(
        campaign=row.campaign,
        twin_of=row.twin_of,
        n_calls=row.n_calls,
        n_finds=row.n_finds,
        n_verified=row.n_verified,
        wall_hours=sum(one.wall_hours for one in kinds),
        asked_core_hours=sum(one.asked_core_hours for one in kinds),
        spent_core_hours=spent,
        core_hours_per_call=_of_one(spent, row.n_calls),
        core_hours_per_find=_of_one(spent, row.n_finds),
        core_hours_per_verified=_of_one(spent, row.n_verified),
        kinds=kinds,
    )


def _of_one(spent: float, n: int) -> float | None:
    return spent / n if n else None
