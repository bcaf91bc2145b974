"""Who answers what a campaign asks: a model, a table, somebody outside. Another one is a class here and two rows.

The rows are one in `agd.answerers.ANSWERERS`, for the specification, and one in `ANSWERS`.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from agd.db.connection import Transaction
from agd.db.record import campaigns, known_datasets, suggestions
from agd.spec import MODEL, Goal
from agd.steps.campaign.campaigns import Campaign
from agd.work.shelf import ModelRef, model_ref


class Answers(Protocol):
    """What differs between those who answer for a property of a campaign."""

    def model(self, tx: Transaction, campaign: Campaign, goal: Goal) -> ModelRef | None:
        """The model that computes answers to what is not held, None where nothing is computed."""

    def held(self, tx: Transaction, campaign: Campaign, goal: Goal, composition_ids: Sequence[int]) -> dict[int, int]:
        """Label id by composition id, of the answers there are already."""

    def silences(
        self, tx: Transaction, campaign: Campaign, goal: Goal, composition_ids: Sequence[int]
    ) -> dict[int | None, str]:
        """Why there will be no answer, by composition id, as far as that is known before anybody is asked."""


class ModelAnswers:
    """A trained model; what it said before stands, be it retracted, and is not asked again."""

    def model(self, tx: Transaction, campaign: Campaign, goal: Goal) -> ModelRef | None:
        """The campaign's oracle of the property."""
        return model_ref(tx, campaigns.models_of(tx, campaign.id)[goal.role])

    def held(self, tx: Transaction, campaign: Campaign, goal: Goal, composition_ids: Sequence[int]) -> dict[int, int]:
        """Whatever this model version has answered, whoever asked.

        Before that, where the campaign uses known labels, those that the model learned from, and was tested on; before
        them those of a higher fidelity, in datasets that it takes for known.
        """
        oracle_id = campaigns.models_of(tx, campaign.id)[goal.role]
        answered = suggestions.labels_by(tx, oracle_id, goal.target.property, composition_ids)
        if not goal.oracle.uses_known_labels:
            return answered
        known = suggestions.labels_in_set(tx, campaigns.sets_of(tx, campaign.id)[goal.role], composition_ids)
        withdrawn = suggestions.retracted(tx, known.values())
        known = {composition: label for composition, label in known.items() if label not in withdrawn}
        dearer = known_datasets.dearer_labels(tx, campaign.id, goal.role, goal.target.property, composition_ids)
        return answered | known | dearer

    def silences(
        self, tx: Transaction, campaign: Campaign, goal: Goal, composition_ids: Sequence[int]
    ) -> dict[int | None, str]:
        """Retracted answers."""
        return _withdrawn(tx, self.held(tx, campaign, goal, composition_ids))


class TableAnswers:
    """The labels of a dataset."""

    def model(self, tx: Transaction, campaign: Campaign, goal: Goal) -> ModelRef | None:  # noqa: ARG002
        """None: answers are looked up."""
        return None

    def held(self, tx: Transaction, campaign: Campaign, goal: Goal, composition_ids: Sequence[int]) -> dict[int, int]:
        """The rows of the campaign's oracle set."""
        return suggestions.labels_in_set(tx, campaigns.sets_of(tx, campaign.id)[goal.role], composition_ids)

    def silences(
        self, tx: Transaction, campaign: Campaign, goal: Goal, composition_ids: Sequence[int]
    ) -> dict[int | None, str]:
        """Retracted answers, and compositions that the dataset does not hold."""
        held = self.held(tx, campaign, goal, composition_ids)
        missing = f"{goal.dataset} holds no {goal.target.property} of it"
        silences = _withdrawn(tx, held)
        return silences | {composition: missing for composition in composition_ids if composition not in held}


class OutsideAnswers:
    """Somebody outside, who measures, and tells the campaign."""

    def model(self, tx: Transaction, campaign: Campaign, goal: Goal) -> ModelRef | None:  # noqa: ARG002
        """None: answers are told."""
        return None

    def held(
        self,
        tx: Transaction,
        campaign: Campaign,  # noqa: ARG002
        goal: Goal,
        composition_ids: Sequence[int],
    ) -> dict[int, int]:
        """The first measurement of each composition that stands, whoever it was made for."""
        return suggestions.measured(tx, goal.target.property, composition_ids)

    def silences(
        self,
        tx: Transaction,  # noqa: ARG002
        campaign: Campaign,  # noqa: ARG002
        goal: Goal,  # noqa: ARG002
        composition_ids: Sequence[int],  # noqa: ARG002
    ) -> dict[int | None, str]:
        """None: who gives up says so later."""
        return {}


ANSWERS: Mapping[str, Answers] = {MODEL.name: ModelAnswers(), "table": TableAnswers(), "outside": OutsideAnswers()}
"""By the name of the answerer."""


def answers_of(goal: Goal) -> Answers:
    """Who answers for a property."""
    return ANSWERS[goal.oracle.answerer.name]


def silences(tx: Transaction, campaign: Campaign, composition_ids: Sequence[int]) -> dict[int | None, str]:
    """Why there will be no answer for a property, by composition id, as far as that is known."""
    found: dict[int | None, str] = {}
    for goal in campaign.spec.goals:
        found = answers_of(goal).silences(tx, campaign, goal, composition_ids) | found
    return found


def _withdrawn(tx: Transaction, held: Mapping[int, int]) -> dict[int | None, str]:
    withdrawn = suggestions.retracted(tx, held.values())
    return {
        composition_id: "the oracle's label of it was retracted"
        for composition_id, label_id in held.items()
        if label_id in withdrawn
    }
