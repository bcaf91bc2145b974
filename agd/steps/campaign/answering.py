"""Answering: the oracle labels what a campaign was charged for, and the iteration is closed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agd.accounting import ASKED, LABELLED, end_of_search
from agd.db.connection import AnyRow, Transaction
from agd.db.record import amendments, campaigns, properties, suggestions
from agd.errors import StepError, is_transient
from agd.plausible import Range, plausible_range
from agd.progress import Progress
from agd.protocols import Oracle
from agd.steps.campaign.answers import answers_of
from agd.steps.campaign.campaigns import Campaign, CampaignStep
from agd.steps.data.compositions import counts_of
from agd.types import Counts, Floats
from agd.work.shelf import ModelRef, Shelf
from agd.work.work import Work


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """The questions without an answer: each a composition and the position of a property.

    They are in one order for every writer: two campaigns never wait in a circle. `oracles` are the models that are
    asked, each for the position in `answers` at its place.
    """

    oracles: list[ModelRef]
    answers: list[int]
    positions: list[int]
    composition_ids: list[int]
    formulas: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """Values `[n]` and uncertainties `[n]` of what was asked, in its order; why some have none, by their place."""

    values: Floats
    uncertainties: Floats
    failed_positions: list[int]
    failures: list[str]


@dataclass(frozen=True, slots=True)
class Nothing:
    """A step that computes nothing."""


def _read_asked(tx: Transaction, step: CampaignStep) -> Asked:
    campaign = step.campaign
    charged = _charged(campaign, suggestions.suggestions_of(tx, campaign.id, step.number))
    asked = Asked([], [], [], [], [])
    for goal in campaign.spec.goals:
        answers = answers_of(goal)
        oracle = answers.model(tx, campaign, goal)
        if oracle is None:
            continue
        answered = answers.held(tx, campaign, goal, [row.composition_id for row in charged])
        unanswered = {row.composition_id: row.reduced_formula for row in charged if row.composition_id not in answered}
        asked.oracles.append(oracle)
        asked.answers.append(goal.position)
        for i in sorted(unanswered):
            asked.positions.append(goal.position)
            asked.composition_ids.append(i)
            asked.formulas.append(unanswered[i])
    return asked


def _ask(shelf: Shelf, step: CampaignStep, asked: Asked, _progress: Progress) -> Answered:
    """Ask the oracle of each property; where one fails for some of a batch, those have no answer and the rest do.

    Raises:
        Exception: what an oracle raised, where it may pass or concerns every one of several compositions.
    """
    n = len(asked.formulas)
    values, uncertainties = np.full(n, np.nan), np.full(n, np.nan)
    failures: dict[int, str] = {}
    for ref, position in zip(asked.oracles, asked.answers, strict=True):
        rows = [i for i in range(n) if asked.positions[i] == position]
        if rows:
            oracle: Oracle = shelf.load(ref)
            counts = counts_of([asked.formulas[i] for i in rows])
            range_ = plausible_range(step.campaign.spec.targets[position - 1].property)
            values[rows], uncertainties[rows], silent = _answers(oracle, counts, range_)
            failures |= {rows[i]: why for i, why in silent.items()}
    return Answered(values, uncertainties, list(failures), list(failures.values()))


def _answers(oracle: Oracle, counts: Counts, range_: Range) -> tuple[Floats, Floats, dict[int, str]]:
    """Values `[n]` and uncertainties `[n]`, and by their place why some have none."""
    n = len(counts)
    failures: dict[int, str] = {}
    try:
        answers = oracle.label(counts)
        values, uncertainties = answers.values, answers.uncertainties
    except Exception as error:
        if is_transient(error):
            raise
        values, uncertainties = np.full(n, np.nan), np.full(n, np.nan)
        for i in range(n):
            try:
                one = oracle.label(counts[i : i + 1])
            except Exception as reason:
                if is_transient(reason):
                    raise
                failures[i] = f"the oracle failed: {_one_line(reason)}"
            else:
                values[i], uncertainties[i] = one.values[0], one.uncertainties[0]
        if n > 1 and len(failures) == n:
            raise
    is_answer = range_.holds(values) & Range(0.0, range_.width).holds(uncertainties)
    for i in np.flatnonzero(~is_answer).tolist():
        failures.setdefault(i, f"the oracle answered {values[i]} +- {uncertainties[i]}")
    return values, uncertainties, failures


def _write_labels(tx: Transaction, step: CampaignStep, activity_id: int, asked: Asked, answers: Answered) -> None:
    """Store the answers, and point every suggestion to the labels it uses; without one of them, it has no answer.

    In the published mode the oracle answers for initial rows too, and a duplicate is charged for the label it has.
    """
    campaign, number = step.campaign, step.number
    is_published = campaign.spec.mode == "paper"
    silent = {asked.composition_ids[i]: why for i, why in zip(answers.failed_positions, answers.failures, strict=True)}
    rows = suggestions.suggestions_of(tx, campaign.id, number)
    charged = _charged(campaign, rows)
    _store_answers(tx, campaign, activity_id, asked, answers)
    ids = [row.composition_id for row in charged]
    held = {goal.position: answers_of(goal).held(tx, campaign, goal, ids) for goal in campaign.spec.goals}
    if campaign.spec.oracle.answerer.is_awaited and set(ids) - held[1].keys() - silent.keys():
        raise StepError(f"a label was retracted meanwhile: see `agd ask {campaign.name}`")
    is_answered = set(ids).intersection(*(of_one.keys() for of_one in held.values())) - silent.keys()
    labels = {} if is_published else suggestions.initial_labels(tx, campaign.id)
    labels |= {
        composition: label_id
        for composition, label_id in suggestions.decoded_before(tx, campaign.id, number).items()
        if label_id is not None
    }
    labels |= {composition: label_id for composition, label_id in held[1].items() if composition in is_answered}
    for row in charged:
        if row.composition_id in silent:
            suggestions.give_up(tx, activity_id, row.id, silent[row.composition_id])
    attached = [
        (row.id, labels[row.composition_id]) for row in rows if row.outcome in LABELLED and row.composition_id in labels
    ]
    if attached:
        suggestions.attach_labels(tx, activity_id, attached)
    further = [
        (row.id, position, of_one[row.composition_id], row.composition_id)
        for position, of_one in held.items()
        for row in charged
        if position > 1 and row.composition_id in is_answered
    ]
    properties.store_labels(tx, activity_id, further)


def _store_answers(tx: Transaction, campaign: Campaign, activity_id: int, asked: Asked, answers: Answered) -> None:
    """Store what the models answered as labels."""
    oracle_ids = campaigns.models_of(tx, campaign.id)
    failed = set(answers.failed_positions)
    fresh = [
        {
            "composition_id": asked.composition_ids[i],
            "property": goal.target.property,
            "value": float(answers.values[i]),
            "uncertainty": float(answers.uncertainties[i]),
            "model_version_id": oracle_ids[goal.role],
            "activity_id": activity_id,
        }
        for goal in campaign.spec.goals
        for i, position in enumerate(asked.positions)
        if position == goal.position and i not in failed
    ]
    if fresh:
        suggestions.store_oracle_labels(tx, fresh)


def _close(tx: Transaction, step: CampaignStep, activity_id: int, _inputs: Nothing, _outputs: Nothing) -> None:
    """Close the iteration with its tally, and the campaign when its budget is spent or nothing new comes any more."""
    campaign = step.campaign
    iteration_id = campaigns.find_iteration(tx, campaign.id, step.number)
    assert iteration_id is not None  # noqa: S101  its suggestions are there
    campaigns.store_tally(tx, iteration_id, activity_id)
    budget_calls, stall_after = amendments.held_budget(tx, campaign.id), campaign.spec.budget.stall_after
    n_calls = campaigns.n_calls(tx, campaign.id)
    n_barren = campaigns.n_barren_iterations(tx, campaign.id, step.number)
    why = end_of_search(n_calls, n_barren, budget_calls=budget_calls, stall_after=stall_after)
    if why is not None:
        campaigns.end(tx, campaign.id, why)


def _charged(campaign: Campaign, rows: Sequence[AnyRow]) -> list[AnyRow]:
    """The suggestions of an iteration that the oracle is asked for."""
    return [row for row in rows if row.outcome in ASKED[campaign.spec.mode]]


def _one_line(error: BaseException) -> str:
    words = str(error).strip().partition("\n")[0].replace("\0", "\\0")
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def asks_a_model(step: CampaignStep) -> bool:
    """Whether labels are computed, not only looked up."""
    return any(goal.oracle.answerer.is_model for goal in step.campaign.spec.goals)


LABEL = Work(Asked, Answered, _read_asked, _ask, _write_labels)
RECORD = Work(
    Nothing,
    Nothing,
    lambda _tx, _step: Nothing(),
    lambda _shelf, _step, _inputs, _progress: Nothing(),
    _close,
)
