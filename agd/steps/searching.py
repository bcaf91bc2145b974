"""One iteration: suggest, decode, label, record. Each reads, computes with nothing open, writes in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from agd import registry
from agd.chem import smact_validity
from agd.chem.elements import N_ELEMENTS
from agd.chem.identity import Identities, identify
from agd.chem.validity import assess
from agd.db import activities, campaigns, models
from agd.db.connection import AnyRow, Transaction
from agd.errors import ExhaustedError, StepError
from agd.protocols import Generator
from agd.spec import EXTERNAL, TABLE, CampaignSpec, FilterSpec, Target
from agd.steps.workspace import RULES, Campaign, Workspace, counts_of, derive_seed, recorded, store_compositions
from agd.types import Floats, History, Latents, Proposals


def encode_initial(workspace: Workspace, campaign: Campaign) -> None:
    """Give every initial row its latent row; the box of these points is where the search takes place."""
    with recorded(workspace, "encode", campaign=campaign) as activity_id:
        with workspace.database.read() as tx:
            version_id = campaigns.models_of(tx, campaign.id)["autoencoder"]
            rows = models.members_of(tx, campaigns.sets_of(tx, campaign.id)["initial"])
        generator = workspace.generator(version_id)
        counts = counts_of([row.reduced_formula for row in rows])
        inside = np.flatnonzero(generator.is_encodable(counts)).tolist()
        if len(inside) < 2:  # noqa: PLR2004  a box needs two corners
            raise StepError(
                "fewer than two initial rows are within the autoencoder's vocabulary: give the search a box"
            )
        latents = generator.encode(counts[inside])
        with workspace.database.transaction() as tx:
            vectors = [(rows[i].composition_id, latent.tolist()) for i, latent in zip(inside, latents, strict=True)]
            campaigns.store_latents(tx, version_id, activity_id, vectors)
            activities.finish(tx, activity_id)


def suggest(workspace: Workspace, campaign: Campaign, number: int) -> None:
    """Ask the sampler for the next points, given every label so far."""
    spec = campaign.spec
    seed = derive_seed(spec.seed, number, "suggest")
    with recorded(workspace, "suggest", campaign=campaign, iteration=number, seed=seed) as activity_id:
        with workspace.database.read() as tx:
            version_id = campaigns.models_of(tx, campaign.id)["autoencoder"]
        generator = workspace.generator(version_id)
        with workspace.database.read() as tx:
            past = _Past.of(tx, campaign.id, number)
        history = _history(past, spec, lambda points: _read(generator, points, spec.filter))
        sampler = registry.load("agd.samplers", spec.sampler.kind)(spec.sampler.options())
        try:
            proposals: Proposals = sampler.suggest(history, spec.budget.suggestions_per_iteration, seed=seed)
        except ExhaustedError:
            with workspace.database.transaction() as tx:
                campaigns.end(tx, campaign.id, "stalled")
                activities.finish(tx, activity_id)
            return
        named = None if proposals.counts is None else identify(proposals.counts)
        latents: Latents = (
            np.asarray(proposals.latents, dtype=np.float32) if named is None else generator.encode(named.counts)
        )
        with workspace.database.transaction() as tx:
            ids: list[int | None] = [None] * len(latents)
            if named is not None:
                ids = list(store_compositions(tx, named, activity_id, RULES).tolist())
            vectors = [(i, latent.tolist()) for i, latent in zip(ids, latents, strict=True)]
            latent_ids = campaigns.store_latents(tx, version_id, activity_id, vectors)
            iteration_id = campaigns.open_iteration(tx, campaign.id, number)
            campaigns.store_suggestions(
                tx,
                [
                    {
                        "campaign_id": campaign.id,
                        "iteration_id": iteration_id,
                        "rank": rank,
                        "proposed": "latent" if named is None else "composition",
                        "latent_id": latent_id,
                        "composition_id": composition_id,
                        "posterior_mean": _known(proposals.posterior_mean, rank),
                        "posterior_sd": _known(proposals.posterior_sd, rank),
                        "acquisition": _known(proposals.acquisition, rank),
                        "activity_id": activity_id,
                    }
                    for rank, (latent_id, composition_id) in enumerate(zip(latent_ids, ids, strict=True), start=1)
                ],
            )
            activities.finish(tx, activity_id)


def decode(workspace: Workspace, campaign: Campaign, number: int) -> None:
    """Turn the points of an iteration into compositions, tell new ones from the rest, and what is charged."""
    is_published = campaign.spec.mode == "paper"
    with recorded(workspace, "decode", campaign=campaign, iteration=number) as activity_id:
        with workspace.database.read() as tx:
            trained = campaigns.models_of(tx, campaign.id)
            rows = campaigns.suggestions_of(tx, campaign.id, number)
            initial = campaigns.initial_labels(tx, campaign.id).keys()
            seen = campaigns.decoded_before(tx, campaign.id, number).keys()
            n_left = campaign.spec.budget.oracle_calls - campaigns.n_calls(tx, campaign.id, campaign.spec.mode)
        decoded, failures = _decode(workspace, trained["autoencoder"], rows)
        positions = sorted(decoded)
        named = identify(counts_of([decoded[p] for p in positions])) if positions else None
        refusals = dict(zip(positions, _refusals(named, campaign.spec.filter), strict=True)) if named else {}
        with workspace.database.transaction() as tx:
            ids = store_compositions(tx, named, activity_id, RULES).tolist() if named else []
            composition_ids = dict(zip(positions, ids, strict=True))
            silences = _silences(tx, campaign, trained.get("oracle"), ids)
            outcomes = []
            asked = set(seen)
            for p, row in enumerate(rows):
                composition_id = composition_ids.get(p)
                outcome, reason = _outcome(composition_id, initial, asked, refusals.get(p))
                if outcome == "new" or (is_published and outcome in {"known", "duplicate"}):
                    if composition_id in silences:
                        outcome, reason = "unanswered", silences[composition_id]
                    elif n_left == 0:
                        outcome, reason = "rejected", campaigns.OVER_BUDGET
                    else:
                        n_left -= 1
                outcomes.append({"id": row.id, "outcome": outcome, "reason": reason, "composition_id": composition_id})
                if composition_id is not None:
                    asked.add(composition_id)
            campaigns.store_outcomes(tx, activity_id, outcomes, [(rows[p].id, why) for p, why in failures.items()])
            activities.finish(tx, activity_id)


def label(workspace: Workspace, campaign: Campaign, number: int) -> None:
    """Ask the oracle for what it has not answered before, and point every suggestion to the label it uses.

    In the published mode the oracle answers for initial rows too, and a duplicate is charged for the label it has.
    """
    is_published = campaign.spec.mode == "paper"
    with recorded(workspace, "label", campaign=campaign, iteration=number) as activity_id:
        with workspace.database.read() as tx:
            rows = campaigns.suggestions_of(tx, campaign.id, number)
            asked = [row for row in rows if row.outcome == "new" or (is_published and row.outcome == "known")]
            oracle_id = campaigns.models_of(tx, campaign.id).get("oracle")
            labels = {} if is_published else campaigns.initial_labels(tx, campaign.id)
            labels |= {
                composition: label_id
                for composition, label_id in campaigns.decoded_before(tx, campaign.id, number).items()
                if label_id is not None
            }
            answered = _answered(tx, campaign, oracle_id, [row.composition_id for row in asked])
        # One order for every writer, so that two campaigns never wait for each other in a circle.
        unanswered = {row.composition_id: row for row in asked if row.composition_id not in answered}
        answers = _ask(workspace, campaign, oracle_id, [unanswered[i] for i in sorted(unanswered)])
        if campaign.spec.oracle.kind == EXTERNAL and unanswered:
            raise StepError(f"a label was retracted meanwhile: see `agd ask {campaign.name}`")
        with workspace.database.transaction() as tx:
            if answers:
                campaigns.store_oracle_labels(tx, [{**answer, "activity_id": activity_id} for answer in answers])
                answered = _answered(tx, campaign, oracle_id, [row.composition_id for row in asked])
            labels |= answered
            attached = [
                (row.id, labels[row.composition_id])
                for row in rows
                if row.outcome in {"new", "duplicate", "known"} and row.composition_id in labels
            ]
            if attached:
                campaigns.attach_labels(tx, activity_id, attached)
            activities.finish(tx, activity_id)


def record(workspace: Workspace, campaign: Campaign, number: int) -> None:
    """Close the iteration, and the campaign when its budget is spent or nothing new comes any more."""
    budget = campaign.spec.budget
    with (
        recorded(workspace, "record", campaign=campaign, iteration=number) as activity_id,
        workspace.database.transaction() as tx,
    ):
        if campaigns.n_calls(tx, campaign.id, campaign.spec.mode) >= budget.oracle_calls:
            campaigns.end(tx, campaign.id, "budget spent")
        elif campaigns.n_barren_iterations(tx, campaign.id, number) >= budget.stall_after:
            campaigns.end(tx, campaign.id, "stalled")
        activities.finish(tx, activity_id)


def objective(values: Floats, target: Target) -> Floats:
    """What the sampler maximises, in the property's unit: value, its negative, or minus the distance to a window."""
    if target.low is None:
        return -values
    if target.high is None:
        return values
    return -np.maximum(np.maximum(target.low - values, values - target.high), 0.0)


class _Past(NamedTuple):
    """What the record knows of a campaign before an iteration."""

    initial: Sequence[AnyRow]
    suggested: Sequence[AnyRow]
    seen: set[str]

    @classmethod
    def of(cls, tx: Transaction, campaign_id: int, number: int) -> "_Past":
        return cls(
            campaigns.initial_points(tx, campaign_id),
            campaigns.suggested_points(tx, campaign_id, number),
            campaigns.seen_formulas(tx, campaign_id, number),
        )


def _history(past: _Past, spec: CampaignSpec, read: Callable[[Floats], Sequence[str | None]]) -> History:
    points = [*past.initial, *past.suggested]
    latents = np.array([row.vector for row in points], dtype=np.float32).astype(np.float64)
    values = np.array([np.nan if row.value is None else row.value for row in points], dtype=np.float64)
    counts = np.zeros((len(points), N_ELEMENTS), dtype=np.int32)
    is_decoded = [row.reduced_formula is not None for row in points]
    counts[is_decoded] = counts_of([row.reduced_formula for row in points if row.reduced_formula is not None])
    box = latents[: len(past.initial)]
    as_undecodable = float(objective(np.zeros(1), spec.target)[0])
    return History(
        latents=latents,
        objectives=objective(values, spec.target),
        bounds=np.stack([box.min(axis=0), box.max(axis=0)], axis=1),
        read=read,
        seen=frozenset(past.seen),
        counts=counts,
        n_initial=len(past.initial),
        undecodable_objective=as_undecodable if spec.mode == "paper" else None,
    )


def _read(generator: Generator, points: Floats, rule: FilterSpec) -> list[str | None]:
    """What each latent point stands for, None where a suggestion there would be undecodable or rejected."""
    decoded = generator.decode(points.astype(np.float32))
    found: list[str | None] = [None] * len(points)
    good = [i for i in range(len(points)) if i not in decoded.failures]
    if good:
        named = identify(decoded.counts[good])
        for i, formula, refusal in zip(good, named.reduced_formula, _refusals(named, rule), strict=True):
            found[i] = formula if refusal is None else None
    return found


def _decode(workspace: Workspace, version_id: int, rows: Sequence[AnyRow]) -> tuple[dict[int, str], dict[int, str]]:
    """Reduced formula by position, and reason of failure by position."""
    points = [p for p, row in enumerate(rows) if row.proposed == "latent"]
    formulas = {p: row.reduced_formula for p, row in enumerate(rows) if row.proposed == "composition"}
    if not points:
        return formulas, {}
    decoded = workspace.generator(version_id).decode(np.array([rows[p].vector for p in points], dtype=np.float32))
    good = [i for i in range(len(points)) if i not in decoded.failures]
    if good:
        names = identify(decoded.counts[good]).reduced_formula
        formulas |= {points[i]: name for i, name in zip(good, names, strict=True)}
    return formulas, {points[i]: reason for i, reason in decoded.failures.items()}


def _outcome(composition_id: int | None, initial: Any, asked: set[int], refusal: str | None) -> tuple[str, str | None]:
    if composition_id is None:
        return "undecodable", None
    if composition_id in initial:
        return "known", None
    if composition_id in asked:
        return "duplicate", None
    return ("new", None) if refusal is None else ("rejected", refusal)


def _refusals(named: Identities, rule: FilterSpec) -> list[str | None]:
    """Why each composition is rejected, None where it is not."""
    verdicts = assess(named.counts)
    is_smact_valid = smact_validity.assess(named.counts).is_electronegativity_balanced if rule.is_smact_valid else None
    largest = named.counts.max(axis=1)
    checks = [
        (rule.is_charge_neutral, verdicts.is_charge_neutral, "not charge neutral"),
        (rule.is_electronegativity_balanced, verdicts.is_electronegativity_balanced, "not electronegativity balanced"),
        (rule.is_smact_valid, is_smact_valid, "not valid by SMACT's rule"),
        (rule.max_elements, named.n_elements <= (rule.max_elements or 0), f"more than {rule.max_elements} elements"),
        (rule.max_atoms, named.n_atoms <= (rule.max_atoms or 0), f"more than {rule.max_atoms} atoms"),
        (rule.max_count, largest <= (rule.max_count or 0), f"an element more than {rule.max_count} times"),
    ]
    asked = [(passed.tolist(), why) for wanted, passed, why in checks if wanted and passed is not None]
    return [next((why for passed, why in asked if not passed[i]), None) for i in range(len(named.reduced_formula))]


def _answered(
    tx: Transaction, campaign: Campaign, oracle_id: int | None, composition_ids: Sequence[int]
) -> dict[int, int]:
    """Labels there are already: the oracle's answers, the rows of a table, or measurements."""
    if oracle_id is not None:
        return campaigns.labels_by(tx, oracle_id, campaign.spec.target.property, composition_ids)
    if campaign.spec.oracle.kind == EXTERNAL:
        return campaigns.measured(tx, campaign.spec.target.property, composition_ids)
    return campaigns.labels_in_set(tx, campaigns.sets_of(tx, campaign.id)["oracle"], composition_ids)


def _silences(
    tx: Transaction, campaign: Campaign, oracle_id: int | None, composition_ids: Sequence[int]
) -> dict[int | None, str]:
    """Why the oracle has no answer, by composition id: not in the table, or what it said was retracted."""
    if campaign.spec.oracle.kind == EXTERNAL:
        return {}
    held = _answered(tx, campaign, oracle_id, composition_ids)
    withdrawn = campaigns.retracted(tx, held.values())
    silences: dict[int | None, str] = {
        composition: "the oracle's label of it was retracted" for composition, row in held.items() if row in withdrawn
    }
    if campaign.spec.oracle.kind == TABLE:
        missing = f"{campaign.spec.oracle_dataset()} holds no {campaign.spec.target.property} of it"
        silences |= {composition: missing for composition in composition_ids if composition not in held}
    return silences


def _ask(
    workspace: Workspace, campaign: Campaign, oracle_id: int | None, rows: Sequence[AnyRow]
) -> list[Mapping[str, object]]:
    if oracle_id is None or not rows:
        return []
    answers = workspace.oracle(oracle_id).label(counts_of([row.reduced_formula for row in rows]))
    return [
        {
            "composition_id": row.composition_id,
            "property": campaign.spec.target.property,
            "value": value,
            "uncertainty": uncertainty,
            "model_version_id": oracle_id,
        }
        for row, value, uncertainty in zip(rows, answers.values.tolist(), answers.uncertainties.tolist(), strict=True)
    ]


def _known(values: Floats, rank: int) -> float | None:
    """The value of a rank, None where the sampler has none."""
    value = float(values[rank - 1])
    return None if np.isnan(value) else value
