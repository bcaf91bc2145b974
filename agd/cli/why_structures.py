"""How `agd why` tells of structures: template, mapping, potential, phases; and the claim that rests on them."""

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.tree import Tree

from agd.cli.show import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agd.views import Claim, DistanceFromHull, Elasticity, Lineage, Phonons, StructureCandidate


def claim_line(claim: "Claim") -> str:
    """How far the composition has come, and how new its structure is."""
    near = "" if claim.e_above_hull_ev_per_atom is None else f", {_above(claim.e_above_hull_ev_per_atom)}"
    by = "" if claim.potential is None else f" by {escape(claim.potential)}"
    novelty = ""
    if claim.structure_novelty is not None:
        novelty = f"; {claim.structure_novelty} (known: {escape(claim.reference or '-')})"
    stable = "; no imaginary mode" if claim.has_stable_phonons and claim.claim != "phonons" else ""
    return f"claim: [bold]{escape(claim.claim)}[/]{near}{by}{stable}{novelty}"


def add_structures(tree: Tree, found: "Lineage") -> None:
    """Every search for templates with what it proposed, and what potentials made of it; then hulls of labels."""
    for search_id in dict.fromkeys(row.search_id for row in found.structures):
        rows = [row for row in found.structures if row.search_id == search_id]
        first = rows[0]
        n_types = len({row.rank for row in rows})
        node = tree.add(
            f"[bold]{n_types} {'type' if n_types == 1 else 'types'} of structure[/] by templates "
            f"{escape(first.templates)} {escape(first.templates_version)}, search {search_id}"
        )
        for rank in dict.fromkeys(row.rank for row in rows):
            _add_candidate(node, [row for row in rows if row.rank == rank])
    for distance in found.hull_distances:
        if distance.label_id is not None:
            tree.add(_distance_line(distance))


def add_calculations(tree: Tree, found: "Lineage") -> None:
    """Every calculation with its engine, how far it is, and what came of it."""
    phonons = {row.calculation_id: row for row in found.phonons}
    elasticity = {row.calculation_id: row for row in found.elasticity}
    node = tree.add("[bold]calculations[/]") if found.calculations else tree
    for row in found.calculations:
        parts = f", {row.n_parts_done} of {row.n_parts} cells" if row.n_parts else ""
        stands = "" if row.is_done else f"; [red]not done[/]{'' if row.last_error is None else f': {row.last_error}'}"
        of = node.add(
            f"{row.kind} of structure {row.structure_id} by {escape(row.method)} ({escape(row.code_version or '-')}"
            f"{'' if row.weights_sha256 is None else f', {row.weights_sha256[:12]}'}), calculation {row.calculation_id}"
            f"{parts}, {row.n_attempts} attempt{'' if row.n_attempts == 1 else 's'}, {text(row.core_seconds)} "
            f"core-seconds{stands}"
        )
        if (modes := phonons.get(row.calculation_id)) is not None:
            of.add(_phonon_line(modes))
        if (constants := elasticity.get(row.calculation_id)) is not None:
            of.add(_elastic_line(constants))


def _phonon_line(row: "Phonons") -> str:
    verdict = "no imaginary mode" if row.n_imaginary == 0 else f"{row.n_imaginary} imaginary modes"
    lowest = "" if row.is_lowest else "; it is not the lowest structure"
    return (
        f"[bold]{verdict}[/] below {row.imaginary_below_thz:g} THz, the lowest {row.min_frequency_thz:.3f} THz{lowest}"
    )


def _elastic_line(row: "Elasticity") -> str:
    stable = "stable" if row.is_born_stable else "[red]not stable[/]"
    return (
        f"[bold]{stable}[/] by Born (least eigenvalue {row.min_eigenvalue_gpa:.2f} GPa); of Hill K "
        f"{text(row.bulk_hill_gpa)}, G {text(row.shear_hill_gpa)}, E {text(row.young_hill_gpa)} GPa"
    )


def _add_candidate(node: Tree, rows: "Sequence[StructureCandidate]") -> None:
    """A candidate, with a line for each relaxation of it."""
    first = rows[0]
    of = node.add(
        f"{first.rank}: like [bold]{escape(first.template)}[/] ({escape(first.template_entry or '-')}, structure "
        f"{first.template_id}), {escape(mapping_words(first.mapping))}, distance {text(first.distance)}: structure "
        f"{first.structure_id}"
    )
    if first.model_e_form_ev_per_atom is not None:
        of.add(
            f"{escape(first.model or '-')}, model version {first.model_version_id}: formation energy "
            f"{text(first.model_e_form_ev_per_atom)} eV/atom as proposed"
        )
    for row in rows:
        if row.potential is None:
            continue
        by = f"by {escape(row.potential)} ({escape(row.potential_version or '-')}, {(row.weights_sha256 or '')[:12]})"
        if row.outcome == "refused":
            of.add(f"relaxation {row.relaxation_id} {by} [red]refused[/]: {escape(row.reason or '-')}")
            continue
        line = of.add(
            f"relaxation {row.relaxation_id} {by}, {text(row.n_steps)} steps: [bold]{text(row.energy_ev_per_atom)} "
            f"eV/atom[/], structure {row.relaxed_id}"
        )
        if row.model_relaxed_e_form_ev_per_atom is not None:
            line.add(
                f"{escape(row.model or '-')}, model version {row.model_version_id}: formation energy "
                f"{text(row.model_relaxed_e_form_ev_per_atom)} eV/atom"
            )
        if row.e_above_hull_ev_per_atom is not None:
            line.add(
                f"formation energy {text(row.e_form_ev_per_atom)} eV/atom, [bold]"
                f"{_above(row.e_above_hull_ev_per_atom)}[/] of {escape(row.products or '-')}, relaxed by the same"
            )


def mapping_words(mapping: "Mapping[str, Sequence[str]]") -> str:
    """Which elements stand for which of the template."""
    changed = [f"{old} to {' and '.join(new)}" for old, new in mapping.items() if list(new) != [old]]
    return ", ".join(changed) or "as it is"


def _distance_line(row: "DistanceFromHull") -> str:
    fallen = "" if row.is_standing else "; [red]one of its labels was retracted[/]"
    return (
        f"label {row.label_id}: formation energy {text(row.e_form_ev_per_atom)} eV/atom by {escape(row.method)} "
        f"({escape(row.correction_scheme or '-')}), [bold]{_above(row.e_above_hull_ev_per_atom)}[/] of "
        f"{escape(row.products)}, phase set {row.phase_set_id}{fallen}"
    )


def _above(distance_ev_per_atom: float) -> str:
    side = "below" if distance_ev_per_atom < 0 else "above"
    return f"{1000 * abs(distance_ev_per_atom):.0f} meV/atom {side} the hull"
