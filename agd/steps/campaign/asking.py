"""Labels from outside: what a campaign waits for, and what somebody tells it."""

from collections.abc import Sequence
from datetime import date

from agd.chem.formula import parse_formula
from agd.chem.identity import identify
from agd.db.connection import AnyRow, Transaction
from agd.db.record import activities, campaigns, suggestions
from agd.errors import InputError
from agd.spec import ANSWERERS
from agd.steps.campaign.campaigns import Campaign
from agd.steps.data.labelling import AddedLabel, Measurement, add_label
from agd.work.leases import recorded
from agd.work.workspace import Workspace


def awaited(tx: Transaction, campaign: Campaign) -> Sequence[AnyRow]:
    """The suggestions that wait for an answer, in order: rows of `suggestions.waiting`."""
    return suggestions.waiting(tx, campaign.id)


def tell(
    workspace: Workspace, campaign: Campaign, formula: str, measurement: Measurement, *, measured_on: date
) -> AddedLabel:
    """Record the answer for a composition that the campaign waits for; told again, it changes nothing.

    Where the campaign used a label of it that was retracted, this one takes its place.

    Raises:
        InputError: the campaign has an oracle of its own, or never asked for the composition.
    """
    _find(workspace, campaign, formula)
    added = add_label(workspace, formula, campaign.spec.target.property, measurement, measured_on=measured_on)
    with workspace.database.transaction() as tx:
        withdrawn = suggestions.to_replace(tx, campaign.id, added.label_id)
        if withdrawn:
            activity_id = activities.start(tx, "replace label", threads=campaign.spec.threads, campaign_id=campaign.id)
            suggestions.replace_labels(tx, activity_id, withdrawn, added.label_id)
            campaigns.store_tallies_anew(tx, activity_id)
            activities.finish(tx, activity_id)
    return added


def give_up(workspace: Workspace, campaign: Campaign, formula: str, reason: str) -> None:
    """Record that there will be no answer for a composition the campaign waits for; it costs no call.

    Raises:
        InputError: no reason is given, the campaign does not wait for the composition, or has an oracle of its own.
    """
    if not reason.strip():
        raise InputError("say why there will be no answer: the reason stays in the record")
    waiting = _find(workspace, campaign, formula)
    if waiting is None:
        raise InputError(
            f"campaign {campaign.name!r} has an answer for {formula} already: `agd why {formula}` shows it"
        )
    own = {"campaign_id": campaign.id, "threads": campaign.spec.threads}
    with recorded(workspace, "give up", **own) as activity_id, workspace.database.transaction() as tx:
        if not suggestions.give_up(tx, activity_id, waiting.id, reason.strip()):
            raise InputError(f"campaign {campaign.name!r} has got an answer for {formula} meanwhile")
        campaigns.store_tallies_anew(tx, activity_id)
        activities.finish(tx, activity_id)


def _find(workspace: Workspace, campaign: Campaign, formula: str) -> AnyRow | None:
    """The suggestion that waits for this composition; None where it has its answer."""
    key = identify(parse_formula(formula)).reduced_formula[0]
    if not campaign.spec.oracle.answerer.is_told:
        told = " or ".join(f'"{kind}"' for kind, who in ANSWERERS.items() if who.is_told)
        raise InputError(
            f"campaign {campaign.name!r} asks its oracle {campaign.spec.oracle.kind!r}: only one with [oracle] kind = "
            f"{told} is told its labels; `agd label add` records a measurement outside of campaigns"
        )
    with workspace.database.read() as tx:
        owed = awaited(tx, campaign)
        is_known = suggestions.has_asked(tx, campaign.id, key)
    found = next((row for row in owed if row.reduced_formula == key), None)
    if found is None and not is_known:
        listed = ", ".join(row.reduced_formula for row in owed[:5]) or "nothing"
        raise InputError(
            f"campaign {campaign.name!r} has not asked for {key}: it waits for {listed}"
            f"{' ...' if len(owed) > 5 else ''} (see `agd ask {campaign.name}`)"  # noqa: PLR2004  a line's worth
        )
    return found
