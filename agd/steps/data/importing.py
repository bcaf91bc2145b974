"""Data in: a table becomes compositions and labels, in one transaction, every refused row accounted for."""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from agd.chem.enumeration import charge_balanced
from agd.chem.identity import identify
from agd.db.record import activities, datasets, hashes, jobs
from agd.errors import BusyError, InputError
from agd.methods import UNSTATED
from agd.steps.data.cells import normalised
from agd.steps.data.cleaning import CleanTable, ImportRules, Kept, Reject, clean
from agd.steps.data.compositions import store_compositions
from agd.steps.data.methods import check_method, check_scheme
from agd.steps.data.names import check_name
from agd.steps.data.properties import factor_to, find_property
from agd.steps.data.tabular import Source, SourceRow, read_source
from agd.units import UNCHANGED, Factor
from agd.work.leases import performed
from agd.work.workspace import Workspace
from agd.writing import whole_file, writing


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did."""

    dataset: str
    n_read: int
    n_imported: int
    n_merged: int
    rejects: tuple[Reject, ...]
    n_new_compositions: int = 0
    was_there: bool = False
    n_left_out: int = 0
    notices: tuple[str, ...] = ()
    read_as: str | None = None

    def rejects_by_kind(self) -> dict[str, int]:
        """How many rows were refused for each kind of reason, most frequent first."""
        return dict(Counter(reject.kind for reject in self.rejects).most_common())


def import_dataset(
    workspace: Workspace, path: Path, name: str, rules: ImportRules, *, dry_run: bool = False, strict: bool = False
) -> ImportSummary:
    """Import a table under a name: all of its good rows or nothing.

    Raises:
        InputError: the file, a column, the property, the unit or the method is wrong; the name is taken by other
            content; with `strict`, any row is refused; with `on_duplicate="error"`, values conflict.
    """
    check_name(name)
    source = read_source(path, rules.formula_column, rules.value_column, rules.where)
    return import_source(workspace, source, name, rules, dry_run=dry_run, strict=strict)


def import_source(
    workspace: Workspace, source: Source, name: str, rules: ImportRules, *, dry_run: bool = False, strict: bool = False
) -> ImportSummary:
    """Import a table that was read; raises InputError as `import_dataset` does."""
    check_name(name)
    table = clean(source, rules, *_kept_as(workspace, rules))
    if strict and table.rejects:
        first = table.rejects[0]
        raise InputError(
            f"{source.name}:{first.line}: {first.message} ({len(table.rejects)} rows refused; nothing imported with "
            "--strict)"
        )
    if dry_run:
        return _summary(source, name, table)
    return _record(workspace, source, name, rules, table)


def import_phases(
    workspace: Workspace,
    path: Path,
    name: str,
    *,
    method: str,
    scheme: str,
    columns: tuple[str, str],
    dry_run: bool = False,
    strict: bool = False,
) -> ImportSummary:
    """Import formation energies in eV/atom of phases without structures: of each composition the lowest one.

    `columns` are that of the formulas and that of the energies.

    Raises:
        InputError: as `import_dataset`; or the method or the scheme is left unstated.
    """
    for option, given in (("method", method), ("scheme", scheme)):
        if given == UNSTATED:
            raise InputError(f"--{option} {UNSTATED}: phases compete on a hull of one method and one scheme: name it")
    rules = ImportRules(
        *columns,
        "formation_energy",
        "eV/atom",
        negative="keep",
        on_duplicate="lowest",
        method=method,
        scheme=scheme,
        are_phases=True,
    )
    return import_dataset(workspace, path, name, rules, dry_run=dry_run, strict=strict)


def import_once(workspace: Workspace, path: Path, name: str, rules: ImportRules) -> str:
    """The name of the dataset that a table is in the record as, imported under `name` where it is not there yet.

    Raises:
        InputError: as `import_dataset`.
    """
    source = read_source(path, rules.formula_column, rules.value_column, rules.where)
    with workspace.database.read() as tx:
        there = datasets.find(tx, recipe_sha256=_recipe_sha256(source, rules))
    return str(there.name) if there is not None else import_dataset(workspace, path, name, rules).dataset


def import_enumeration(
    workspace: Workspace, name: str, n: int, *, seed: int, max_elements: int = 4, max_count: int = 12
) -> ImportSummary:
    """Store `n` charge-balanced formulas made from common oxidation states as a dataset without values."""
    check_name(name)
    named = identify(charge_balanced(n, seed=seed, max_elements=max_elements, max_count=max_count))
    rows = [SourceRow(i, formula, None) for i, formula in enumerate(named.reduced_formula, start=1)]
    digest = hashlib.sha256("\n".join(named.reduced_formula).encode()).hexdigest()
    made_by = f"charge-balanced formulas, n {n}, seed {seed}, at most {max_elements} elements, counts to {max_count}"
    source = Source(made_by, digest, rows, [])
    kept = [Kept(i, row, None, n_rows=1) for i, row in enumerate(rows)]
    return _record(workspace, source, name, ImportRules(), CleanTable(named, kept, []))


def write_rejects(path: Path, rejects: Iterable[Reject], *, force: bool = False) -> None:
    """Write the refused rows as CSV: line, kind, formula, value, message.

    Raises:
        InputError: the file is there and `force` is not set, or it cannot be written.
    """
    with writing(path, force=force) as file:
        file.write(_as_csv(rejects))


def keep_rejects(name: str, rejects: Iterable[Reject]) -> Path:
    """Write the refused rows of a dataset under a name of its own in the working folder, and return it.

    It is NAME.rejects.csv, NAME.rejects-2.csv where another file is called so, and on. One that holds the same, as an
    import before left it, is left as it is.

    Raises:
        InputError: it cannot be written.
    """
    content = _as_csv(rejects)
    for n in count(1):
        path = Path(f"{name}.rejects{'' if n == 1 else f'-{n}'}.csv")
        try:
            with whole_file(path, replaces=False) as file:
                file.write(content)
        except FileExistsError:
            if not path.is_file() or path.read_bytes() != content:
                continue
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
        return path
    raise AssertionError  # there is a name for every number


def _as_csv(rejects: Iterable[Reject]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["line", "kind", "formula", "value", "message"])
    writer.writerows([r.line, r.kind, r.formula, r.value, r.message] for r in rejects)
    return text.getvalue().encode(errors="backslashreplace")


def _kept_as(workspace: Workspace, rules: ImportRules) -> tuple[float | None, Factor]:
    """The least value of the property, and what brings values to its unit."""
    if rules.property is None or rules.unit is None:
        return None, UNCHANGED
    with workspace.database.read() as tx:
        found = find_property(tx, rules.property, "--property")
        check_method(tx, rules.method)
        check_scheme(tx, rules.scheme)
    return found.lower_bound, factor_to(found, rules.unit, "--unit")


def _summary(source: Source, name: str, table: CleanTable) -> ImportSummary:
    return ImportSummary(
        dataset=name,
        n_read=len(source.rows) + len(source.broken),
        n_imported=len(table.kept),
        n_merged=sum(row.n_rows - 1 for row in table.kept),
        rejects=tuple(table.rejects),
        n_left_out=source.n_left_out,
        notices=table.notices,
        read_as=source.read_as,
    )


def _record(workspace: Workspace, source: Source, name: str, rules: ImportRules, table: CleanTable) -> ImportSummary:
    summary = _summary(source, name, table)
    values = _dataset_values(source, rules, summary, table)
    if is_imported(workspace, values):
        return replace(summary, was_there=True)
    stored = _store(workspace, name, rules, table, values, summary)
    if not stored.was_there:
        with workspace.database.transaction() as tx:
            datasets.analyse(tx, len(table.kept))
    return stored


def _store(
    workspace: Workspace,
    name: str,
    rules: ImportRules,
    table: CleanTable,
    values: Mapping[str, object],
    summary: ImportSummary,
) -> ImportSummary:
    """Store what was read, all of it or nothing, where nobody has meanwhile."""
    new = jobs.NewJob("import", f"import {name}", jobs.key_of("import", name, values["recipe_sha256"]))
    with performed(workspace, new) as activity_id, workspace.database.transaction() as tx:
        if activity_id is None:
            if not is_imported(workspace, values):
                raise InputError(f"dataset {name!r} was imported, and removed since: give it another --name")
            return replace(summary, was_there=True)
        n_before = datasets.n_compositions(tx)
        ids = store_compositions(tx, table.named, activity_id).tolist()
        dataset_id = datasets.store(tx, {**values, "activity_id": activity_id})
        if dataset_id is None:
            raise BusyError(f"another process has just imported dataset {name!r}: run the command again")
        rows = list(zip(ids, table.kept, strict=True))
        datasets.store_rows(tx, dataset_id, ((i, k.row.line, storable(k.row.formula), k.n_rows) for i, k in rows))
        if rules.property is not None:
            labels = ((i, k.value) for i, k in rows if k.value is not None)
            datasets.store_labels(tx, dataset_id, rules.property, activity_id, labels)
        values_kept = [] if rules.property is None else [k.value for k in table.kept if k.value is not None]
        datasets.store_tally(tx, dataset_id, activity_id, len(rows), values=values_kept)
        rejects = ((r.line, r.kind, storable(r.formula), storable(r.value), storable(r.message)) for r in table.rejects)
        datasets.store_rejects(tx, dataset_id, rejects)
        hashes.keep_dataset(tx, dataset_id)
        activities.finish(tx, activity_id)
        return replace(summary, n_new_compositions=datasets.n_compositions(tx) - n_before)


def _dataset_values(source: Source, rules: ImportRules, summary: ImportSummary, table: CleanTable) -> dict[str, object]:
    return {
        "name": summary.dataset,
        "source": source.name,
        "source_sha256": source.sha256,
        "recipe_sha256": _recipe_sha256(source, rules, table),
        "property": rules.property,
        "options": _options(rules, table),
        "n_read": summary.n_read,
        "n_rejected": len(summary.rejects),
        "method": rules.method,
        "correction_scheme": rules.scheme,
    }


def _options(rules: ImportRules, table: CleanTable | None) -> dict[str, object]:
    """What was scaled or converted is among them where there was something: imports of before keep their recipe."""
    conditions = {normalised(column): value for column, value in rules.where.items()}
    where = {"where": dict(sorted(conditions.items()))} if conditions else {}
    return {
        "formula_column": normalised(rules.formula_column),
        "value_column": None if rules.value_column is None else normalised(rules.value_column),
        "negative": rules.negative,
        "on_duplicate": rules.on_duplicate,
        **where,
        **({"are_phases": True} if rules.are_phases else {}),
        **({"max_factor": rules.max_factor} if table is not None and table.n_scaled else {}),
        **({"unit": rules.unit} if table is not None and table.is_converted else {}),
    }


def _recipe_sha256(source: Source, rules: ImportRules, table: CleanTable | None = None) -> str:
    stated = [] if rules.method == UNSTATED else [rules.method]
    stated += [] if rules.scheme == UNSTATED else [f"scheme {rules.scheme}"]
    recipe = json.dumps([source.sha256, rules.property, _options(rules, table), *stated], sort_keys=True)
    return hashlib.sha256(recipe.encode()).hexdigest()


def is_imported(workspace: Workspace, values: Mapping[str, object]) -> bool:
    """Whether the same content is there under the same name; any other clash is an error."""
    name = values["name"]
    with workspace.database.read() as tx:
        named = datasets.find(tx, name=str(name))
        same = datasets.find(tx, recipe_sha256=str(values["recipe_sha256"]))
    if named is not None and same is not None and named.id == same.id:
        return True
    if named is not None and named.source_sha256 == values["source_sha256"] and named.method != values["method"]:
        raise InputError(
            f"dataset {name!r} holds this file by method {named.method!r}, which stays as it is: give the one by "
            f"{values['method']!r} another --name"
        )
    if named is not None:
        raise InputError(
            f"dataset {name!r} holds other content ({named.source}, sha256 {named.source_sha256[:12]}): "
            "give this one another --name"
        )
    if same is not None:
        raise InputError(f"this file is in the record already, as dataset {same.name!r}: use that name")
    return False


def storable(text: str) -> str:
    """Text without what PostgreSQL cannot keep: the null character and halves of surrogate pairs."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
