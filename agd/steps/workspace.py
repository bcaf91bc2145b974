"""Where a step works: the record, the model files, and one recorded activity at a time."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agd import registry
from agd.chem import smact_validity, validity
from agd.chem.formula import parse_formulas
from agd.chem.identity import Identities
from agd.db import activities, campaigns, datasets, models
from agd.db.connection import AnyRow, Database, Transaction
from agd.db.datasets import CompositionRow, Ids
from agd.errors import DatabaseError, ModelError, NotFoundError
from agd.protocols import Generator, Oracle
from agd.spec import CampaignSpec
from agd.types import Counts


@dataclass(frozen=True, slots=True)
class Workspace:
    """An open record and the folder of model files beside it; models stay loaded once used."""

    database: Database
    artifacts: Path
    _loaded: dict[int, Any] = field(default_factory=dict, repr=False)

    def generator(self, model_version_id: int) -> Generator:
        """The autoencoder of that version, rebuilt from its verified tensors."""
        found: Generator = self._model("agd.generators", model_version_id)
        return found

    def oracle(self, model_version_id: int) -> Oracle:
        """The oracle of that version, rebuilt from its verified tensors."""
        found: Oracle = self._model("agd.oracles", model_version_id)
        return found

    def _model(self, group: str, model_version_id: int) -> Any:
        if model_version_id not in self._loaded:
            self._loaded[model_version_id] = self._load(group, model_version_id)
        return self._loaded[model_version_id]

    def _load(self, group: str, model_version_id: int) -> object:
        from agd.nets.checkpoint import load_tensors

        with self.database.read() as tx:
            row = models.find_model(tx, model_version_id=model_version_id)
        if row is None:
            raise NotFoundError(f"no model version {model_version_id}")
        plugin = registry.load(group, row.plugin)
        if plugin.architecture_version != row.architecture_version:
            raise ModelError(
                f"model version {row.id} ({row.plugin}) is of architecture {row.architecture_version}, the installed "
                f"plug-in of {plugin.architecture_version}: install the agd that made it, or open a new campaign"
            )
        tensors = load_tensors(self.artifacts, row.tensors_sha256)
        return plugin.load(tensors, plugin.options_type.model_validate_json(json.dumps(row.options)))


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign that is in the record."""

    id: int
    name: str
    spec: CampaignSpec


def get_campaign(workspace: Workspace, name: str) -> Campaign:
    """The campaign of that name.

    Raises:
        NotFoundError: there is none; the message names the near miss.
    """
    return as_campaign(campaign_row(workspace, name))


def campaign_row(workspace: Workspace, name: str) -> AnyRow:
    """The row of the campaign of that name; raises NotFoundError where there is none."""
    with workspace.database.read() as tx:
        row = campaigns.find(tx, name)
        if row is None:
            known = registry.suggestion(name, campaigns.names(tx))
            raise NotFoundError(f"no campaign {name!r}{known} (see `agd list`)")
    return row


def as_campaign(row: AnyRow) -> Campaign:
    """A campaign with the specification that the record keeps."""
    return Campaign(row.id, row.name, CampaignSpec.model_validate_json(json.dumps(row.spec)))


@contextmanager
def recorded(
    workspace: Workspace,
    kind: str,
    *,
    campaign: Campaign | None = None,
    iteration: int | None = None,
    seed: int | None = None,
    threads: int = 1,
) -> Iterator[int]:
    """Run one step as an activity row that outlives a crash; the step itself marks its success.

    An error is kept in the row and raised again. A process that dies leaves the row as running, and whoever resumes
    the campaign marks it as lost. `threads` are those of a step outside a campaign; a campaign has its own.
    """
    with workspace.database.transaction() as tx:
        iteration_id = None
        if campaign is None:
            activities.bury_dead(tx)
        if campaign is not None and iteration is not None:
            iteration_id = campaigns.open_iteration(tx, campaign.id, iteration)
        activity_id = activities.start(
            tx,
            kind,
            threads=campaign.spec.threads if campaign else threads,
            campaign_id=campaign.id if campaign else None,
            iteration_id=iteration_id,
            seed=seed,
        )
    try:
        yield activity_id
    except BaseException as error:
        with suppress(DatabaseError), workspace.database.transaction() as tx:
            activities.fail(tx, activity_id, f"{type(error).__name__}: {error}")
        raise


@contextmanager
def limited_threads(n: int) -> Iterator[None]:
    """Hold BLAS, OpenMP and torch to `n` threads: a campaign's rows depend on it."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        with threadpool_limits(limits=n):  # type: ignore[no-untyped-call]  # the library has no types
            yield
    finally:
        torch.set_num_threads(before)


def derive_seed(*parts: int | str) -> int:
    """A seed below 2**63 from other seeds and names: the same everywhere, unrelated for unlike parts."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def counts_of(formulas: Sequence[str]) -> Counts:
    """Counts `[n, 103]` of formulas that the record holds, which therefore parse."""
    counts, problems = parse_formulas(formulas)
    if problems:
        raise ValueError(f"the record holds a formula that does not parse: {problems[0].message}")
    return counts


RULES = (validity, smact_validity)
"""Every rule of validity; a rule is a module that says its name, version and options, and assesses compositions."""


def store_compositions(tx: Transaction, named: Identities, activity_id: int, rules: Sequence[Any] = RULES[:1]) -> Ids:
    """Store compositions with the verdicts of some rules; ids `[n]` in the order of the table, which may repeat one."""
    rows = [
        CompositionRow(*row)
        for row in zip(
            named.reduced_formula,
            named.chemical_system,
            named.anonymous_formula,
            named.n_elements.tolist(),
            named.n_atoms.tolist(),
            strict=True,
        )
    ]
    ids = datasets.store_compositions(tx, rows, activity_id)
    for rule in rules:
        verdicts = rule.assess(named.counts)
        spoken = zip(verdicts.is_charge_neutral.tolist(), verdicts.is_electronegativity_balanced.tolist(), strict=True)
        rows_of_verdicts = (
            (i, *(verdict if speaks else (None, None)))
            for i, speaks, verdict in zip(ids.tolist(), verdicts.is_applicable.tolist(), spoken, strict=True)
        )
        identity = (rule.RULE, rule.RULE_VERSION, rule.OPTIONS)
        datasets.store_verdicts(tx, identity, activity_id, rows_of_verdicts)
    return ids
