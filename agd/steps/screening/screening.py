"""Screening: a screener trained on a campaign's labels, or any model, picks from a pool what should reach the target.

The funnel is the published one (arXiv 2103.00608): formulas within trims, valid ones, those predicted in the target.
Two screeners tell what the search was worth: one of the initial labels alone, one that has the campaign's own as well.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, TypeAlias

import numpy as np

from agd.chem.distinct import Seen
from agd.chem.identity import identify
from agd.db.connection import Transaction
from agd.db.record import activities, datasets, jobs, known_datasets, models, screenings, stages
from agd.errors import InputError
from agd.filters import NOTHING, PUBLISHED_TRIMS, Filter, FilterOptions
from agd.nets.threads import limited_threads
from agd.progress import Progress, silent
from agd.steps.campaign.campaigns import Campaign, as_campaign, campaign_row
from agd.steps.campaign.known import reference
from agd.steps.campaign.training_sets import Labels, of_campaign
from agd.steps.data.compositions import counts_of, store_compositions
from agd.steps.data.known import filter_among, filter_of
from agd.steps.data.pools import Pool, open_pool
from agd.steps.data.properties import converted
from agd.steps.models import plugin_options
from agd.steps.models.predicting import answering
from agd.steps.models.training import Recipe, Trained, look_up, of_record, train_by_hand
from agd.steps.screening.funnel import Criteria, Funnel, Hits, ScreenerAtWork
from agd.target import Target
from agd.units import factor
from agd.views import Hit, Screened, ScreeningWithHits, of_row, of_rows
from agd.work.leases import performed
from agd.work.workspace import Workspace

Role: TypeAlias = Literal["baseline", "al", "model"]

LABELS: Mapping[Role, Labels] = {"baseline": "initial", "al": "al"}
"""What the screener of a role learns from; a model that was asked for has learned."""

HELD_OUT = 0.1
"""Share of a screener's labels that it is measured on."""

N_TREES = 200
"""Trees of a screener that is a forest, where nobody says how many."""

Watch: TypeAlias = Callable[[str], AbstractContextManager[Progress]]
"""Opens the reporting of one long computation by its title."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the screeners of a screening answer, in which unit; `who` begins an error."""

    property: str
    unit: str
    who: str


@dataclass(frozen=True, slots=True)
class ScreenerChoice:
    """How screeners are made: an oracle's plug-in, its options as `key=value`, seed, share held out.

    With `threads` None they are those of the campaign. `also` names campaigns whose own labels the screener with the
    campaign's own learns from besides.
    """

    kind: str = "random_forest"
    options: Sequence[str] = ()
    seed: int = 0
    held_out: float = HELD_OUT
    threads: int | None = None
    also: Sequence[str] = ()

    def as_request(self) -> dict[str, Any]:
        """The choice in plain values of JSON; what is younger is left out where it asks nothing."""
        return {key: value for key, value in asdict(self).items() if key != "also" or value}

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> Self:
        """The choice that plain values of JSON stand for."""
        lists = {key: tuple(request.get(key, ())) for key in ("options", "also")}
        return cls(**{**request, **lists})

    def recipe(self, campaign: Campaign) -> Recipe:
        """The recipe of the campaign's screeners; they know the same least value as the campaign's oracle."""
        known = plugin_options.shared(campaign.spec.oracle.options(), {"minimum"})
        defaults = {"n_trees": N_TREES, **known}
        chosen = plugin_options.parse("agd.oracles", self.kind, self.options, defaults)
        threads = campaign.spec.threads if self.threads is None else self.threads
        return Recipe("screener", self.kind, campaign.spec.target.property, chosen, self.seed, threads)


@dataclass(frozen=True, slots=True)
class ScreeningPlan:
    """A screening that is asked for: the campaign whose labels judge, the pool, the screeners, and what is picked.

    `pool` is a file or a dataset. With `target` None it is the campaign's. `model`, by its id or the beginning of its
    file's hash, screens in the place of the campaign's screeners; then `campaign` may be None. For the other rules see
    Criteria; counts are those of the reduced formula, None or False asks nothing.

    Raises:
        InputError: there is neither a campaign nor a model, or the campaign's own filter is asked for without one.
    """

    campaign: str | None
    pool: str
    roles: tuple[Role, ...] = ("baseline", "al")
    choice: ScreenerChoice = ScreenerChoice()
    target: str | None = None
    sigma: float = 0.0
    max_elements: int | None = PUBLISHED_TRIMS.max_elements
    max_atoms: int | None = PUBLISHED_TRIMS.max_atoms
    max_count: int | None = PUBLISHED_TRIMS.max_count
    is_valid: bool = True
    is_novel: bool = True
    limit: int | None = None
    formula_column: str | None = None
    is_filtered: bool = False
    filter: FilterOptions = NOTHING
    model: str | None = None

    def __post_init__(self) -> None:
        if self.model is not None:
            object.__setattr__(self, "roles", ("model",))
        elif self.campaign is None:
            raise InputError(
                "name the campaign whose labels judge, or a model that does: --model ID (see `agd models`)"
            )
        if self.campaign is None and self.is_filtered:
            raise InputError("--filtered: there is no campaign whose filter is meant: say --filter KEY=VALUE")

    def as_request(self) -> dict[str, Any]:
        """The plan in plain values of JSON; what is younger than the others is left out where it asks nothing."""
        younger = {"filter": self.filter.given(), "model": self.model}
        asked = {key: value for key, value in asdict(self).items() if key not in younger}
        asked["choice"] = self.choice.as_request()
        return asked | {key: value for key, value in younger.items() if value}

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> Self:
        """The plan that such values stand for."""
        choice = ScreenerChoice.of_request(request["choice"])
        rule = FilterOptions.model_validate(request.get("filter", {}))
        return cls(**{**request, "roles": tuple(request["roles"]), "choice": choice, "filter": rule})

    def criteria(self, target: Target) -> Criteria:
        """What a composition must be to be picked."""
        return Criteria(
            target,
            sigma=self.sigma,
            max_elements=self.max_elements,
            max_atoms=self.max_atoms,
            max_count=self.max_count,
            is_valid=self.is_valid,
            is_novel=self.is_novel,
            limit=self.limit,
            is_filtered=self.is_filtered,
            filter=self.filter,
        )


def train_screener(
    workspace: Workspace,
    campaign: Campaign,
    labels: Labels,
    choice: ScreenerChoice,
    progress: Progress = silent,
    *,
    dry_run: bool = False,
) -> Trained:
    """The screener of a campaign that learned from these labels, trained where it is not there yet."""
    recipe = choice.recipe(campaign)
    with workspace.database.read() as tx:
        parts = of_campaign(tx, campaign, labels, share=choice.held_out, seed=choice.seed, also=choice.also)
    return look_up(workspace, recipe, parts) if dry_run else train_by_hand(workspace, recipe, parts, progress)


def train_role(workspace: Workspace, name: str, role: Role, choice: ScreenerChoice) -> Trained:
    """The screener of a role of the campaign of that name, trained where it is not there yet."""
    return train_screener(workspace, as_campaign(campaign_row(workspace, name)), LABELS[role], choice)


def target_of(campaign: Campaign | None, text: str | None, answered: Answered) -> Target:
    """The target that was asked for, the campaign's where none was; raises InputError for another property or unit."""
    if text is None and campaign is None:
        raise InputError(
            f"--target: needed without a campaign, for instance --target '{answered.property} > 5 {answered.unit}'"
        )
    try:
        chosen = campaign.spec.target if text is None and campaign is not None else Target.parse(text or "")
    except ValueError as error:
        raise InputError(f"--target: {error}") from None
    if chosen.property == answered.property and (by := factor(chosen.unit, answered.unit)) is not None:
        return chosen if chosen.unit == answered.unit else converted(chosen, answered.unit, by)
    if (chosen.property, chosen.unit) != (answered.property, answered.unit):
        raise InputError(f"--target {chosen.text!r}: {answered.who} {answered.property} in {answered.unit}")
    return chosen


def title_of(pool: str, campaign: Campaign | None, screener: Trained) -> str:
    """What a person reads of a screening that is due."""
    by = f"{screener.recipe.plugin} {(screener.tensors_sha256 or '')[:12]}"
    return f"screen {pool} by {by}" if campaign is None else f"{campaign.name}: screen {pool}"


def screen(
    workspace: Workspace,
    plan: ScreeningPlan,
    *,
    n_top: int = 20,
    watch: Watch = lambda _: nullcontext(silent),
    dry_run: bool = False,
    trained: Mapping[Role, Trained] | None = None,
) -> Screened:
    """Screen a pool by the screener of each role, or by the plan's model, and say what was left at each stage.

    `trained` are model versions to take for the screeners of their roles. Others are
    trained where they are missing; a screening that is there is not repeated. Stages and hits of all roles are stored
    in one transaction; only hits become compositions of the record.

    Raises:
        NotFoundError: no such campaign, pool, model or plug-in.
        InputError: the pool cannot be read, or an option makes no sense.
    """
    row = None if plan.campaign is None else campaign_row(workspace, plan.campaign)
    campaign = None if row is None else as_campaign(row)
    given, answered = _models(workspace, plan, campaign, trained or {})
    criteria = plan.criteria(target_of(campaign, plan.target, answered))
    with workspace.database.read() as tx:
        _further(tx, campaign, criteria, given.get("model"))  # a filter that cannot be is told before, as is an option
    if campaign is not None and plan.model is None:
        plan.choice.recipe(campaign)
    with open_pool(workspace, plan.pool, plan.formula_column) as pool:
        screeners = {
            role: given.get(role) or _screener(workspace, campaign, role, plan.choice, watch, dry_run=dry_run)
            for role in plan.roles
        }
        spec_sha256 = None if row is None else row.spec_sha256
        recipes = {role: _sha256(spec_sha256, role, screeners[role], pool, criteria) for role in plan.roles}
        with workspace.database.read() as tx:
            there = {role: screenings.find(tx, recipe) is not None for role, recipe in recipes.items()}
        missing = [role for role in plan.roles if not there[role]]
        n_read: int | None = None
        started = time.monotonic()
        if missing and not dry_run:
            with watch("screen") as progress:
                n_read = _screen(
                    workspace, campaign, pool, criteria, {r: screeners[r] for r in missing}, recipes, progress
                )
            there = there if n_read is not None else dict.fromkeys(there, True)
        n_read = n_read or 0
        seconds = time.monotonic() - started
        found, n_shared = _described(workspace, recipes, n_top)
    return Screened(
        campaign=plan.campaign,
        pool=pool.source,
        pool_sha256=pool.source_sha256,
        criteria=criteria.as_json(pool.formula_column),
        property=criteria.target.property,
        unit=criteria.target.unit,
        unasked=[] if campaign is None else _unasked(campaign, criteria.target),
        screeners={role: screener.view() for role, screener in screeners.items()},
        was_there={role: there[role] for role in plan.roles},
        screenings=found,
        n_shared=n_shared,
        n_read=n_read,
        seconds=round(seconds, 2) if n_read else None,
        formulas_per_s=round(n_read / seconds, 1) if n_read else None,
        dry_run=dry_run,
    )


def _models(
    workspace: Workspace, plan: ScreeningPlan, campaign: Campaign | None, given: Mapping[Role, Trained]
) -> tuple[Mapping[Role, Trained], Answered]:
    """The models that are there for roles, and what all screeners of the plan answer."""
    if plan.model is None:
        assert campaign is not None  # noqa: S101  a plan has one or the other
        own = campaign.spec.target
        return given, Answered(own.property, own.unit, f"the screeners of {campaign.name!r} answer")
    with workspace.database.read() as tx:
        version = answering(tx, plan.model)
        known = datasets.property_of(tx, version.property)
        unit = "" if known is None else known.unit
        return {"model": of_record(tx, version)}, Answered(version.property, unit, f"model {plan.model} answers")


def _unasked(campaign: Campaign, asked: Target) -> list[str]:
    """Targets of the campaign of other properties than what screeners are asked about."""
    return [one.text for one in campaign.spec.targets if one.property != asked.property]


def _screener(
    workspace: Workspace, campaign: Campaign | None, role: Role, choice: ScreenerChoice, watch: Watch, *, dry_run: bool
) -> Trained:
    assert campaign is not None  # noqa: S101  without one a model is given
    if dry_run:
        return train_screener(workspace, campaign, LABELS[role], choice, dry_run=True)
    with watch(f"train {role} screener") as progress:
        return train_screener(workspace, campaign, LABELS[role], choice, progress)


def _sha256(spec_sha256: str | None, role: Role, screener: Trained, pool: Pool, criteria: Criteria) -> str:
    """What a screening is known by: its campaign too, since two may share a screener; bounds, not their spelling."""
    asked = {key: value for key, value in criteria.as_json(pool.formula_column).items() if key != "target"}
    parts = [spec_sha256, role, screener.recipe_sha256, screener.tensors_sha256, pool.key, asked]
    recipe = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(recipe.encode()).hexdigest()


def _screen(
    workspace: Workspace,
    campaign: Campaign | None,
    pool: Pool,
    criteria: Criteria,
    screeners: Mapping[Role, Trained],
    recipes: Mapping[Role, str],
    progress: Progress,
) -> int | None:
    """Read the pool, let the screeners pick, store; how many rows were read, None where others did it meanwhile."""
    threads = 1 if campaign is None else campaign.spec.threads
    key = jobs.key_of("screen", *(recipes[role] for role in screeners))
    title = title_of(pool.source, campaign, next(iter(screeners.values())))
    new = jobs.NewJob("screen", title, key, None if campaign is None else campaign.id)
    with performed(workspace, new, threads=threads) as activity_id:
        if activity_id is None:
            return None
        with limited_threads(threads):
            at_work: dict[str, ScreenerAtWork] = {
                role: _at_work(workspace, screener) for role, screener in screeners.items()
            }
            with workspace.database.read() as tx:
                own = Filter() if campaign is None else filter_of(campaign.spec.filter, reference(tx, campaign))
                further = _further(tx, campaign, criteria, screeners.get("model"))
            funnel = Funnel(criteria, at_work, own, further)
            for chunk in pool.chunks(criteria.limit):
                funnel.take(chunk)
                progress(chunk.done, chunk.total, f"{funnel.n_read:,} formulas read")
        with workspace.database.transaction() as tx:
            for role, screener in screeners.items():
                values = {
                    "campaign_id": None if campaign is None else campaign.id,
                    "role": role,
                    "model_version_id": screener.model_version_id,
                    "dataset_id": pool.dataset_id,
                    "source": pool.source,
                    "source_sha256": pool.source_sha256,
                    "criteria": criteria.as_json(pool.formula_column),
                    "recipe_sha256": recipes[role],
                    "activity_id": activity_id,
                }
                screening_id = screenings.store(tx, values)
                if screening_id is not None:
                    stages.store(tx, activity_id, funnel.stages(role), role)
                    _store_hits(tx, screening_id, at_work[role].hits, criteria.target, activity_id)
            stages.store_refused(tx, activity_id, funnel.refused.rows())
            activities.finish(tx, activity_id)
    return funnel.n_read


def _further(tx: Transaction, campaign: Campaign | None, criteria: Criteria, model: Trained | None) -> Filter:
    """The filter that was asked for besides the campaign's own.

    Known is what the campaign takes for known, or the datasets that the model was trained on; raises as filter_among.
    """
    if campaign is not None:
        return filter_among(tx, criteria.filter, known_datasets.of(tx, campaign.id), f"campaign {campaign.name!r}")
    assert model is not None  # noqa: S101  a plan has one or the other
    version = models.find_model(tx, model_version_id=model.model_version_id)
    assert version is not None  # noqa: S101  a model version is never deleted
    recipes = known_datasets.of_training_set(tx, version.training_set_id)
    return filter_among(tx, criteria.filter, recipes, f"model {version.id}")


def _at_work(workspace: Workspace, trained: Trained) -> ScreenerAtWork:
    assert trained.model_version_id is not None  # noqa: S101  trained before
    with workspace.database.read() as tx:
        row = models.find_model(tx, model_version_id=trained.model_version_id)
        assert row is not None  # noqa: S101  a model version is never deleted
        members = models.members_of(tx, row.training_set_id)
    known = Seen()
    known.add(counts_of([member.reduced_formula for member in members]))
    return ScreenerAtWork(workspace.oracle(trained.model_version_id), known)


def _store_hits(tx: Transaction, screening_id: int, hits: Hits, target: Target, activity_id: int) -> None:
    """Store the hits in their order: the farthest inside the target first, then by formula."""
    if not hits.lines:
        return
    named = identify(np.concatenate(hits.counts))
    ids = store_compositions(tx, named, activity_id).tolist()
    depths = target.depth(np.array(hits.values)).tolist()
    order = sorted(range(len(ids)), key=lambda i: (-depths[i], named.reduced_formula[i]))
    rows = ((ids[i], hits.lines[i], hits.spellings[i], hits.values[i], hits.uncertainties[i]) for i in order)
    screenings.store_hits(tx, screening_id, rows)


def _described(
    workspace: Workspace, recipes: Mapping[Role, str], n_top: int
) -> tuple[list[ScreeningWithHits], int | None]:
    """The screenings of these recipes as the record has them, and how many hits two of them share."""
    with workspace.database.read() as tx:
        found = {role: i for role, recipe in recipes.items() if (i := screenings.find(tx, recipe)) is not None}
        rows = {row.screening_id: row for row in screenings.overview(tx, screening_ids=list(found.values()))}
        described = []
        for role, screening_id in found.items():
            other = next((i for r, i in found.items() if r != role), None)
            stages = screenings.stages(tx, screening_id)
            top = of_rows(Hit, screenings.top_hits(tx, screening_id, n_top, other))
            described.append(of_row(ScreeningWithHits, rows[screening_id], stages=stages, top=top))
        n_shared = screenings.n_shared(tx, *found.values()) if len(found) > 1 else None
    return described, n_shared
