"""`agd why`: where a composition came from, as a tree."""

from collections import Counter
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.tree import Tree

from agd.claims import LEVELS
from agd.cli import show
from agd.cli.show import Force, Json, console, text
from agd.cli.why_structures import add_calculations, add_structures, claim_line
from agd.methods import UNSTATED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agd.views import Label, Lineage, ModelOnTheWay, PickedBy, Refusal, SuggestedKnowing

_SHOWN_ITERATIONS = 12


def why(
    formula: Annotated[str, typer.Argument(help="A formula, in any spelling.")],
    json: Json = False,
    graph: Annotated[
        Path | None, typer.Option("--graph", metavar="FILE", help="Draw it into this file, as SVG.")
    ] = None,
    prov: Annotated[
        Path | None, typer.Option("--prov", metavar="FILE", help="Write it into this file, as PROV-JSON of the W3C.")
    ] = None,
    force: Force = False,
    timing: Annotated[bool, typer.Option("--timing", help="Say how long the query took.")] = False,
) -> None:
    """Show everything that led to a composition: suggestions, labels, models and the rows they were trained on."""
    from agd.steps.reading.explaining import why as explain

    show.require_outputs(graph, prov, force=force)
    with show.workspace() as workspace:
        found = explain(workspace, formula)
    if graph is not None or prov is not None:
        _write(found, graph, prov, force=force)
    if json:
        show.print_json(found)
        return
    console.print(_tree(found))
    if timing:
        console.print(f"query: {found.query_ms} ms")


def _write(found: "Lineage", graph: Path | None, prov: Path | None, *, force: bool) -> None:
    from agd.report.provenance import prov_json, provenance_of
    from agd.report.provenance_drawing import draw
    from agd.writing import write_text

    whole = provenance_of(found)
    if graph is not None:
        write_text(graph, draw(whole), force=force)
        show.say_aside(f"wrote {graph}")
    if prov is not None:
        write_text(prov, dumps(prov_json(whole), indent=1, ensure_ascii=False) + "\n", force=force)
        show.say_aside(f"wrote {prov}")


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command()(why)


def _tree(found: "Lineage") -> Tree:
    row = found.composition
    tree = Tree(
        f"[bold]{found.formula}[/]  {row.chemical_system}, {row.anonymous_formula}, {row.n_atoms} atoms; "
        f"first stored by {row.made_by} on {text(row.made_at)}"
    )
    for verdict in found.verdicts:
        neutral, balanced = verdict.is_charge_neutral, verdict.is_electronegativity_balanced
        tree.add(
            f"rule {verdict.rule} v{verdict.rule_version}: charge neutral {text(neutral)}, "
            f"electronegativity balanced {text(balanced)}"
        )
    if found.claim.level > LEVELS.index("valid"):
        tree.add(claim_line(found.claim))
    labels = {label.label_id: label for label in found.labels}
    if ambiguous := _of_several(found):
        tree.add(ambiguous)
    _add_datasets(tree, found, labels)
    for hit in found.screenings:
        _add_screening(tree, hit)
    for campaign in dict.fromkeys(row.campaign for row in found.suggestions):
        rows = [row for row in found.suggestions if row.campaign == campaign]
        _add_suggestions(tree.add(f"[bold]campaign {escape(campaign)}[/]"), rows, labels)
    _add_refusals(tree, found.refusals)
    used = {row.label_id for row in found.suggestions}
    used |= {one.label_id for row in found.suggestions for one in row.properties}
    for label in found.labels:
        if label.source_kind != "dataset" and label.label_id not in used and label.activity != "label structures":
            tree.add(_label_line(label))  # those of structures stand with the structures
    add_structures(tree, found)
    add_calculations(tree, found)
    if found.model_versions:
        _add_models(tree.add("[bold]models on the way[/]"), found.model_versions)
    return tree


def _of_several(found: "Lineage") -> str:
    """Which label is shown where several of a property stand, and by which method."""
    standing = Counter(label.property for label in found.labels if not label.is_retracted)
    best = [label for label in found.labels if found.best_labels.get(label.property) == label.label_id]
    shown = [
        f"{label.property} [bold]{text(label.value)} {label.unit}[/] by {escape(label.method)} (label "
        f"{label.label_id}, of {standing[label.property]})"
        for label in best
        if standing[label.property] > 1
    ]
    return f"of the highest fidelity: {'; '.join(shown)}" if shown else ""


def _add_datasets(tree: Tree, found: "Lineage", labels: "Mapping[int, Label]") -> None:
    listed = [d for d in found.datasets if d.line is not None and not d.is_generated]
    if not listed and not found.generations:
        tree.add("in no dataset" + (": a composition that a campaign made" if found.suggestions else ""))
    for dataset in listed:
        node = tree.add(
            f"[bold]dataset {escape(dataset.name)}[/]  line {dataset.line} of {escape(dataset.source)} as "
            f"{escape(dataset.formula or '-')}, sha256 {dataset.source_sha256[:12]}, "
            f"imported {text(dataset.imported_at)}"
        )
        for label in labels.values():
            if label.source_kind == "dataset" and label.source == dataset.name:
                node.add(_label_line(label))
    for made in found.generations:
        made_by = (made.generator, made.generator_sha256, made.seed)
        of_it = f"the first of {made.n_samples:,}" if made.n_samples > 1 else "the only one"
        tree.add(
            f"{_sample_line(made.sample, made.generation, made_by)}, as {escape(made.generated_formula)}, "
            f"{of_it} of it, model version {made.model_version_id}, "
            f"{text(made.generated_at)}"
        )
    if found.initial_in:
        tree.add(f"among the initial rows of {escape(', '.join(found.initial_in))}")


def _sample_line(sample: int, generation: str, made_by: tuple[str, str, int | None]) -> str:
    """`made_by` is the generator, its hash, and the seed."""
    generator, sha256, seed = made_by
    return (
        f"sample {sample:,} of [bold]generation {escape(generation)}[/]: generator {escape(generator)} "
        f"{sha256[:12]}, seed {seed}"
    )


def _add_screening(tree: Tree, hit: "PickedBy") -> None:
    judge = f"the [bold]{hit.role}[/] screener" if hit.role != "model" else f"model version {hit.model_version_id}"
    whose = "" if hit.campaign is None else f" of campaign [bold]{escape(hit.campaign)}[/]"
    node = tree.add(
        f"picked by {judge}{whose} on "
        f"{text(hit.screened_at)}: rank {text(hit.rank)} of {text(hit.n_hits)}, [bold]"
        f"{text(hit.value)} +- {text(hit.uncertainty)} {hit.unit}[/] (a prediction, no label)"
    )
    source = f"line {text(hit.pool_line)} of pool {escape(hit.pool)} as {escape(hit.pool_formula)}, sha256 "
    source += hit.pool_sha256[:12]
    if hit.pool_generator is not None:
        generator = (hit.pool_generator, hit.pool_generator_sha256 or "", hit.pool_seed)
        source = f"{_sample_line(hit.pool_line, hit.pool, generator)}, as {escape(hit.pool_formula)}"
    node.add(f"{source}, wanted {escape(hit.criteria['target'])}")
    trained = hit.trained_on
    learned = _labels_by_iteration(trained.initial, trained.by_iteration)
    if hit.role == "model" and not trained.by_iteration:
        learned = f"{trained.initial} rows"
    since = f", {trained.retracted_since} of them retracted since" if trained.retracted_since else ""
    node.add(
        f"screener {escape(hit.screener)}, model version {hit.model_version_id}, sha256 "
        f"{hit.screener_sha256[:12]}: trained on {learned}{since}"
    )


def _add_suggestions(node: Tree, rows: "Sequence[SuggestedKnowing]", labels: "Mapping[int, Label]") -> None:
    first = next((row for row in rows if row.outcome == "new"), rows[0])
    found = node.add(
        f"suggested in [bold]iteration {first.iteration}[/], rank {first.rank} on {text(first.suggested_at)}, "
        f"seed {first.seed}: {first.outcome}" + (f" ({escape(first.reason)})" if first.reason else "")
    )
    if first.acquisition is not None:
        found.add(f"sampler expected {_expected(first)}, acquisition {text(first.acquisition)}")
    found.add(_learned_line(first.learned_from))
    if first.autoencoder_sha256 is not None:
        found.add(f"latent {first.latent_id} of autoencoder {first.autoencoder_sha256[:12]}, {first.proposed} proposed")
    for made in first.made_from:
        found.add(
            f"{'child of' if made.depth == 1 else '  itself a child of'} [bold]{escape(made.reduced_formula)}[/], "
            f"{escape(made.operator)}, iteration {made.iteration}"
        )
    if first.label_id is not None and first.label_id in labels:
        find = ", [green]a find[/]" if first.is_find else ""
        if first.is_on_front:
            find += ", on the Pareto front of the campaign"
        found.add(_label_line(labels[first.label_id]) + find)
        for one in first.properties[1:]:
            if one.label_id is not None and one.label_id in labels:
                found.add(_label_line(labels[one.label_id]) + (", [green]meets its target[/]" if one.is_met else ""))
    if first.novelty is not None:
        found.add(_sureness_line(first))
    others = [f"{row.iteration}.{row.rank}" for row in rows if row is not first]
    if others:
        shown = ", ".join(others[:_SHOWN_ITERATIONS]) + (" ..." if len(others) > _SHOWN_ITERATIONS else "")
        node.add(f"suggested {len(others)} more times, not charged (iteration.rank: {shown})")


def _expected(row: "SuggestedKnowing") -> str:
    """What the sampler expected of each property, in its unit; a sampler of a window may say none."""
    if not row.properties:
        return f"{text(row.expected)} +- {text(row.expected_sd)} {row.unit}"
    return " and ".join(
        f"{one.property} {text(one.expected)} +- {text(one.expected_sd)} {one.unit}" for one in row.properties
    )


def _sureness_line(row: "SuggestedKnowing") -> str:
    """How new it is, beside what, and how sure its value."""
    like = "" if row.analogue is None else f", from [bold]{escape(row.analogue)}[/]"
    bound = (
        "" if row.lower_bound is None else f"; at least {text(row.lower_bound)} {row.unit} by one standard deviation"
    )
    return f"{row.novelty}{like} (known: {escape(row.reference or '-')}){bound}"


def _add_refusals(tree: Tree, rows: "Sequence[Refusal]") -> None:
    """The first refusal of each kind, and how many like it followed."""
    alike: dict[tuple[str | None, ...], list[Refusal]] = {}
    for row in rows:
        alike.setdefault((row.campaign, row.pool, row.generation, row.reason), []).append(row)
    for first, *others in alike.values():
        tree.add(escape(first.words) + (f"; {len(others)} times more" if others else ""))


def _learned_line(learned: "Mapping[int, int]") -> str:
    return f"known by then: {_labels_by_iteration(learned[0], {i: n for i, n in learned.items() if i > 0})}"


def _labels_by_iteration(n_initial: int, by_iteration: "Mapping[int, int]") -> str:
    some = {i: n for i, n in by_iteration.items() if n > 0}
    line = f"{n_initial} initial labels"
    if not some:
        return line
    runs = _runs(some)
    dots = "..., " if len(runs) > _SHOWN_ITERATIONS else ""
    return (
        f"{line} and {sum(some.values())} labels of iterations 1 to {max(by_iteration)} (iteration: labels "
        f"{dots}{', '.join(runs[-_SHOWN_ITERATIONS:])})"
    )


def _runs(by_iteration: dict[int, int]) -> list[str]:
    """`1-14: 20 each, 15: 18` for as many labels in one iteration after another."""
    runs: list[tuple[int, int, int]] = []
    for i, n in sorted(by_iteration.items()):
        if runs and runs[-1][1:] == (i - 1, n):
            runs[-1] = (runs[-1][0], i, n)
        else:
            runs.append((i, i, n))
    return [f"{last}: {n}" if first == last else f"{first}-{last}: {n} each" for first, last, n in runs]


def _label_line(label: "Label") -> str:
    spread = f" +- {text(label.uncertainty)}" if label.uncertainty is not None else ""
    line = (
        f"label {label.label_id}: {label.property} = [bold]{text(label.value)}{spread} {label.unit}[/] {_origin(label)}"
    )
    if label.is_retracted:
        line += f" [red]retracted[/] on {text(label.retracted_at)}: {escape(label.retraction_reason or '-')}"
    return line


def _origin(label: "Label") -> str:
    """Where a label comes from."""
    source = escape(label.source)
    if label.source_kind == "measurement":
        replicate = f", replicate {label.replicate}" if (label.replicate or 1) > 1 else ""
        note = f" ({escape(label.note)})" if label.note else ""
        return f"measured by {source} on {label.measured_on}{replicate}{note}"
    version = "" if label.model_version_id is None else f" (model version {label.model_version_id})"
    method = "" if label.source_kind == "oracle" or label.method == UNSTATED else f" ({escape(label.method)})"
    return f"from {label.source_kind} {source}{version}{method}, {text(label.started_at)}"


def _add_models(node: Tree, models: "Sequence[ModelOnTheWay]") -> None:
    for model in models:
        role = {None: "never saw this composition", True: "held this composition out", False: "trained on this one too"}
        version = node.add(
            f"[bold]{model.kind} {escape(model.plugin)}[/], model version {model.id}, "
            f"sha256 {model.tensors_sha256[:12]}, seed {model.seed}, trained {text(model.started_at)} "
            f"with agd {model.agd_version} on {escape(model.host)}"
        )
        version.add(f"trained on {escape(model.drawn_from or '-')}; {role[model.is_held_out]}")
        metrics = "  ".join(f"{key} {text(value)}" for key, value in sorted(model.metrics.items()))
        version.add(f"measured: {metrics}")
