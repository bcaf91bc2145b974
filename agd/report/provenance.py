"""Where a composition and what is said of it came from, as a graph in the terms of PROV (W3C, PROV-DM, 2013).

Entities are what is kept (compositions, data sets, labels, models, structures), activities are what was done (suggest,
train, screen, relax). An arrow goes from what there was to what came of it. Of many alike the first are shown.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

from agd.report.words import counted
from agd.views import Label, Lineage, PickedBy, StructureCandidate, SuggestedKnowing

Kind: TypeAlias = Literal["entity", "activity"]
Relation: TypeAlias = Literal["used", "wasGeneratedBy", "wasDerivedFrom"]

PREFIX: Final = "agd"
NAMESPACE: Final = "urn:agd:"
_MOST: Final = 6
_ROLES: Final[Mapping[Relation, tuple[str, str]]] = {
    "used": ("prov:activity", "prov:entity"),
    "wasGeneratedBy": ("prov:entity", "prov:activity"),
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
}


@dataclass(frozen=True, slots=True)
class Node:
    """Something kept or done: what it is, a line or two of it, and its page where `agd web` has one."""

    kind: Kind
    title: str
    lines: Sequence[str] = ()
    page: str | None = None
    facts: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Nodes by key, and arrows (effect, cause, relation); `of` is the key of the composition."""

    of: str
    nodes: Mapping[str, Node]
    arrows: Sequence[tuple[str, str, Relation]]


class _Growing:
    """A graph in the making; a node is told once, an arrow between nodes that are there."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.arrows: dict[tuple[str, str, Relation], None] = {}

    def add(self, key: str, node: Node) -> str:
        self.nodes.setdefault(key, node)
        return key

    def arrow(self, effect: str, cause: str, relation: Relation) -> None:
        if effect in self.nodes and cause in self.nodes and effect != cause:
            self.arrows[effect, cause, relation] = None


def provenance_of(found: Lineage) -> Provenance:
    """The graph of a composition's lineage."""
    graph = _Growing()
    row = found.composition
    of = graph.add(
        f"composition/{row.id}",
        Node(
            "entity",
            found.formula,
            (f"{row.chemical_system}, {counted(row.n_atoms, 'atom')}", f"first stored by {row.made_by}"),
            f"/composition/{quote(found.formula)}",
            {"reducedFormula": found.formula, "chemicalSystem": row.chemical_system},
        ),
    )
    _add_models(graph, found)
    _add_datasets(graph, found, of)
    for hit in found.screenings[:_MOST]:
        _add_hit(graph, hit, of)
    for suggestion in _first_of_campaigns(found.suggestions):
        _add_suggestion(graph, suggestion, of)
    shown = {one.label_id for one in found.suggestions} | set(found.best_labels.values())
    labels = [one for one in found.labels if one.activity != "label structures"]
    for label in sorted(labels, key=lambda one: (one.label_id not in shown, one.label_id))[:_MOST]:
        _add_label(graph, label, found, of)
    _add_structures(graph, found, of)
    tied = {of, *(key for effect, cause, _ in graph.arrows for key in (effect, cause))}
    return Provenance(of, {key: node for key, node in graph.nodes.items() if key in tied}, list(graph.arrows))


def prov_json(graph: Provenance) -> dict[str, Any]:
    """The graph as PROV-JSON (W3C member submission of 2013-04-24)."""
    found: dict[str, Any] = {"prefix": {PREFIX: NAMESPACE}, "entity": {}, "activity": {}}
    for key, node in graph.nodes.items():
        lines = {f"{PREFIX}:note": "; ".join(node.lines)} if node.lines else {}
        facts = {f"{PREFIX}:{name}": value for name, value in node.facts.items()}
        found[node.kind][f"{PREFIX}:{key}"] = {"prov:label": node.title, **lines, **facts}
    for n, (effect, cause, relation) in enumerate(graph.arrows, start=1):
        roles = _ROLES[relation]
        ends = dict(zip(roles, (f"{PREFIX}:{effect}", f"{PREFIX}:{cause}"), strict=True))
        found.setdefault(relation, {})[f"_:{relation}{n}"] = ends
    return found


def _add_models(graph: _Growing, found: Lineage) -> None:
    seen = {None: "never saw it", True: "held it out", False: "learned from it"}
    for model in found.model_versions:
        graph.add(
            f"model/{model.id}",
            Node(
                "entity",
                f"{model.kind} {model.plugin}",
                (f"version {model.id}, sha256 {model.tensors_sha256[:12]}", seen[model.is_held_out]),
                f"/models/{model.id}",
                {"sha256": model.tensors_sha256, "seed": model.seed, "agdVersion": model.agd_version},
            ),
        )


def _dataset(graph: _Growing, name: str, found: Lineage) -> str | None:
    dataset = next((one for one in found.datasets if one.name == name), None)
    if dataset is None:
        return None
    lines = (dataset.source, f"sha256 {dataset.source_sha256[:12]}")
    return graph.add(
        f"dataset/{quote(name)}",
        Node("entity", f"data set {name}", lines, facts={"sha256": dataset.source_sha256, "source": dataset.source}),
    )


def _add_datasets(graph: _Growing, found: Lineage, of: str) -> None:
    for one in found.datasets:
        if one.line is not None and not one.is_generated and (key := _dataset(graph, one.name, found)) is not None:
            graph.arrow(of, key, "wasDerivedFrom")
    for made in found.generations[:_MOST]:
        key = graph.add(
            f"generation/{quote(made.generation)}",
            Node(
                "activity",
                f"generation {made.generation}",
                (f"sample {made.sample:,} as {made.generated_formula}", f"seed {made.seed}"),
                facts={"seed": made.seed, "sample": made.sample, "agdVersion": made.agd_version},
            ),
        )
        graph.arrow(of, key, "wasGeneratedBy")
        graph.arrow(key, f"model/{made.model_version_id}", "used")


def _add_hit(graph: _Growing, hit: PickedBy, of: str) -> None:
    key = graph.add(
        f"screening/{hit.screening_id}",
        Node(
            "activity",
            f"screen {hit.screening_id}",
            (f"of pool {hit.pool}", f"wanted {hit.criteria['target']}"),
            f"/screens/{hit.screening_id}",
            {"poolSha256": hit.pool_sha256, "agdVersion": hit.agd_version},
        ),
    )
    picked = graph.add(
        f"hit/{hit.screening_id}/{hit.rank}",
        Node(
            "entity",
            f"hit {hit.rank:,} of {hit.n_hits:,}",
            (f"{hit.value:.4g} ± {hit.uncertainty:.2g} {hit.unit}", "a prediction, no label"),
            facts={"value": hit.value, "uncertainty": hit.uncertainty, "unit": hit.unit},
        ),
    )
    graph.arrow(key, f"model/{hit.model_version_id}", "used")
    graph.arrow(key, of, "used")
    graph.arrow(picked, key, "wasGeneratedBy")


def _first_of_campaigns(rows: Sequence[SuggestedKnowing]) -> Iterator[SuggestedKnowing]:
    for campaign in list(dict.fromkeys(row.campaign for row in rows))[:_MOST]:
        own = [row for row in rows if row.campaign == campaign]
        yield next((row for row in own if row.outcome == "new"), own[0])


def _add_suggestion(graph: _Growing, row: SuggestedKnowing, of: str) -> None:
    campaign = quote(row.campaign)
    key = graph.add(
        f"suggestion/{row.suggestion_id}",
        Node(
            "activity",
            f"suggested by {row.campaign}",
            (f"iteration {row.iteration}, rank {row.rank}", f"seed {row.seed}"),
            f"/campaigns/{campaign}/suggestions?f.iteration={row.iteration}",
            {"iteration": row.iteration, "rank": row.rank, "agdVersion": row.agd_version},
        ),
    )
    graph.arrow(of, key, "wasGeneratedBy")
    n_initial, n_further = row.learned_from.get(0, 0), sum(n for i, n in row.learned_from.items() if i > 0)
    known = graph.add(
        f"known/{row.suggestion_id}",
        Node(
            "entity",
            f"labels known to {row.campaign}",
            (f"{n_initial:,} initial", f"{n_further:,} of {counted(row.iteration - 1, 'iteration')}"),
            f"/campaigns/{campaign}",
            {"nInitial": n_initial, "nOfIterations": n_further},
        ),
    )
    graph.arrow(key, known, "used")
    for name, node in graph.nodes.items():
        if node.facts.get("sha256") == row.autoencoder_sha256 is not None:
            graph.arrow(key, name, "used")
    for made in [one for one in row.made_from if one.depth == 1][:_MOST]:
        parent = graph.add(
            f"formula/{quote(made.reduced_formula)}",
            Node("entity", made.reduced_formula, (made.operator,), f"/composition/{quote(made.reduced_formula)}"),
        )
        graph.arrow(key, parent, "used")


def _add_label(graph: _Growing, label: Label, found: Lineage, of: str) -> None:
    spread = "" if label.uncertainty is None else f" ± {label.uncertainty:.2g}"
    state = ", retracted" if label.is_retracted else ""
    key = graph.add(
        f"label/{label.label_id}",
        Node(
            "entity",
            label.property.replace("_", " "),
            (
                f"{label.value:.4g}{spread} {label.unit}, {label.method}",
                f"label {label.label_id} from {label.source}{state}",
            ),
            facts={
                "property": label.property,
                "value": label.value,
                "unit": label.unit,
                "method": label.method,
                "isRetracted": label.is_retracted,
            },
        ),
    )
    graph.arrow(key, of, "wasDerivedFrom")
    if label.model_version_id is not None:
        graph.arrow(key, f"model/{label.model_version_id}", "wasDerivedFrom")
    elif label.source_kind == "dataset" and (source := _dataset(graph, label.source, found)) is not None:
        graph.arrow(key, source, "wasDerivedFrom")


def _add_structures(graph: _Growing, found: Lineage, of: str) -> None:
    for row in _lowest_of_searches(found.structures)[:_MOST]:
        template = graph.add(
            f"structure/{row.template_id}",
            Node(
                "entity",
                f"{row.template} {row.template_entry or ''}".strip(),
                ("a known structure",),
                f"/structures/{row.template_id}",
            ),
        )
        proposed = graph.add(
            f"structure/{row.structure_id}",
            Node(
                "entity",
                f"structure {row.structure_id}",
                (f"like {row.template}, distance {row.distance:.2g}", f"type {row.rank}, by {row.templates}"),
                f"/structures/{row.structure_id}",
                {"distance": row.distance, "templatesVersion": row.templates_version},
            ),
        )
        graph.arrow(proposed, template, "wasDerivedFrom")
        graph.arrow(proposed, of, "wasDerivedFrom")
        if row.relaxed_id is not None:
            _add_relaxed(graph, row, proposed)
    for one in found.calculations[:_MOST]:
        energy = "" if one.energy_ev_per_atom is None else f"{one.energy_ev_per_atom:.4f} eV/atom"
        key = graph.add(
            f"calculation/{one.calculation_id}",
            Node("activity", f"{one.kind} by {one.engine}", (one.method, energy) if energy else (one.method,)),
        )
        graph.arrow(key, f"structure/{one.structure_id}", "used")


def _lowest_of_searches(rows: Sequence[StructureCandidate]) -> list[StructureCandidate]:
    """Of each search and potential the relaxed structure of lowest energy; what was not relaxed by its rank."""
    lowest: dict[tuple[int, str | None], StructureCandidate] = {}
    for row in rows:
        at = (row.search_id, row.potential)
        if at not in lowest or _standing(row) < _standing(lowest[at]):
            lowest[at] = row
    return list(lowest.values())


def _standing(row: StructureCandidate) -> tuple[bool, float, int]:
    energy = row.energy_ev_per_atom
    return row.relaxed_id is None or energy is None, energy or 0.0, row.rank


def _add_relaxed(graph: _Growing, row: StructureCandidate, proposed: str) -> None:
    done = graph.add(
        f"relaxation/{row.relaxation_id}",
        Node(
            "activity",
            f"relaxed by {row.potential}",
            (str(row.potential_version), f"{row.n_steps} steps"),
            facts={"weightsSha256": str(row.weights_sha256)},
        ),
    )
    graph.arrow(done, proposed, "used")
    above = row.e_above_hull_ev_per_atom
    lines = [] if row.e_form_ev_per_atom is None else [f"formation energy {row.e_form_ev_per_atom:.3f} eV/atom"]
    lines += [] if above is None else [f"{1e3 * above:+.0f} meV/atom from {row.products}"]
    relaxed = graph.add(
        f"structure/{row.relaxed_id}",
        Node("entity", f"structure {row.relaxed_id}", lines, f"/structures/{row.relaxed_id}"),
    )
    graph.arrow(relaxed, done, "wasGeneratedBy")
