"""Who answers, by what `[oracle]` names; apart from the specification, so that reading the record stays quick."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who answers, as far as specification and schedule have to know; agd.steps.campaign.answers has what they do.

    A model is a trained plug-in; a dataset is what it is trained on, or what answers. Who is awaited answers in their
    own time, and each compound once; who is told is told by `agd tell`.
    """

    name: str
    is_model: bool = False
    has_dataset: bool = False
    is_awaited: bool = False
    is_told: bool = False


MODEL = Answerer("model", is_model=True, has_dataset=True)

ANSWERERS = {
    "table": Answerer("table", has_dataset=True),
    "external": Answerer("outside", is_awaited=True, is_told=True),
}
"""Who answers without a plug-in, by the kind that `[oracle]` names; every other kind is a model's plug-in."""
