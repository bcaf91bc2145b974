"""Crystals in: files become structures, each cell once, with labels of one method and scheme, in one transaction."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from agd.chem.elements import N_ELEMENTS
from agd.chem.identity import Identities, identify
from agd.db.record import activities, datasets, hashes, jobs, structure_entries
from agd.db.record.structure_entries import NewEntry
from agd.errors import BusyError, InputError
from agd.methods import UNSTATED
from agd.progress import Progress, silent
from agd.steps.data.cleaning import Reject
from agd.steps.data.compositions import store_compositions
from agd.steps.data.importing import is_imported, storable
from agd.steps.data.methods import check_method, check_scheme
from agd.steps.data.names import check_name
from agd.steps.structures.entries import LABELS, Entry, LabelsWhere, entries
from agd.steps.structures.sources import Sources, find_sources
from agd.types import Counts
from agd.work.leases import performed
from agd.work.workspace import Workspace

_TOLD_EVERY = 200
_MOST_NAMED = 99


@dataclass(frozen=True, slots=True)
class StructureSummary:
    """What an import of crystals did; `n_labels` by property."""

    dataset: str
    n_read: int
    n_imported: int
    n_structures: int
    n_compositions: int
    n_labels: Mapping[str, int]
    rejects: tuple[Reject, ...]
    n_new_structures: int = 0
    n_new_compositions: int = 0
    was_there: bool = False
    notices: tuple[str, ...] = ()

    def rejects_by_kind(self) -> dict[str, int]:
        """How many crystals were refused for each kind of reason, most frequent first."""
        return dict(Counter(reject.kind for reject in self.rejects).most_common())


def import_structures(
    workspace: Workspace,
    paths: Sequence[Path],
    name: str,
    *,
    method: str = UNSTATED,
    scheme: str = UNSTATED,
    source: str | None = None,
    labels_where: LabelsWhere | None = None,
    dry_run: bool = False,
    strict: bool = False,
    progress: Progress = silent,
) -> StructureSummary:
    """Import crystals under a name: all good ones or nothing; `source` says where files came from that are not kept.

    Of crystals that do not hold what `labels_where` asks for the structure is kept without labels.

    Raises:
        InputError: a file, the method or the scheme is wrong; the name is taken by other content; with `strict`, any
            crystal is refused.
    """
    check_name(name)
    with workspace.database.read() as tx:
        check_method(tx, method)
        check_scheme(tx, scheme)
    sources = find_sources(paths)
    sources = sources if source is None else replace(sources, name=source, place=source)
    values = _dataset_values(sources, name, method, scheme, labels_where or {})
    if is_imported(workspace, values):
        return _there(workspace, name)
    read = _read(sources, labels_where or {}, progress)
    kept = [one for one in read if isinstance(one, Entry)]
    rejects = sorted((one for one in read if isinstance(one, Reject)), key=lambda reject: reject.line)
    if strict and rejects:
        raise InputError(f"{rejects[0].message} ({len(rejects)} refused; nothing imported with --strict)")
    if not kept:
        raise InputError(f"{sources.name}: no crystal can be imported" + (f"; {rejects[0].message}" if rejects else ""))
    if labels_where and not any(_n_labels(kept).values()):
        asked = ", ".join(f"{key}={value}" for key, values_ in labels_where.items() for value in values_)
        raise InputError(f"--labels-where {asked}: no crystal that has a label says so: look at the keys of the file")
    named = identify(_counts(kept))
    summary = StructureSummary(
        dataset=name,
        n_read=len(read),
        n_imported=len(kept),
        n_structures=len({one.cell_sha256 for one in kept}),
        n_compositions=len(set(named.reduced_formula)),
        n_labels=_n_labels(kept),
        rejects=tuple(rejects),
        notices=_notices(kept, method, scheme),
    )
    if dry_run:
        return summary
    progress(sources.n_bytes, sources.n_bytes, f"{len(kept):,} crystals read, storing them")
    return _record(workspace, kept, named, values, summary)


def _read(sources: Sources, labels_where: LabelsWhere, progress: Progress) -> list[Entry | Reject]:
    """Every crystal, one name once."""
    started = time.monotonic()
    read: list[Entry | Reject] = []
    lines: dict[str, int] = {}
    for one in entries(sources.raws(), labels_where):
        if isinstance(one, Entry) and lines.setdefault(one.name, one.line) != one.line:
            words = f"{one.name!r} is the name of the crystal of line {lines[one.name]}, too"
            read.append(Reject(one.line, "repeated name", one.formula, one.name, words))
        else:
            read.append(one)
        if len(read) % _TOLD_EVERY == 0:
            progress(sources.n_bytes_read, sources.n_bytes, _told(len(read), sources, time.monotonic() - started))
    return read


def _told(n: int, sources: Sources, elapsed_s: float) -> str:
    share = sources.n_bytes_read / max(sources.n_bytes, 1)
    left = "" if share <= 0 else f", about {elapsed_s * (1 - share) / share:.0f} s left"
    return f"{n:,} crystals read{left}"


def _record(
    workspace: Workspace,
    kept: Sequence[Entry],
    named: Identities,
    values: Mapping[str, object],
    summary: StructureSummary,
) -> StructureSummary:
    name = summary.dataset
    new = jobs.NewJob("import", f"import {name}", jobs.key_of("import", name, values["recipe_sha256"]))
    with performed(workspace, new) as activity_id, workspace.database.transaction() as tx:
        if activity_id is None:
            if not is_imported(workspace, values):
                raise InputError(f"dataset {name!r} was imported, and removed since: give it another --name")
            return replace(summary, was_there=True)
        n_before, n_structures_before = datasets.n_compositions(tx), structure_entries.n_structures(tx)
        first = {formula: i for i, formula in reversed(list(enumerate(named.reduced_formula)))}
        at = sorted(first.values())
        ids_of_first = store_compositions(tx, named.take(at), activity_id).tolist()
        ids = dict(zip((named.reduced_formula[i] for i in at), ids_of_first, strict=True))
        counts = {"n_read": summary.n_read, "n_rejected": len(summary.rejects), "activity_id": activity_id}
        dataset_id = datasets.store(tx, {**values, **counts})
        if dataset_id is None:
            raise BusyError(f"another process has just imported dataset {name!r}: run the command again")
        n_rows = Counter(named.reduced_formula)
        first_rows = ((named.reduced_formula[i], kept[i]) for i in at)
        rows = ((ids[name], one.line, storable(one.formula) or name, n_rows[name]) for name, one in first_rows)
        datasets.store_rows(tx, dataset_id, rows)
        composition_ids = [ids[formula] for formula in named.reduced_formula]
        structure_entries.store(tx, dataset_id, activity_id, _columns(kept, composition_ids))
        datasets.store_rejects(
            tx,
            dataset_id,
            ((r.line, r.kind, storable(r.formula), storable(r.value), storable(r.message)) for r in summary.rejects),
        )
        n_structures = structure_entries.overview(tx, dataset_id).n_rows
        datasets.store_tally(tx, dataset_id, activity_id, len(at), n_structures=n_structures)
        hashes.keep_dataset(tx, dataset_id)
        activities.finish(tx, activity_id)
        return replace(
            summary,
            n_new_compositions=datasets.n_compositions(tx) - n_before,
            n_new_structures=structure_entries.n_structures(tx) - n_structures_before,
        )


def _columns(kept: Sequence[Entry], composition_ids: Sequence[int]) -> list[NewEntry]:
    return [
        NewEntry(
            storable(one.name),
            one.line,
            composition_id,
            one.cell_sha256,
            sum(n for _, n in one.amounts),
            one.space_group,
            one.lattice,
            one.atomic_numbers,
            one.frac,
            one.is_experimental,
            *one.values,
        )
        for one, composition_id in zip(kept, composition_ids, strict=True)
    ]


def _counts(kept: Sequence[Entry]) -> Counts:
    counts = np.zeros((len(kept), N_ELEMENTS), dtype=np.int32)
    for row, one in zip(counts, kept, strict=True):
        for number, n in one.amounts:
            row[number - 1] = n
    return counts


def _n_labels(kept: Sequence[Entry]) -> dict[str, int]:
    return {name: sum(one.values[i] is not None for one in kept) for i, name in enumerate(LABELS)}


def _notices(kept: Sequence[Entry], method: str, scheme: str) -> tuple[str, ...]:
    n_energies, n_gaps = _n_labels(kept).values()
    said = []
    if n_energies + n_gaps and method == UNSTATED:
        said.append("no --method is stated: their labels stand behind those of any method but a model's")
    if n_energies and scheme == UNSTATED:
        said.append("no --scheme is stated: their energies stand on a hull with energies of no other data set's scheme")
    return tuple(said)


def _dataset_values(
    sources: Sources, name: str, method: str, scheme: str, labels_where: LabelsWhere
) -> dict[str, object]:
    names = [path.name for path in sources.files]
    options: dict[str, object] = {"files": names if len(names) <= _MOST_NAMED else len(names)}
    parts: list[object] = ["structures", sources.sha256, method, scheme]
    if labels_where:
        kept = {key: sorted(values) for key, values in sorted(labels_where.items())}
        options["labels_where"] = kept
        parts.append(kept)
    recipe = json.dumps(parts)
    return {
        "name": name,
        "source": sources.name,
        "source_sha256": sources.sha256,
        "recipe_sha256": hashlib.sha256(recipe.encode()).hexdigest(),
        "property": None,
        "options": options,
        "method": method,
        "correction_scheme": scheme,
    }


def _there(workspace: Workspace, name: str) -> StructureSummary:
    with workspace.database.read() as tx:
        found = datasets.find(tx, name=name)
        assert found is not None  # noqa: S101  it is imported
        said = structure_entries.overview(tx, found.id)
    labels = dict(zip(LABELS, (said.n_formation_energies, said.n_band_gaps), strict=True))
    return StructureSummary(
        name, found.n_read, said.n_rows, said.n_structures, said.n_compositions, labels, (), was_there=True
    )
