"""The kinds of jobs there are: one row for each, which everybody asks who wants to know something of a kind."""

from agd.spec import MAX_PROPERTIES, numbered
from agd.steps.campaign.answering import LABEL, RECORD, asks_a_model
from agd.steps.campaign.campaigns import CampaignStep
from agd.steps.campaign.searching import DECODE, ENCODE, SUGGEST
from agd.steps.campaign.training import TRAIN
from agd.steps.models.training import training_of
from agd.work.kinds import Kind


def _always(_step: CampaignStep) -> bool:
    return True


_ROLES = ("autoencoder", *(numbered("oracle", position) for position in range(1, MAX_PROPERTIES + 1)))

TRAININGS = {role: Kind(training_of(role), "train", TRAIN, takes_long=_always) for role in _ROLES}
"""What a campaign needs before all else, by the role of the model; they may be done side by side."""

ENCODING = Kind("encode", "search", ENCODE)

LABELLING = Kind("label", "label", LABEL, takes_long=asks_a_model)

ITERATION = (
    Kind("suggest", "search", SUGGEST, takes_long=_always),
    Kind("decode", "search", DECODE),
    LABELLING,
    Kind("record", "search", RECORD),
)
"""What an iteration consists of, in this order."""

STEPS: dict[str, Kind[CampaignStep]] = {kind.name: kind for kind in (*TRAININGS.values(), ENCODING, *ITERATION)}
"""The steps of campaigns."""
