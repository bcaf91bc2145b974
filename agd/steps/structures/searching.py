"""Searching for templates: known structures whose places the elements of a composition may take, as rows."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from agd import plugin_faults, registry
from agd.chem.identity import Identities
from agd.chem.structures import canonical
from agd.db.connection import Transaction
from agd.db.record import activities, jobs, stability, structures
from agd.db.record.jobs import NewJob
from agd.errors import NotFoundError
from agd.steps.data.compositions import counts_of, store_compositions
from agd.steps.structures.crystals import store_crystals
from agd.types import Counts, Floats, Structure
from agd.work.leases import performed
from agd.work.workspace import Workspace

GROUP = "agd.templates"


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """Every structure that was imported, as templates are searched; each is read when it is asked for.

    Formation energies are those of the method and scheme that most structures have one by.
    """

    ids: Sequence[int]
    counts: Counts
    e_form_ev_per_atom: Floats
    tx: Transaction

    @classmethod
    def of(cls, tx: Transaction) -> Self:
        """Those of the record, in an order that does not depend on when they came in."""
        rows = stability.library(tx)
        energies = np.array([row.e_form_ev_per_atom for row in rows], dtype=np.float64)
        return cls([row.id for row in rows], counts_of([row.reduced_formula for row in rows]), energies, tx)

    def structures(self, rows: Sequence[int]) -> list[Structure]:
        """The structures of some rows, in that order."""
        ids = [self.ids[row] for row in rows]
        found = structures.some(self.tx, ids)
        return [found[one].structure for one in ids]


@dataclass(frozen=True, slots=True)
class Search:
    """A search for templates: for which composition, by what, and among which data sets, by id and recipe."""

    named: Identities
    plugin: str
    version: str
    options: Mapping[str, Any]
    sources: Mapping[int, str]

    @classmethod
    def of(cls, workspace: Workspace, plugin: str, n_types: int, named: Identities) -> Self:
        """The search of a plug-in for one composition among all structures that were imported.

        Raises:
            NotFoundError: the plug-in is not installed, or there are no structures.
        """
        version = registry.load(GROUP, plugin).version
        with workspace.database.read() as tx:
            sources = stability.structure_sources(tx)
        if not sources:
            raise NotFoundError(
                "the record has no structures to take templates from: import some (see `agd data import-structures "
                "--help`)"
            )
        return cls(named, plugin, version, {"n_types": n_types}, sources)

    @property
    def formula(self) -> str:
        """The reduced formula."""
        return self.named.reduced_formula[0]

    @property
    def recipe_sha256(self) -> str:
        """What it is known by in any record."""
        parts = [self.formula, self.plugin, self.version, self.options, sorted(self.sources.values())]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def searched(workspace: Workspace, search: Search) -> tuple[int, bool]:
    """The id of a search, done where it is not there yet, and whether it was there."""
    with workspace.database.read() as tx:
        there = stability.find_search(tx, search.recipe_sha256)
    if there is not None:
        return int(there.id), True
    key = jobs.key_of("templates", search.recipe_sha256)
    with performed(workspace, NewJob("templates", f"templates of {search.formula}", key)) as activity_id:
        if activity_id is not None:
            _search(workspace, search, activity_id)
    with workspace.database.read() as tx:
        there = stability.find_search(tx, search.recipe_sha256)
    assert there is not None  # noqa: S101  its job is done
    return int(there.id), activity_id is None


def _search(workspace: Workspace, search: Search, activity_id: int) -> None:
    plugin = registry.load(GROUP, search.plugin)
    with workspace.database.read() as tx:
        library = Library.of(tx)
        with plugin_faults.blamed(GROUP, search.plugin, "propose"):
            found = plugin(plugin.options_type()).propose(search.named.counts[0], library, search.options["n_types"])
    crystals = [canonical(one.structure) for one in found]
    with workspace.database.transaction() as tx:
        composition_id = int(store_compositions(tx, search.named, activity_id)[0])
        ids = store_crystals(tx, crystals, composition_id, activity_id)
        rows = [
            (structure_id, library.ids[one.row], json.dumps(one.mapping), one.distance)
            for structure_id, one in zip(ids, found, strict=True)
        ]
        values = {
            "composition_id": composition_id,
            "plugin": search.plugin,
            "plugin_version": search.version,
            "options": dict(search.options),
            "n_searched": len(library.ids),
            "n_proposed": len(rows),
            "recipe_sha256": search.recipe_sha256,
            "activity_id": activity_id,
        }
        stability.store_search(tx, values, search.sources, rows)
        activities.finish(tx, activity_id)
