"""How campaigns stand, and what they suggest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class TargetProgress:
    """How many results of a campaign meet the target of one of its properties, and the best of that property."""

    position: int
    property: str
    unit: str
    low: float | None
    high: float | None
    n_met: int
    best: float | None


@dataclass(frozen=True, slots=True)
class CampaignProgress:
    """How a campaign stands: v_campaign_progress, and what its activities say.

    `targets` and `n_on_front` are those of a campaign that seeks several properties; of one they are empty and None.
    """

    state: str
    campaign: str
    property: str
    unit: str
    target_low: float | None
    target_high: float | None
    mode: str
    budget_calls: int
    n_iterations: int
    n_suggested: int
    n_undecodable: int
    n_decodable: int
    n_duplicate: int
    n_known: int
    n_rejected: int
    n_new: int
    n_charged: int
    n_finds: int
    finds_per_call: Decimal | None
    highest: float | None
    lowest: float | None
    twin_of: str | None
    created_at: datetime
    stop_requested_at: datetime | None
    ended_at: datetime | None
    end_reason: str | None
    campaign_id: int
    best: float | None
    last_outcome: str | None
    last_error: str | None
    last_active: datetime | None
    time_spent: timedelta | None
    n_launches: int
    engine: str
    parked_reason: str | None
    is_waiting: bool
    n_known_finds: int
    budget_calls_at_first: int
    targets: Sequence[TargetProgress]
    n_on_front: int | None


@dataclass(frozen=True, slots=True)
class RunProgress(CampaignProgress):
    """The same after a run, with the steps that were taken and the seconds they took."""

    n_steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class IterationProgress:
    """What became of the suggestions of an iteration: v_iteration."""

    campaign: str
    iteration: int
    n_suggested: int
    n_undecodable: int
    n_decodable: int
    n_duplicate: int
    n_known: int
    n_rejected: int
    n_new: int
    n_charged: int
    n_finds: int
    highest: float | None
    lowest: float | None
    is_recorded: bool
    iteration_id: int
    campaign_id: int
    n_known_finds: int


@dataclass(frozen=True, slots=True)
class StepAtWork:
    """A job that somebody is at, and until when it is leased: v_lease; of no campaign where it is no step of one."""

    campaign: str | None
    step: str
    iteration: int | None
    token: int
    host: str
    pid: int
    fw_id: int | None
    launch_id: int | None
    started_at: datetime
    lease_expires_at: datetime
    is_expired: bool
    campaign_id: int | None
    iteration_id: int | None


@dataclass(frozen=True, slots=True)
class Amendment:
    """A change of a campaign's specification: the key, what it said and says since, and the end that this undid.

    It holds for what came after `n_steps` steps of the search; `after` says how far that was.
    """

    campaign: str
    number: int
    key: str
    old_value: int
    new_value: int
    n_steps: int
    after: str
    ended_at: datetime | None
    end_reason: str | None
    made_at: datetime
    agd_version: str
    host: str
    activity_id: int
    campaign_id: int


def budget_in_words(amendments: Sequence[Amendment]) -> str:
    """What a campaign that was extended may spend: `120 calls (60 at first; +60 on 2026-11-30)`."""
    added = ", ".join(f"+{one.new_value - one.old_value:,} on {one.made_at:%Y-%m-%d}" for one in amendments)
    return f"{amendments[-1].new_value:,} calls ({amendments[0].old_value:,} at first; {added})"


@dataclass(frozen=True, slots=True)
class Extension:
    """How a campaign may go on: what it may spend, how long that may take, and the end that this undoes.

    `end_reason` is that of the end, `is_exhausted` where its sampler had nothing left; `state` is how it stands.
    """

    campaign: str
    state: str
    end_reason: str | None
    is_exhausted: bool
    budget_calls_before: int
    budget_calls: int
    n_charged: int
    oracle_calls_left: int
    n_iterations_expected: int


@dataclass(frozen=True, slots=True)
class Status:
    """Campaigns, the last iterations of the one that was asked for, who is at work, and what is queued by state.

    With what was amended of their specifications, oldest first.
    """

    campaigns: Sequence[CampaignProgress]
    iterations: Sequence[IterationProgress]
    at_work: Sequence[StepAtWork]
    queue: Mapping[str, Mapping[str, int]]
    amendments: Sequence[Amendment]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What running a specification would do."""

    campaign: str
    mode: str
    target: str
    is_open_already: bool
    is_unchanged: bool
    dataset: str
    initial_rows: int
    autoencoder: str | None
    corpus: str | None
    corpus_rows: int
    oracle: str
    oracle_rows: int
    sampler: str
    pool: str | None
    oracle_calls_left: int
    spec_sha256: str
    further_oracles: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PropertyOfSuggestion:
    """What a suggestion came to in one of the properties that its campaign seeks: v_suggestion_property."""

    position: int
    property: str
    value: float | None
    uncertainty: float | None
    unit: str
    is_retracted: bool
    is_met: bool
    expected: float | None
    expected_sd: float | None
    label_id: int | None


@dataclass(frozen=True, slots=True)
class Suggested:
    """A suggestion and what became of it, v_suggestion, how sure and how new it is, v_sureness, and its claim, v_claim.

    Value, unit and what the sampler `expected` are of the first property; where the campaign seeks several,
    `properties` are all of them, and `is_on_front` says whether no other result is better throughout. The predicted
    energy above the hull is what the newest oracle of it has said of the formula.
    """

    campaign: str
    iteration: int
    rank: int
    outcome: str | None
    reason: str | None
    decode_failure: str | None
    reduced_formula: str | None
    value: float | None
    uncertainty: float | None
    unit: str
    is_find: bool | None
    is_retracted: bool
    is_charged: bool | None
    proposed: str
    posterior_mean: float | None
    posterior_sd: float | None
    acquisition: float | None
    seed: int | None
    suggested_at: datetime
    agd_version: str
    host: str
    autoencoder_sha256: str | None
    suggestion_id: int
    campaign_id: int
    iteration_id: int
    latent_id: int | None
    composition_id: int | None
    label_id: int | None
    activity_id: int
    is_known: bool
    lower_bound: float | None
    novelty: str | None
    analogue: str | None
    reference: str | None
    expected: float | None
    expected_sd: float | None
    properties: Sequence[PropertyOfSuggestion]
    is_on_front: bool | None
    claim: str | None
    claim_level: int | None
    predicted_e_above_hull_ev_per_atom: float | None


@dataclass(frozen=True, slots=True)
class ListedSuggestion:
    """A suggestion in a long table: v_suggestion, without what takes a look at the whole record."""

    iteration: int
    rank: int
    reduced_formula: str | None
    outcome: str | None
    value: float | None
    uncertainty: float | None
    unit: str
    expected: float | None
    expected_sd: float | None
    is_find: bool | None
    is_known: bool
    is_retracted: bool
    reason: str | None
    suggested_at: datetime
    suggestion_id: int
