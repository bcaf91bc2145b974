"""Opening a campaign: the specification becomes a row, and the rows it starts from and learns from are pinned."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import agd
from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.db.connection import AnyRow, Transaction
from agd.db.record import (
    activities,
    campaigns,
    datasets,
    generations,
    known_datasets,
    models,
    properties,
)
from agd.db.record.models import Part
from agd.errors import BusyError, InputError, NotFoundError, SpecChangedError, SpecError
from agd.protocols import CandidateOptions
from agd.seeds import derive_seed
from agd.spec import (
    AutoencoderSpec,
    CampaignSpec,
    Goal,
    ResolvedSpec,
    control,
    controls,
    differences,
    hash_of,
    with_options,
)
from agd.steps.campaign.campaigns import Campaign, as_campaign, campaign_row, refuse_former_name
from agd.steps.campaign.extending import keep_up
from agd.steps.campaign.trust import check_trust
from agd.steps.data.properties import in_kept_units
from agd.steps.data.tabular import read_formulas
from agd.steps.models import training_sets
from agd.steps.models.predicting import teller
from agd.target import Target
from agd.views import RunPlan
from agd.work.leases import recorded
from agd.work.workspace import Workspace

_LEAST_INITIAL = 2
"""Rows that span a box."""


@dataclass(frozen=True, slots=True)
class _Sets:
    """The rows of each role, the dataset that the sampler draws from, if it does, and those of what is known."""

    parts: dict[str, Part]
    pool: AnyRow | None
    known: Sequence[AnyRow]

    def n(self, role: str) -> int:
        """How many rows a role has; none where nobody learns or answers from any."""
        return len(self.parts[role].members) if role in self.parts else 0


def open_campaign(workspace: Workspace, resolved: ResolvedSpec) -> Campaign:
    """The campaign of this specification, made where it is not there yet.

    Raises:
        SpecChangedError: the name belongs to another specification, or to another major version of agd.
        SpecError: the specification names a dataset, a property or a row that is not there.
    """
    with workspace.database.read() as tx:
        resolved = in_kept_units(tx, resolved)
        spec = resolved.spec
        there = campaigns.find(tx, spec.name)
    if there is None:
        with workspace.database.read() as tx:
            refuse_former_name(tx, spec.name, resolved.place("name"))
            sets = _resolve_sets(tx, resolved)
        with recorded(workspace, "open", seed=spec.seed) as activity_id, workspace.database.transaction() as tx:
            if not _store(tx, resolved, sets, activity_id):
                raise BusyError(f"another process has just opened campaign {spec.name!r}: run the command again")
            activities.finish(tx, activity_id)
        with workspace.database.read() as tx:
            there = campaigns.find(tx, spec.name)
    assert there is not None  # noqa: S101  stored above
    if there.spec_sha256 != resolved.sha256 and (changed := "; ".join(_changes(there, resolved))):
        larger = "" if "budget.oracle_calls" not in changed else f"; more calls are given by `agd extend {spec.name}`"
        raise SpecChangedError(
            f"campaign {spec.name!r} was opened with another specification ({changed}): give this one another name, "
            f"or go on with the stored one by `agd resume {spec.name}`{larger}"
        )
    return _of_this_version(there)


def open_controls(workspace: Workspace, campaign: Campaign) -> list[Campaign]:
    """The campaign's controls, which spend the same budget without learning; made where they are not there yet.

    A control starts from the rows of the campaign's own sets, and asks the same models. Where the campaign was
    extended, its controls are, too.

    Raises:
        SpecError: the campaign is a control itself, or a control's name is taken or too long.
    """
    with workspace.database.read() as tx:
        row = campaigns.find(tx, campaign.name)
    assert row is not None  # noqa: S101  campaigns are never removed
    if row.twin_of_id is not None:
        raise SpecError(f"campaign {campaign.name!r} is a control itself")
    return [_open_control(workspace, row, kind) for kind in controls(row.spec)]


def _open_control(workspace: Workspace, of: AnyRow, kind: str) -> Campaign:
    content = control(of.spec, kind)
    name, digest = str(content["name"]), hash_of(content)
    with workspace.database.read() as tx:
        there = campaigns.find(tx, name)
        sets, known = campaigns.sets_of(tx, of.id), known_datasets.of(tx, of.id)
        pool_id = campaigns.pool_of(tx, of.id) if "pool" in content["sampler"] else None
    if there is None:
        copied = ("seed", "mode", "property", "target_low", "target_high", "budget_calls")
        values = {
            "name": name,
            "spec_sha256": digest,
            "spec": content,
            "spec_text": f"# A control: as below, but named {name!r} and with sampler {kind!r}.\n{of.spec_text}",
            "twin_of_id": of.id,
            "agd_version": agd.__version__,
            **{column: getattr(of, column) for column in copied},
        }
        with recorded(workspace, "open", seed=of.seed) as activity_id, workspace.database.transaction() as tx:
            campaign_id = campaigns.store(tx, values)
            if campaign_id is None:
                raise BusyError(f"another process has just opened campaign {name!r}: run the command again")
            _store_targets(tx, campaign_id, CampaignSpec.model_validate_json(json.dumps(content)), activity_id)
            for role, training_set_id in sets.items():
                campaigns.store_set(tx, campaign_id, role, training_set_id, activity_id)
            known_datasets.store(tx, campaign_id, list(known), activity_id)
            if pool_id is not None:
                campaigns.store_pool(tx, campaign_id, pool_id, activity_id)
            activities.finish(tx, activity_id)
        with workspace.database.read() as tx:
            there = campaigns.find(tx, name)
    assert there is not None  # noqa: S101  stored above
    if there.twin_of_id != of.id or there.spec_sha256 != digest:
        raise SpecError(f"the name of the control, {name!r}, belongs to another campaign: rename the specification")
    keep_up(workspace, there, of)
    return reopen_campaign(workspace, name)


def reopen_campaign(workspace: Workspace, name: str) -> Campaign:
    """The campaign of that name, to go on with its stored specification.

    Raises:
        NotFoundError: there is none.
        SpecChangedError: it was opened with another major version of agd.
    """
    return _of_this_version(campaign_row(workspace, name))


def _changes(there: AnyRow, resolved: ResolvedSpec) -> list[str]:
    """How a campaign's specification differs from the one given, keys filled in that are younger than the campaign.

    The text that it was opened with, whose files are as they were, is the same whatever the defaults are today. The
    budget may be that of the beginning or what it was extended to.
    """
    stored, given = there.spec, resolved.content
    if there.spec_text == resolved.text and _files(stored) == _files(given):
        return []
    filled = with_options(CampaignSpec.model_validate_json(json.dumps(stored)))
    is_default = given["oracle"].get("minimum", 0.0) is None
    if is_default and "out_of_fold" not in stored["oracle"]:  # 0.0 was the default of every property in revision 0001
        filled["oracle"]["minimum"] = None
    if given["budget"]["oracle_calls"] == there.oracle_calls:
        filled["budget"]["oracle_calls"] = there.oracle_calls
    return differences(filled, given)


def _files(content: Mapping[str, Any]) -> list[Any]:
    """The files that a resolved specification names, by their hashes."""
    further = content.get("oracles", {}).values()
    return [content["initial"]["file"], *content["oracle"]["exclude"], *(one["exclude"] for one in further)]


def plan(workspace: Workspace, resolved: ResolvedSpec) -> RunPlan:
    """What running the specification would do, by the same rules, with nothing stored."""
    with workspace.database.read() as tx:
        resolved = in_kept_units(tx, resolved)
        spec = resolved.spec
        there = campaigns.find(tx, spec.name)
        sets = _resolve_sets(tx, resolved)
        spent = campaigns.n_calls(tx, there.id) if there is not None else 0
    return RunPlan(
        campaign=spec.name,
        mode=spec.mode,
        target=spec.sought(),
        is_open_already=there is not None,
        is_unchanged=there is None or not _changes(there, resolved),
        dataset=spec.data.dataset,
        initial_rows=sets.n("initial"),
        autoencoder=None if spec.autoencoder is None else spec.autoencoder.kind,
        corpus=spec.corpus(),
        corpus_rows=sets.n("autoencoder"),
        oracle=spec.oracle.kind,
        oracle_rows=sets.n("oracle"),
        sampler=spec.sampler.kind,
        pool=None if sets.pool is None else sets.pool.name,
        oracle_calls_left=(spec.budget.oracle_calls if there is None else there.oracle_calls) - spent,
        spec_sha256=resolved.sha256,
        further_oracles={
            goal.target.property: f"{goal.oracle.kind}, {sets.n(goal.role):,} rows of {goal.dataset}"
            for goal in spec.goals[1:]
        },
    )


def _of_this_version(row: AnyRow) -> Campaign:
    """Refuse a campaign of another major version: its steps may mean something else by now."""
    major = row.agd_version.split(".")[0]
    if major != agd.__version__.split(".")[0]:
        raise SpecChangedError(
            f"campaign {row.name!r} was opened with agd {row.agd_version}, this is {agd.__version__}: resume it with "
            f"agd {major}.x (in a clone: `git checkout v{row.agd_version}`), or open another campaign"
        )
    return as_campaign(row)


def _store(tx: Transaction, resolved: ResolvedSpec, sets: _Sets, activity_id: int) -> bool:
    """Whether the campaign was stored, or its name was taken meanwhile."""
    spec = resolved.spec
    campaign_id = campaigns.store(
        tx,
        {
            "name": spec.name,
            "spec_sha256": resolved.sha256,
            "spec": resolved.content,
            "spec_text": resolved.text,
            "seed": spec.seed,
            "mode": spec.mode,
            "property": spec.target.property,
            "target_low": spec.target.low,
            "target_high": spec.target.high,
            "budget_calls": spec.budget.oracle_calls,
            "agd_version": agd.__version__,
        },
    )
    if campaign_id is None:
        return False
    _store_targets(tx, campaign_id, spec, activity_id)
    for role, part in sets.parts.items():
        training_set_id = models.store_parts(tx, [part], activity_id)
        campaigns.store_set(tx, campaign_id, role, training_set_id, activity_id)
    known_datasets.store(tx, campaign_id, [row.id for row in sets.known], activity_id)
    if sets.pool is not None:
        campaigns.store_pool(tx, campaign_id, sets.pool.id, activity_id)
    return True


def _resolve_sets(tx: Transaction, resolved: ResolvedSpec) -> _Sets:
    spec = resolved.spec
    dataset = _dataset(tx, resolved, ("data", "dataset"), spec.data.dataset)
    corpus_name = spec.corpus()
    corpus = None if corpus_name is None else _dataset(tx, resolved, ("autoencoder", "corpus"), corpus_name)
    known = [_dataset(tx, resolved, ("data", "known"), name) for name in spec.known()]
    check_trust(tx, resolved)
    for goal in spec.goals:
        if goal.oracle.with_answers_of is not None and goal.oracle.answerer.is_model:
            place = resolved.place(*goal.section, "with_answers_of")
            teller(tx, goal.oracle.with_answers_of, goal.oracle.kind, place)
    pool = None if spec.sampler.pool is None else _pool(tx, resolved, spec.sampler.pool)
    answering = [
        (goal, _dataset(tx, resolved, (*goal.section, "dataset"), goal.dataset))
        for goal in spec.goals
        if goal.oracle.answerer.has_dataset
    ]
    _check_holds(resolved, ("data", "dataset"), dataset, spec.target)
    for goal, row in answering:
        _check_holds(resolved, (*goal.section, "dataset"), row, goal.target)
    used = (dataset, *(row for _, row in answering), *([] if corpus is None else [corpus]))
    rows = {row.id: datasets.rows_of(tx, row.id) for row in used}
    labelled = {key: [row for row in all_rows if row.label_id is not None] for key, all_rows in rows.items()}
    initial = training_sets.part(dataset, _initial_rows(resolved, dataset, labelled[dataset.id]))
    parts = {"initial": initial}
    for goal, row in answering:
        parts[goal.role] = _oracle_part(resolved, goal, row, labelled[row.id], initial)
        if goal.position > 1 and (told := _among(labelled[row.id], initial)):
            parts[goal.initial_role] = training_sets.part(row, told)
    if corpus is not None and spec.autoencoder is not None:
        parts["autoencoder"] = _corpus_part(resolved, spec.autoencoder, corpus, rows[corpus.id])
    return _Sets(parts, pool, known)


def _store_targets(tx: Transaction, campaign_id: int, spec: CampaignSpec, activity_id: int) -> None:
    """Store the targets that the campaign's row has no place for."""
    further = [goal for goal in spec.goals if goal.position > 1]
    rows = [(goal.position, goal.target.property, goal.target.low, goal.target.high) for goal in further]
    properties.store_targets(tx, campaign_id, rows, activity_id)


def _check_holds(resolved: ResolvedSpec, key: Sequence[str], dataset: AnyRow, target: Target) -> None:
    if dataset.property != target.property:
        held = f"values of {dataset.property}" if dataset.property else "formulas alone"
        raise SpecError(f"{resolved.place(*key)}: dataset {dataset.name!r} holds {held}, the target is {target}")


def _dataset(tx: Transaction, resolved: ResolvedSpec, key: Sequence[str], name: str) -> AnyRow:
    try:
        return training_sets.find_dataset(tx, name)
    except NotFoundError as error:
        raise NotFoundError(f"{resolved.place(*key)}: {error}") from error


def _pool(tx: Transaction, resolved: ResolvedSpec, name: str) -> AnyRow:
    pool, sampler = _dataset(tx, resolved, ("sampler", "pool"), name), resolved.spec.sampler
    options = sampler.options()
    if isinstance(options, CandidateOptions) and options.pool_is_generated and not generations.overview(tx, pool.name):
        raise SpecError(
            f"{resolved.place('sampler', 'pool')}: dataset {name!r} is no generation, and sampler {sampler.kind!r}"
            ' draws from one: name one that `agd generate` made (see `agd generations`), or take kind "retrieval"'
        )
    return pool


def _initial_rows(resolved: ResolvedSpec, dataset: AnyRow, rows: Sequence[AnyRow]) -> list[AnyRow]:
    rule, fits = resolved.spec.initial, resolved.spec.fits_latents
    if rule.file is not None:
        path = resolved.folder / rule.file
        by_formula = {row.reduced_formula: row for row in rows}
        wanted = _formulas_of(path, rule.formula_column)
        for formula, line in wanted.items():
            if formula not in by_formula:
                raise InputError(f"{path}:{line}: {formula} is not in dataset {dataset.name!r}, so it has no label")
        chosen = [by_formula[formula] for formula in sorted(wanted)]
        if len(training_sets.inside(chosen, fits)) < _LEAST_INITIAL:
            encoded = "" if resolved.spec.autoencoder is None else " that can be encoded"
            raise SpecError(f"{resolved.place('initial', 'file')}: the search needs two rows or more{encoded}")
    else:
        pool = [row for row in training_sets.inside(rows, fits) if rule.at_most is None or row.value <= rule.at_most]
        n = rule.n or 0
        if len(pool) < n:
            raise SpecError(
                f"{resolved.place('initial', 'n')}: {n} rows wanted, {len(pool)} of {dataset.name!r} fit the rule"
            )
        picked = np.random.default_rng(rule.seed).choice(len(pool), size=n, replace=False)
        chosen = [pool[i] for i in np.sort(picked)]
    return chosen


def _among(rows: Sequence[AnyRow], initial: Part) -> list[AnyRow]:
    """The rows whose compositions the campaign starts from."""
    started = {member.composition_id for member in initial.members}
    return [row for row in rows if row.composition_id in started]


def _oracle_part(resolved: ResolvedSpec, goal: Goal, dataset: AnyRow, rows: Sequence[AnyRow], initial: Part) -> Part:
    rule = goal.oracle
    learns = rule.answerer.is_model
    excluded = {member.reduced_formula for member in initial.members} if learns and rule.exclude_initial else set()
    for file in rule.exclude:
        excluded |= _formulas_of(resolved.folder / file, rule.formula_column).keys()
    left = [row for row in rows if row.reduced_formula not in excluded]
    if not left:
        raise SpecError(f"{resolved.place(*goal.section)}: no row is left after the exclusions")
    share = rule.held_out if learns else 0.0
    return training_sets.part(dataset, left, share=share, seed=derive_seed(rule.seed, "oracle"))


def _corpus_part(resolved: ResolvedSpec, rule: AutoencoderSpec, dataset: AnyRow, rows: Sequence[AnyRow]) -> Part:
    kept = training_sets.inside(rows, rule.is_representable)
    if not kept:
        place = resolved.place("autoencoder", "corpus")
        raise SpecError(f"{place}: no formula of {dataset.name!r} is within the autoencoder's vocabulary")
    seed = derive_seed(rule.seed, "autoencoder")
    return training_sets.part(dataset, kept, share=rule.held_out, seed=seed, has_labels=False)


def _formulas_of(path: Path, column: str) -> dict[str, int]:
    """Reduced formula -> line, of a file that lists compositions."""
    rows = read_formulas(path, column)
    counts, problems = parse_formulas([row.formula for row in rows])
    for problem in problems:
        raise InputError(f"{path}:{rows[problem.index].line}: {problem.message}")
    return dict(zip(identify(counts).reduced_formula, (row.line for row in rows), strict=True))
