"""Where a step works: the record, the model files, and one recorded activity at a time."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agd import registry
from agd.chem import smact_validity, validity
from agd.chem.formula import parse_formulas
from agd.chem.identity import Identities
from agd.config import Pace
from agd.db import activities, campaigns, datasets, jobs, models
from agd.db.connection import AnyRow, Database, Transaction
from agd.db.datasets import CompositionRow, Ids
from agd.errors import BusyError, DatabaseError, ModelError, NotFoundError, is_transient
from agd.protocols import Generator, Oracle
from agd.spec import CampaignSpec
from agd.types import Counts


@dataclass(frozen=True, slots=True)
class ModelRef:
    """What is needed to rebuild a model from its file."""

    group: str
    plugin: str
    architecture_version: int
    options: Mapping[str, Any]
    tensors_sha256: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """The folder of model files; models stay loaded once used."""

    folder: Path
    _loaded: dict[str, Any] = field(default_factory=dict, repr=False)

    def load(self, ref: ModelRef) -> Any:
        """The generator or oracle, rebuilt from its verified tensors.

        Raises:
            ModelError: the file is missing or altered, or of another architecture than the installed plug-in.
        """
        key = json.dumps([ref.plugin, ref.tensors_sha256, ref.options], sort_keys=True)
        if key not in self._loaded:
            self._loaded[key] = self._rebuilt(ref)
        return self._loaded[key]

    def _rebuilt(self, ref: ModelRef) -> object:
        from agd.nets.checkpoint import load_tensors

        plugin = registry.load(ref.group, ref.plugin)
        if plugin.architecture_version != ref.architecture_version:
            raise ModelError(
                f"model {ref.tensors_sha256[:12]} ({ref.plugin}) is of architecture {ref.architecture_version}, the "
                f"installed plug-in of {plugin.architecture_version}: install the agd that made it, or open a new "
                "campaign"
            )
        tensors = load_tensors(self.folder, ref.tensors_sha256)
        return plugin.load(tensors, plugin.options_type.model_validate_json(json.dumps(ref.options)))


@dataclass(frozen=True, slots=True)
class Workspace:
    """An open record, the model files beside it, and how work is watched.

    `launch` is FireWorks' fw_id and launch_id, where it is FireWorks that does the work.
    """

    database: Database
    artifacts: Path
    pace: Pace = field(default_factory=Pace)
    launch: tuple[int, int] | None = None
    _loaded: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def shelf(self) -> Shelf:
        """The model files."""
        return Shelf(self.artifacts, self._loaded)

    def generator(self, model_version_id: int) -> Generator:
        """The autoencoder of that version, rebuilt from its verified tensors."""
        found: Generator = self._model(model_version_id)
        return found

    def oracle(self, model_version_id: int) -> Oracle:
        """The oracle of that version, rebuilt from its verified tensors."""
        found: Oracle = self._model(model_version_id)
        return found

    def _model(self, model_version_id: int) -> Any:
        with self.database.read() as tx:
            ref = model_ref(tx, model_version_id)
        return self.shelf.load(ref)


def group_of(kind: str) -> str:
    """The group of plug-ins that models of a kind are made by: a screener is an oracle that is not believed."""
    return {"autoencoder": "agd.generators", "generator": "agd.formula_generators"}.get(kind, "agd.oracles")


def model_ref(tx: Transaction, model_version_id: int) -> ModelRef:
    """Where to find that model version; raises NotFoundError where there is none."""
    row = models.find_model(tx, model_version_id=model_version_id)
    if row is None:
        raise NotFoundError(f"no model version {model_version_id}")
    return ModelRef(group_of(row.kind), row.plugin, row.architecture_version, row.options, row.tensors_sha256)


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


@dataclass(frozen=True, slots=True)
class Step:
    """What a campaign needs next; `iteration` is None for what happens once."""

    kind: str
    iteration: int | None = None

    @property
    def number(self) -> int:
        """The iteration, of a step that belongs to one."""
        assert self.iteration is not None  # noqa: S101  a step of a campaign's beginning is asked by mistake
        return self.iteration

    def __str__(self) -> str:
        return self.kind if self.iteration is None else f"{self.kind} {self.iteration}"


@contextmanager
def recorded(
    workspace: Workspace, kind: str, *, campaign: Campaign | None = None, seed: int | None = None, threads: int = 1
) -> Iterator[int]:
    """Do something outside the steps of campaigns as an activity row that outlives a crash; it marks its own success.

    An error is kept in the row and raised again. A process that dies leaves the row as running, and the next one on its
    host marks it as lost.
    """
    with workspace.database.transaction() as tx:
        if campaign is None:
            activities.bury_dead(tx)
        activity_id = activities.start(
            tx,
            kind,
            threads=campaign.spec.threads if campaign else threads,
            campaign_id=campaign.id if campaign else None,
            seed=seed,
            launch=workspace.launch,
        )
    with kept_error(workspace, activity_id):
        yield activity_id


def take(workspace: Workspace, campaign: Campaign, step: Step, *, seed: int | None, lease_s: float) -> int | None:
    """Lease a step of a campaign, which is a job: the id of its new activity, None where the step is done.

    Raises:
        BusyError: somebody else is at work on it.
        StepError: its job is held, parked or cancelled.
    """
    with workspace.database.transaction() as tx:
        iteration_id = None if step.iteration is None else campaigns.open_iteration(tx, campaign.id, step.iteration)
        return jobs.take(
            tx,
            jobs.ensure(tx, jobs.of_step(campaign.id, campaign.name, step.kind, step.iteration)),
            lease_s=lease_s,
            threads=campaign.spec.threads,
            seed=seed,
            launch=workspace.launch,
            campaign_id=campaign.id,
            iteration_id=iteration_id,
        )


@contextmanager
def kept_error(workspace: Workspace, activity_id: int) -> Iterator[None]:
    """Keep an error in the activity's row, with its class, and raise it again."""
    try:
        yield
    except BaseException as error:
        words = f"{type(error).__name__}: {error}"
        with suppress(DatabaseError, BusyError), workspace.database.transaction() as tx:
            activities.fail(tx, activity_id, words, is_transient=is_transient(error))
        raise


@contextmanager
def heartbeat(workspace: Workspace, activity_id: int) -> Iterator[None]:
    """Renew the lease of an activity from another thread, until it is given up as lost."""
    is_over = threading.Event()
    pace = workspace.pace

    def beat() -> None:
        while not is_over.wait(pace.heartbeat_s):
            with suppress(DatabaseError), workspace.database.transaction() as tx:
                if not activities.renew(tx, activity_id, pace.lease_s):
                    return

    thread = threading.Thread(target=beat, name=f"heartbeat {activity_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


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
