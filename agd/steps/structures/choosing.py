"""Choosing: the best formulas of a campaign or of a screening, for which structures are sought."""

from agd import registry
from agd.db.reading import progress
from agd.db.record import campaigns, screenings
from agd.errors import NotFoundError
from agd.steps.structures.predicted_hulls import near_hull
from agd.work.workspace import Workspace


def best_of(
    workspace: Workspace, what: str, n: int, max_predicted_hull: float | None = None, *, is_kept: bool = True
) -> tuple[list[str], str | None]:
    """The first `n` formulas of a campaign by its name, or of a screening by its number, and whom they serve.

    Of those only that an oracle predicts to lie within `max_predicted_hull` eV/atom above the hull, where it is given:
    what that is asked for `is_kept` as labels.

    Raises:
        NotFoundError: there is no such campaign or screening, or nothing in it; or no such oracle.
    """
    if max_predicted_hull is None:
        return _best_of(workspace, what, n)
    of: dict[str, str | None] = {}

    def fetch(n_fetched: int) -> list[str]:
        found, of["campaign"] = _best_of(workspace, what, n_fetched)
        return found

    near = near_hull(workspace, fetch, str, n, max_ev_per_atom=max_predicted_hull, is_kept=is_kept)
    if not near:
        raise NotFoundError(f"{what}: nothing is predicted within {max_predicted_hull:g} eV/atom above the hull")
    return near, of["campaign"]


def _best_of(workspace: Workspace, what: str, n: int) -> tuple[list[str], str | None]:
    with workspace.database.read() as tx:
        row = campaigns.find(tx, what)
        if row is not None:
            found = [one.reduced_formula for one in progress.top_finds(tx, row.id, n)]
            of, campaign = f"campaign {what!r} has no labelled composition yet", what
        elif what.isdecimal() and (there := screenings.overview(tx, screening_ids=[int(what)])):
            found = [one.reduced_formula for one in screenings.top_hits(tx, int(what), n)]
            of, campaign = f"screening {what} picked nothing", there[0].campaign
        else:
            near = registry.suggestion(what, campaigns.names(tx))
            raise NotFoundError(f"no campaign {what!r}{near}; nor is it the number of a screening (see `agd screens`)")
    if not found:
        raise NotFoundError(f"{of}: there is nothing to find structures for")
    return found, campaign
