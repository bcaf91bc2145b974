"""Opening a campaign: the specification becomes a row, and the rows it starts from and learns from are pinned."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import agd
from agd import registry
from agd.chem.formula import parse_formulas
from agd.chem.identity import identify
from agd.db import activities, campaigns, datasets, models
from agd.db.connection import AnyRow, Transaction
from agd.db.models import Member
from agd.errors import BusyError, InputError, NotFoundError, SpecChangedError, SpecError
from agd.spec import CONTROLS, EXTERNAL, TABLE, CampaignSpec, ResolvedSpec, control, differences, hash_of, with_options
from agd.steps.drawing import find_dataset, held_out
from agd.steps.tabular import read_formulas
from agd.steps.workspace import Campaign, Workspace, as_campaign, campaign_row, counts_of, derive_seed, recorded
from agd.views import RunPlan

_LEAST_INITIAL = 2
"""Rows that span a box."""


@dataclass(frozen=True, slots=True)
class _Sets:
    """The rows of each role, and the datasets they come from; no oracle rows where the answers come from outside.

    `pool` is the dataset that the sampler draws from, if it does.
    """

    initial: list[Member]
    oracle: list[Member]
    autoencoder: list[Member]
    dataset: AnyRow
    oracle_dataset: AnyRow | None
    corpus: AnyRow
    pool: AnyRow | None


def open_campaign(workspace: Workspace, resolved: ResolvedSpec) -> Campaign:
    """The campaign of this specification, made where it is not there yet.

    Raises:
        SpecChangedError: the name belongs to another specification, or to another major version of agd.
        SpecError: the specification names a dataset, a property or a row that is not there.
    """
    spec = resolved.spec
    with workspace.database.read() as tx:
        there = campaigns.find(tx, spec.name)
    if there is None:
        with workspace.database.read() as tx:
            sets = _resolve_sets(tx, resolved)
        with recorded(workspace, "open", seed=spec.seed) as activity_id, workspace.database.transaction() as tx:
            if not _store(tx, resolved, sets, activity_id):
                raise BusyError(f"another process has just opened campaign {spec.name!r}: run the command again")
            activities.finish(tx, activity_id)
        with workspace.database.read() as tx:
            there = campaigns.find(tx, spec.name)
    assert there is not None  # noqa: S101  stored above
    if there.spec_sha256 != resolved.sha256 and (changed := "; ".join(_changes(there.spec, resolved.content))):
        raise SpecChangedError(
            f"campaign {spec.name!r} was opened with another specification ({changed}): give this one another name, "
            f"or go on with the stored one by `agd resume {spec.name}`"
        )
    return _of_this_version(there)


def open_controls(workspace: Workspace, campaign: Campaign) -> list[Campaign]:
    """The campaign's controls, which spend the same budget without learning; made where they are not there yet.

    A control starts from the rows of the campaign's own sets, and asks the same models.

    Raises:
        SpecError: the campaign is a control itself, or a control's name is taken or too long.
    """
    with workspace.database.read() as tx:
        row = campaigns.find(tx, campaign.name)
    assert row is not None  # noqa: S101  campaigns are never removed
    if row.twin_of_id is not None:
        raise SpecError(f"campaign {campaign.name!r} is a control itself")
    return [_open_control(workspace, row, kind) for kind in CONTROLS]


def _open_control(workspace: Workspace, of: AnyRow, kind: str) -> Campaign:
    content = control(of.spec, kind)
    name, digest = str(content["name"]), hash_of(content)
    with workspace.database.read() as tx:
        there = campaigns.find(tx, name)
        sets = campaigns.sets_of(tx, of.id)
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
            for role, training_set_id in sets.items():
                campaigns.store_set(tx, campaign_id, role, training_set_id, activity_id)
            activities.finish(tx, activity_id)
        with workspace.database.read() as tx:
            there = campaigns.find(tx, name)
    assert there is not None  # noqa: S101  stored above
    if there.twin_of_id != of.id or there.spec_sha256 != digest:
        raise SpecError(f"the name of the control, {name!r}, belongs to another campaign: rename the specification")
    return _of_this_version(there)


def reopen_campaign(workspace: Workspace, name: str) -> Campaign:
    """The campaign of that name, to go on with its stored specification.

    Raises:
        NotFoundError: there is none.
        SpecChangedError: it was opened with another major version of agd.
    """
    return _of_this_version(campaign_row(workspace, name))


def _changes(stored: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """How two resolved specifications differ, the defaults of keys filled in that are younger than the stored one."""
    filled = with_options(CampaignSpec.model_validate_json(json.dumps(stored)))
    is_default = given["oracle"].get("minimum", 0.0) is None
    if is_default and "out_of_fold" not in stored["oracle"]:  # 0.0 was the default of every property in revision 0001
        filled["oracle"]["minimum"] = None
    return differences(filled, given)


def plan(workspace: Workspace, resolved: ResolvedSpec) -> RunPlan:
    """What running the specification would do, by the same rules, with nothing stored."""
    spec = resolved.spec
    with workspace.database.read() as tx:
        there = campaigns.find(tx, spec.name)
        sets = _resolve_sets(tx, resolved)
        spent = campaigns.n_calls(tx, there.id, spec.mode) if there is not None else 0
    return RunPlan(
        campaign=spec.name,
        mode=spec.mode,
        target=str(spec.target),
        is_open_already=there is not None,
        is_unchanged=there is None or not _changes(there.spec, resolved.content),
        dataset=spec.data.dataset,
        initial_rows=len(sets.initial),
        autoencoder=spec.autoencoder.kind,
        corpus=spec.corpus(),
        corpus_rows=len(sets.autoencoder),
        oracle=spec.oracle.kind,
        oracle_rows=len(sets.oracle),
        sampler=spec.sampler.kind,
        pool=None if sets.pool is None else sets.pool.name,
        oracle_calls_left=spec.budget.oracle_calls - spent,
        spec_sha256=resolved.sha256,
    )


def _of_this_version(row: AnyRow) -> Campaign:
    """Refuse a campaign of another major version: its steps may mean something else by now."""
    major = row.agd_version.split(".")[0]
    if major != agd.__version__.split(".")[0]:
        raise SpecChangedError(
            f"campaign {row.name!r} was opened with agd {row.agd_version}, this is {agd.__version__}: resume it with "
            f"`pip install 'agd=={major}.*'`, or open a new campaign from its specification"
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
    for role, members, source in (
        ("initial", sets.initial, sets.dataset),
        ("oracle", sets.oracle, sets.oracle_dataset),
        ("autoencoder", sets.autoencoder, sets.corpus),
    ):
        if source is not None:
            training_set_id = models.store_training_set(tx, members, source, activity_id)
            campaigns.store_set(tx, campaign_id, role, training_set_id, activity_id)
    if sets.pool is not None:
        campaigns.store_pool(tx, campaign_id, sets.pool.id, activity_id)
    return True


def _resolve_sets(tx: Transaction, resolved: ResolvedSpec) -> _Sets:
    spec = resolved.spec
    _check_target(tx, resolved)
    dataset = _dataset(tx, resolved, "data.dataset", spec.data.dataset)
    corpus = _dataset(tx, resolved, "autoencoder.corpus", spec.corpus())
    is_answered_here = spec.oracle.kind != EXTERNAL
    oracle_dataset = _dataset(tx, resolved, "oracle.dataset", spec.oracle_dataset()) if is_answered_here else None
    pool = None if spec.sampler.pool is None else _dataset(tx, resolved, "sampler.pool", spec.sampler.pool)
    for key, row in (("data.dataset", dataset), ("oracle.dataset", oracle_dataset)):
        if row is not None and row.property != spec.target.property:
            held = f"values of {row.property}" if row.property else "formulas alone"
            place = resolved.place(*key.split("."))
            raise SpecError(f"{place}: dataset {row.name!r} holds {held}, the target is {spec.target}")
    rows = {row.id: datasets.rows_of(tx, row.id) for row in (dataset, oracle_dataset, corpus) if row is not None}
    labelled = {key: [row for row in all_rows if row.label_id is not None] for key, all_rows in rows.items()}
    initial = _initial_members(resolved, dataset, labelled[dataset.id])
    oracle: list[Member] = []
    if oracle_dataset is not None:
        oracle = _oracle_members(resolved, labelled[oracle_dataset.id], initial)
    return _Sets(
        initial=initial,
        oracle=oracle,
        autoencoder=_corpus_members(resolved, rows[corpus.id]),
        dataset=dataset,
        oracle_dataset=oracle_dataset,
        corpus=corpus,
        pool=pool,
    )


def _check_target(tx: Transaction, resolved: ResolvedSpec) -> None:
    target = resolved.spec.target
    known = datasets.property_of(tx, target.property)
    if known is None:
        hint = registry.suggestion(target.property, datasets.property_names(tx))
        raise SpecError(f"{resolved.place('target')}: no property {target.property!r}{hint}")
    if known.unit != target.unit:
        raise SpecError(f"{resolved.place('target')}: {target.property} is kept in {known.unit}, not in {target.unit}")


def _dataset(tx: Transaction, resolved: ResolvedSpec, key: str, name: str) -> AnyRow:
    try:
        return find_dataset(tx, name)
    except NotFoundError as error:
        raise NotFoundError(f"{resolved.place(*key.split('.'))}: {error}") from error


def _initial_members(resolved: ResolvedSpec, dataset: AnyRow, rows: Sequence[AnyRow]) -> list[Member]:
    rule = resolved.spec.initial
    if rule.file is not None:
        path = resolved.folder / rule.file
        by_formula = {row.reduced_formula: row for row in rows}
        wanted = _formulas_of(path, rule.formula_column)
        for formula, line in wanted.items():
            if formula not in by_formula:
                raise InputError(f"{path}:{line}: {formula} is not in dataset {dataset.name!r}, so it has no label")
        chosen = [by_formula[formula] for formula in sorted(wanted)]
        if sum(_is_encodable(resolved.spec, chosen)) < _LEAST_INITIAL:
            raise SpecError(
                f"{resolved.place('initial', 'file')}: the search needs two rows or more that can be encoded"
            )
    else:
        pool = [
            row
            for row, fits in zip(rows, _is_encodable(resolved.spec, rows), strict=True)
            if fits and (rule.at_most is None or row.value <= rule.at_most)
        ]
        n = rule.n or 0
        if len(pool) < n:
            raise SpecError(
                f"{resolved.place('initial', 'n')}: {n} rows wanted, {len(pool)} of {dataset.name!r} fit the rule"
            )
        picked = np.random.default_rng(rule.seed).choice(len(pool), size=n, replace=False)
        chosen = [pool[i] for i in np.sort(picked)]
    return [
        Member(row.composition_id, row.reduced_formula, row.label_id, row.value, is_held_out=False) for row in chosen
    ]


def _oracle_members(resolved: ResolvedSpec, rows: Sequence[AnyRow], initial: Sequence[Member]) -> list[Member]:
    rule = resolved.spec.oracle
    excluded = {member.reduced_formula for member in initial} if rule.exclude_initial and rule.kind != TABLE else set()
    for file in rule.exclude:
        excluded |= _formulas_of(resolved.folder / file, rule.formula_column).keys()
    rows = [row for row in rows if row.reduced_formula not in excluded]
    if not rows:
        raise SpecError(f"{resolved.place('oracle')}: no row is left after the exclusions")
    share = 0.0 if rule.kind == TABLE else rule.held_out
    flags = held_out(len(rows), share, derive_seed(rule.seed, "oracle"))
    return [
        Member(row.composition_id, row.reduced_formula, row.label_id, row.value, is_held_out=out)
        for row, out in zip(rows, flags, strict=True)
    ]


def _corpus_members(resolved: ResolvedSpec, rows: Sequence[AnyRow]) -> list[Member]:
    spec = resolved.spec
    inside = [row for row, fits in zip(rows, _is_encodable(spec, rows), strict=True) if fits]
    if not inside:
        place = resolved.place("autoencoder", "corpus")
        raise SpecError(f"{place}: no formula of {spec.corpus()!r} is within the autoencoder's vocabulary")
    flags = held_out(len(inside), spec.autoencoder.held_out, derive_seed(spec.autoencoder.seed, "autoencoder"))
    return [
        Member(row.composition_id, row.reduced_formula, None, None, is_held_out=out)
        for row, out in zip(inside, flags, strict=True)
    ]


def _is_encodable(spec: CampaignSpec, rows: Sequence[AnyRow]) -> list[bool]:
    """Which rows lie within the vocabulary of the campaign's autoencoder."""
    counts = counts_of([row.reduced_formula for row in rows])
    fits: list[bool] = spec.autoencoder.is_representable(counts).tolist()
    return fits


def _formulas_of(path: Path, column: str) -> dict[str, int]:
    """Reduced formula -> line, of a file that lists compositions."""
    rows = read_formulas(path, column)
    counts, problems = parse_formulas([row.formula for row in rows])
    for problem in problems:
        raise InputError(f"{path}:{rows[problem.index].line}: {problem.message}")
    return dict(zip(identify(counts).reduced_formula, (row.line for row in rows), strict=True))
