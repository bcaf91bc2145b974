"""Hulls of labels: where a composition stands among phases of one method and one correction scheme, as rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from agd.chem.formula import parse_formula
from agd.chem.hull import Hull, Phase, elements_of
from agd.chem.identity import Identities, identify
from agd.db.connection import AnyRow
from agd.db.record import activities, stability
from agd.errors import NotFoundError
from agd.steps.data.compositions import counts_of, store_compositions
from agd.steps.structures.phases import Member, keep_distance, keep_set, sha256_of, systems_within
from agd.views import Claim, DistanceFromHull, HullAt, HullOfComposition, of_row, of_rows
from agd.work.leases import recorded
from agd.work.workspace import Workspace


@dataclass(frozen=True, slots=True)
class _Kind:
    """A method and a correction scheme; energies of two of them never stand on one hull."""

    method: str
    scheme: str


def hull_of(
    workspace: Workspace, formula: str, *, method: str | None = None, scheme: str | None = None
) -> HullOfComposition:
    """The hull at a composition by each method and scheme that the record has phases of, and what stands above it.

    Energies of the composition that no hull has spoken of are placed, and kept as rows with the phases.

    Raises:
        FormulaError: the formula does not parse.
        NotFoundError: there are no phases, or none of that method and scheme.
    """
    named = identify(parse_formula(formula))
    key, system = named.reduced_formula[0], named.chemical_system[0]
    with workspace.database.read() as tx:
        rows = stability.labelled_phases(tx, systems_within(system.split("-")))
        relaxed = stability.distances(tx, key)
    kinds = sorted({(row.method, row.correction_scheme) for row in rows})
    chosen = [_Kind(*kind) for kind in kinds if method in {None, kind[0]} and scheme in {None, kind[1]}]
    if not chosen and not any(row.method == method or method is None for row in relaxed):
        there = ", ".join(f"{one} ({of})" for one, of in kinds) or "none at all"
        asked = " ".join(word for word in (method, scheme) if word is not None)
        raise NotFoundError(
            f"no phases in {system}{f' by {asked}' if asked else ''}: there is {there}; import some "
            "(`agd data import-phases`), or relax them with `agd structures of ... --potential`"
        )
    hulls = [_placed(workspace, named, kind, rows) for kind in chosen]
    with workspace.database.read() as tx:
        claim = stability.claim(tx, key)
        found = stability.distances(tx, key)
    return HullOfComposition(
        formula=key,
        hulls=hulls,
        distances=of_rows(DistanceFromHull, [row for row in found if method in {None, row.method}]),
        claim=None if claim is None else of_row(Claim, claim),
    )


def _placed(workspace: Workspace, named: Identities, kind: _Kind, rows: Sequence[AnyRow]) -> HullAt:
    """The hull by one method and scheme at a composition; its own labels are placed where they were not."""
    formula = named.reduced_formula[0]
    of_kind = [row for row in rows if (row.method, row.correction_scheme) == (kind.method, kind.scheme)]
    own = [row for row in of_kind if row.reduced_formula == formula]
    lowest: dict[str, AnyRow] = {}
    for row in of_kind:
        lowest.setdefault(row.reduced_formula, row)  # they come with the lowest first
    phases = [_phase(row) for row in lowest.values()]
    hull = Hull.of_formation_energies(phases)
    at = hull.distance(Phase(formula, 0.0, kind.method, kind.scheme))
    if own:
        _place(workspace, named, hull, list(lowest.values()), own)
    products = " + ".join(f"{one.phase.formula} {one.atomic_fraction:.3f}" for one in at.products)
    return HullAt(kind.method, kind.scheme, len(phases), at.hull_ev_per_atom, products)


def _place(
    workspace: Workspace, named: Identities, hull: Hull, lowest: Sequence[AnyRow], own: Sequence[AnyRow]
) -> None:
    """Store where the labels of a composition stand, where that set of phases has not spoken of them."""
    bare = _bare_elements(named, lowest)
    keys = [*map(_natural_key, lowest), *bare]
    with workspace.database.read() as tx:
        if stability.are_placed(tx, sha256_of(hull, keys), [row.label_id for row in own]):
            return
    with recorded(workspace, "hull") as activity_id, workspace.database.transaction() as tx:
        ids = store_compositions(tx, identify(counts_of(bare)), activity_id).tolist() if bare else []
        members = [Member(_phase(row), row.composition_id, None, row.label_id, _natural_key(row)) for row in lowest]
        for element, composition_id in zip(bare, ids, strict=True):
            phase = Phase(element, 0.0, hull.method, hull.scheme)
            members.append(Member(phase, composition_id, None, None, element))
        of_set = {
            "chemical_system": named.chemical_system[0],
            "method": hull.method,
            "correction_scheme": hull.scheme,
            "activity_id": activity_id,
        }
        phase_set_id = keep_set(tx, hull, members, of_set)
        for row in own:
            values = {
                "phase_set_id": phase_set_id,
                "composition_id": row.composition_id,
                "label_id": row.label_id,
                "activity_id": activity_id,
            }
            keep_distance(tx, hull.distance(_phase(row)), members, values)
        activities.finish(tx, activity_id)


def _bare_elements(named: Identities, lowest: Sequence[AnyRow]) -> list[str]:
    """Elements that no label places at zero or below: there they stand by definition."""
    placed = [elements_of(row.reduced_formula) for row in lowest if row.value <= 0]
    return [one for one in named.chemical_system[0].split("-") if frozenset({one}) not in placed]


def _phase(row: AnyRow) -> Phase:
    return Phase(row.reduced_formula, row.value, row.method, row.correction_scheme, row.label_id)


def _natural_key(row: AnyRow) -> str:
    return f"{row.reduced_formula} {row.value!r} {row.source} {row.source_sha256}"
