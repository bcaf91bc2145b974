"""Searching: the initial rows get their latent vectors, a sampler proposes points, and points become compositions."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agd import plugin_faults, registry
from agd.accounting import CHARGED, STALLED
from agd.chem.elements import N_ELEMENTS
from agd.chem.identity import identify
from agd.db.connection import Transaction
from agd.db.record import amendments, campaigns, models, properties, stages, suggestions
from agd.errors import ExhaustedError, StepError
from agd.filters import Filter, Sieve
from agd.progress import Progress
from agd.protocols import Generator, Sampler
from agd.seeds import derive_seed
from agd.spec import CampaignSpec
from agd.steps.campaign.answers import silences
from agd.steps.campaign.campaigns import Campaign, CampaignStep
from agd.steps.campaign.candidates import draw
from agd.steps.campaign.known import further_values, reference
from agd.steps.campaign.trust import weights_of
from agd.steps.data.compositions import RULES, counts_of, store_compositions
from agd.steps.data.known import filter_of
from agd.types import Counts, Floats, History, Latents, Proposals, Sought
from agd.work.shelf import ModelRef, Shelf, model_ref
from agd.work.work import Work


@dataclass(frozen=True, slots=True, eq=False)
class InitialRows:
    """The compositions a campaign starts from."""

    generator: ModelRef
    composition_ids: list[int]
    formulas: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRows:
    """Which initial rows `positions` lie within the vocabulary, and their latents `[len(positions), n_latent]`."""

    positions: list[int]
    latents: Latents


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What a sampler may know, as in History, and whom it asks what a point stands for.

    Without an autoencoder, `generator` is None and latents are `[n, 0]`. `values` `[n]` are of the first property,
    `further` `[p, n]` of the others, None where there is no other.
    """

    generator: ModelRef | None
    latents: Floats
    values: Floats
    counts: Counts
    n_initial: int
    seen: list[str]
    candidates: Counts | None = None
    reference: Counts | None = None
    further: Floats | None = None
    weights: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Suggested:
    """A batch, as in Proposals, with latents for all or none; none of it where the sampler has nothing left.

    `parents` are (rank, reduced formula, operator), `left` (stage of the filter, how many compositions it left),
    `refused` (reason, reduced formula) of a sample of the others; `expected` is (rank, number of a property, mean, sd).
    """

    is_exhausted: bool
    latents: Latents | None
    counts: Counts | None
    posterior_mean: Floats
    posterior_sd: Floats
    acquisition: Floats
    parents: Sequence[tuple[int, str, str]] = ()
    left: Sequence[tuple[str, int]] = ()
    refused: Sequence[tuple[str, str]] = ()
    expected: Sequence[tuple[int, int, float, float]] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Latent vectors `[len(positions), n_latent]` of a batch of `n`, and the formulas of what was no latent point."""

    generator: ModelRef | None
    n: int
    positions: list[int]
    latents: Latents
    named_positions: list[int]
    named: list[str]
    reference: Counts | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What a batch stands for: counts `[len(positions), 103]`, why each is rejected if it is, and why others failed."""

    positions: list[int]
    counts: Counts
    refusals: list[str | None]
    failed_positions: list[int]
    failures: list[str]


def _read_initial(tx: Transaction, step: CampaignStep) -> InitialRows:
    campaign = step.campaign
    version_id = campaigns.models_of(tx, campaign.id)["autoencoder"]
    rows = models.members_of(tx, campaigns.sets_of(tx, campaign.id)["initial"])
    ids, formulas = [row.composition_id for row in rows], [row.reduced_formula for row in rows]
    return InitialRows(model_ref(tx, version_id), ids, formulas)


def _encode(shelf: Shelf, step: CampaignStep, rows: InitialRows, _progress: Progress) -> EncodedRows:
    generator: Generator = shelf.load(rows.generator)
    counts = counts_of(rows.formulas)
    inside = np.flatnonzero(step.campaign.spec.fits_latents(counts)).tolist()
    if len(inside) < 2:  # noqa: PLR2004  a box needs two corners
        raise StepError("fewer than two initial rows are within the autoencoder's vocabulary: give the search a box")
    return EncodedRows(inside, generator.encode(counts[inside]))


def _write_latents(
    tx: Transaction, step: CampaignStep, activity_id: int, rows: InitialRows, encoded: EncodedRows
) -> None:
    version_id = campaigns.models_of(tx, step.campaign.id)["autoencoder"]
    ids = [rows.composition_ids[i] for i in encoded.positions]
    vectors = [(i, latent.tolist()) for i, latent in zip(ids, encoded.latents, strict=True)]
    suggestions.store_latents(tx, version_id, activity_id, vectors)


def _read_past(tx: Transaction, step: CampaignStep) -> Past:
    campaign, number = step.campaign, step.number
    initial = suggestions.initial_points(tx, campaign.id)
    points = [*initial, *suggestions.suggested_points(tx, campaign.id, number)]
    counts = np.zeros((len(points), N_ELEMENTS), dtype=np.int32)
    formulas = [row.reduced_formula for row in points]
    counts[[formula is not None for formula in formulas]] = counts_of([one for one in formulas if one is not None])
    seen = suggestions.seen_formulas(tx, campaign.id, number)
    generator = _generator_of(tx, campaign)
    vectors = [row.vector for row in points if generator is not None]
    return Past(
        generator=generator,
        latents=np.array(vectors, dtype=np.float32).astype(np.float64) if vectors else np.zeros((len(points), 0)),
        values=np.array([np.nan if row.value is None else row.value for row in points], dtype=np.float64),
        counts=counts,
        n_initial=len(initial),
        seen=sorted(seen),
        candidates=draw(tx, campaign, _suggest_seed(step), seen),
        reference=reference(tx, campaign),
        further=further_values(tx, campaign, number, formulas),
        weights=weights_of(tx, campaign, number, formulas),
    )


def _suggest(shelf: Shelf, step: CampaignStep, past: Past, _progress: Progress) -> Suggested:
    """Ask the sampler for the next points, given every label so far."""
    spec = step.campaign.spec
    generator: Generator | None = None if past.generator is None else shelf.load(past.generator)
    rule = filter_of(spec.filter, past.reference)
    sieve = Sieve(rule)
    history = _history(past, spec, None if generator is None else _reader(generator, rule), sieve)
    sampler = _sampler(spec)
    try:
        proposals: Proposals = sampler.suggest(history, spec.budget.suggestions_per_iteration, seed=_suggest_seed(step))
    except ExhaustedError:
        nothing = np.zeros(0)
        return Suggested(True, np.zeros((0, 0), dtype=np.float32), None, nothing, nothing, nothing)  # noqa: FBT003
    counts = None if proposals.counts is None else identify(proposals.counts).counts
    latents: Latents | None = None
    if counts is None:
        latents = np.asarray(proposals.latents, dtype=np.float32)
    elif generator is not None:
        latents = generator.encode(counts)
    return Suggested(
        is_exhausted=False,
        latents=latents,
        counts=counts,
        posterior_mean=proposals.posterior_mean,
        posterior_sd=proposals.posterior_sd,
        acquisition=proposals.acquisition,
        parents=[
            (rank, parent.reduced_formula, parent.operator)
            for rank, parents in enumerate(proposals.parents, start=1)
            for parent in parents
        ],
        left=[("judged", sieve.n_judged), *sieve.stages()] if sieve.n_judged else [],
        refused=sieve.refused.rows(),
        expected=[
            (rank, number, float(mean), float(sd))
            for number, one in proposals.expected.items()
            for rank, (mean, sd) in enumerate(zip(one.values, one.uncertainties, strict=True), start=1)
        ],
    )


def _write_suggestions(tx: Transaction, step: CampaignStep, activity_id: int, _past: Past, batch: Suggested) -> None:
    campaign = step.campaign
    if batch.is_exhausted:
        campaigns.end(tx, campaign.id, STALLED)
        return
    ids: list[int | None] = [None] * len(batch.acquisition)
    if batch.counts is not None:
        ids = list(store_compositions(tx, identify(batch.counts), activity_id, RULES).tolist())
    latent_ids: Sequence[int | None] = [None] * len(ids)
    if batch.latents is not None:
        vectors = [(i, latent.tolist()) for i, latent in zip(ids, batch.latents, strict=True)]
        version_id = campaigns.models_of(tx, campaign.id)["autoencoder"]
        latent_ids = suggestions.store_latents(tx, version_id, activity_id, vectors)
    iteration_id = campaigns.open_iteration(tx, campaign.id, step.number)
    suggestions.store_suggestions(
        tx,
        [
            {
                "campaign_id": campaign.id,
                "iteration_id": iteration_id,
                "rank": rank,
                "proposed": "latent" if batch.counts is None else "composition",
                "latent_id": latent_id,
                "composition_id": composition_id,
                "posterior_mean": _known(batch.posterior_mean, rank),
                "posterior_sd": _known(batch.posterior_sd, rank),
                "acquisition": _known(batch.acquisition, rank),
                "activity_id": activity_id,
            }
            for rank, (latent_id, composition_id) in enumerate(zip(latent_ids, ids, strict=True), start=1)
        ],
    )
    if batch.parents:
        named = identify(counts_of([formula for _, formula, _ in batch.parents]))
        parent_ids = store_compositions(tx, named, activity_id, RULES).tolist()
        rows = [(rank, i, operator) for i, (rank, _, operator) in zip(parent_ids, batch.parents, strict=True)]
        suggestions.store_parents(tx, activity_id, iteration_id, rows)
    properties.store_expectations(tx, activity_id, iteration_id, batch.expected)
    if batch.left:
        stages.store(tx, activity_id, [(name, n_left) for name, n_left in batch.left])
        stages.store_refused(tx, activity_id, [(reason, formula) for reason, formula in batch.refused])


def _sampler(spec: CampaignSpec) -> Sampler:
    group, kind = "agd.samplers", spec.sampler.kind
    plugin = registry.load(group, kind)
    with plugin_faults.blamed(group, kind, "__init__"):
        made = plugin(spec.sampler.options())
    guarded: Sampler = plugin_faults.guarded(group, kind, made)
    return guarded


def _suggest_seed(step: CampaignStep) -> int:
    return derive_seed(step.campaign.spec.seed, step.number, "suggest")


def _read_batch(tx: Transaction, step: CampaignStep) -> Points:
    rows = suggestions.suggestions_of(tx, step.campaign.id, step.number)
    points = [p for p, row in enumerate(rows) if row.proposed == "latent"]
    named = [p for p, row in enumerate(rows) if row.proposed == "composition"]
    return Points(
        generator=_generator_of(tx, step.campaign),
        n=len(rows),
        positions=points,
        latents=np.array([rows[p].vector for p in points], dtype=np.float32),
        named_positions=named,
        named=[rows[p].reduced_formula for p in named],
        reference=reference(tx, step.campaign),
    )


def _decode(shelf: Shelf, step: CampaignStep, batch: Points, _progress: Progress) -> Read:
    """Turn the points of an iteration into compositions."""
    counts = np.zeros((batch.n, N_ELEMENTS), dtype=np.int32)
    counts[batch.named_positions] = counts_of(batch.named)
    failures: dict[int, str] = {}
    if batch.positions:
        assert batch.generator is not None  # noqa: S101  a point is one of an autoencoder's
        generator: Generator = shelf.load(batch.generator)
        decoded = generator.decode(batch.latents)
        counts[batch.positions] = decoded.counts
        failures = {batch.positions[i]: reason for i, reason in sorted(decoded.failures.items())}
    positions = [p for p in range(batch.n) if p not in failures]
    named = identify(counts[positions]) if positions else None
    return Read(
        positions=positions,
        counts=counts[positions] if named is None else named.counts,
        refusals=filter_of(step.campaign.spec.filter, batch.reference).judge(named.counts).reasons if named else [],
        failed_positions=list(failures),
        failures=list(failures.values()),
    )


def _write_outcomes(tx: Transaction, step: CampaignStep, activity_id: int, _batch: Points, read: Read) -> None:
    """Tell new compositions from the rest, and what is charged."""
    campaign, number = step.campaign, step.number
    rows = suggestions.suggestions_of(tx, campaign.id, number)
    initial = suggestions.initial_labels(tx, campaign.id).keys()
    asked = set(suggestions.decoded_before(tx, campaign.id, number))
    n_left = amendments.held_budget(tx, campaign.id) - campaigns.n_calls(tx, campaign.id)
    ids = store_compositions(tx, identify(read.counts), activity_id, RULES).tolist() if read.positions else []
    composition_ids = dict(zip(read.positions, ids, strict=True))
    refusals = dict(zip(read.positions, read.refusals, strict=True))
    silent = silences(tx, campaign, ids)
    outcomes = []
    for p, row in enumerate(rows):
        composition_id = composition_ids.get(p)
        outcome, reason = _outcome(composition_id, initial, asked, refusals.get(p))
        if outcome in CHARGED[campaign.spec.mode]:
            if composition_id in silent:
                outcome, reason = "unanswered", silent[composition_id]
            elif n_left == 0:
                outcome, reason = "rejected", suggestions.OVER_BUDGET
            else:
                n_left -= 1
        outcomes.append({"id": row.id, "outcome": outcome, "reason": reason, "composition_id": composition_id})
        if composition_id is not None:
            asked.add(composition_id)
    failures = [(rows[p].id, why) for p, why in zip(read.failed_positions, read.failures, strict=True)]
    suggestions.store_outcomes(tx, activity_id, outcomes, failures)


ENCODE = Work(InitialRows, EncodedRows, _read_initial, _encode, _write_latents)
SUGGEST = Work(Past, Suggested, _read_past, _suggest, _write_suggestions, _suggest_seed)
DECODE = Work(Points, Read, _read_batch, _decode, _write_outcomes)


def _generator_of(tx: Transaction, campaign: Campaign) -> ModelRef | None:
    version_id = campaigns.models_of(tx, campaign.id).get("autoencoder")
    return None if version_id is None else model_ref(tx, version_id)


def _history(
    past: Past,
    spec: CampaignSpec,
    read: Callable[[Floats], Sequence[str | None]] | None,
    admits: Callable[[Counts], NDArray[np.bool_]] | None = None,
) -> History:
    box = past.latents[: past.n_initial]
    as_undecodable = float(spec.target.objective(np.zeros(1))[0])
    return History(
        latents=past.latents,
        objectives=spec.target.objective(past.values),
        bounds=np.stack([box.min(axis=0), box.max(axis=0)], axis=1),
        admits=admits,
        reference=past.reference,
        read=read,
        seen=frozenset(past.seen),
        counts=past.counts,
        n_initial=past.n_initial,
        undecodable_objective=as_undecodable if spec.mode == "paper" else None,
        candidates=past.candidates,
        sought=[
            Sought(values, target.low, target.high)
            for target, values in zip(
                spec.targets, [past.values, *([] if past.further is None else past.further)], strict=True
            )
        ],
        weights=past.weights,
    )


def _reader(generator: Generator, rule: Filter) -> Callable[[Floats], Sequence[str | None]]:
    """What latent points stand for, None where a suggestion there would be undecodable or rejected."""

    def read(points: Floats) -> list[str | None]:
        decoded = generator.decode(points.astype(np.float32))
        found: list[str | None] = [None] * len(points)
        good = [i for i in range(len(points)) if i not in decoded.failures]
        if good:
            named = identify(decoded.counts[good])
            for i, formula, refusal in zip(good, named.reduced_formula, rule.judge(named.counts).reasons, strict=True):
                found[i] = formula if refusal is None else None
        return found

    return read


def _outcome(
    composition_id: int | None, initial: Container[int], asked: set[int], refusal: str | None
) -> tuple[str, str | None]:
    if composition_id is None:
        return "undecodable", None
    if composition_id in initial:
        return "known", None
    if composition_id in asked:
        return "duplicate", None
    return ("new", None) if refusal is None else ("rejected", refusal)


def _known(values: Floats, rank: int) -> float | None:
    """The value of a rank, None where the sampler has none."""
    value = float(values[rank - 1])
    return None if np.isnan(value) else value
