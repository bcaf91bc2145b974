"""`agd report` and the page of `agd compare`: one document that needs nothing but a browser or a sheet of paper."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

import agd
from agd.report import words
from agd.report.comparison import LINES, Compared, shown
from agd.report.drawing import as_svg, save
from agd.report.figures import (
    agreement_figure,
    best_figure,
    calibration_figure,
    comparison_figure,
    distribution_figure,
    finds_figure,
    funnel_figure,
    map_figure,
    outcomes_figure,
)
from agd.report.markup import Markup, definitions, element, figure, formula, page, table
from agd.report.material import N_FINDS, Material, collect, latest
from agd.report.several import together
from agd.report.traces import oracle_coverage, reliability
from agd.spec import CONTROLS
from agd.views import budget_in_words
from agd.work.workspace import Workspace

_SHA = 12
_SHORT_SHA = 8
_WIDE = (9.0, 3.2)


def report_page(workspace: Workspace, name: str) -> str:
    """A campaign on one page.

    Raises:
        NotFoundError: there is no campaign of that name.
    """
    found = collect(workspace, name)
    parts = [*_header(found), *_search(found), *_beside_controls(found), *_expectations(found), *_screening(found)]
    parts += [*together(found), *_finds(found), *_models(found), *_failures(found), *_specification(found), foot()]
    return page(f"{name}: {found.itself.figures['target']}", parts)


def write_figure(path: Path, compared: Sequence[Compared], *, force: bool) -> None:
    """Finds and best label against calls as a file; raises InputError as `agd.report.drawing.save` does."""
    save(path, lambda f: comparison_figure(f, compared), _WIDE, force=force)


def comparison_page(compared: Sequence[Compared]) -> str:
    """Campaigns side by side: the figure and the table."""
    names = ", ".join(one.name for one in compared)
    says = f"finds and best label against calls: {names}"
    drawn = as_svg("comparison", says, lambda f: comparison_figure(f, compared), _WIDE)
    caption = "Left: distinct finds after each oracle call. Right: the best label so far. Controls are grey and dashed."
    parts = [element("h1", "Campaigns compared"), element("p", names, class_="target"), figure(drawn, caption)]
    return page(names, [*parts, comparison_table(compared), foot()])


def comparison_table(compared: Sequence[Compared]) -> Markup:
    """A line for each figure, a column for each campaign."""
    titles = ["", *(one.name for one in compared)]
    rows = [[line.title, *(shown(line, one.figures) for one in compared)] for line in LINES]
    return table(titles, rows)


def happened(compared: Sequence[Compared], n_initial: int) -> str:
    """What happened, in words: calls, finds, and what the controls found."""
    figures = compared[0].figures
    if not figures["n_suggested"]:
        return (
            f"Nothing has been suggested yet: {words.counted(n_initial, 'label')} known from the start, "
            f"{words.counted(figures['budget_calls'], 'call')} to spend."
        )
    spent = f"{figures['n_calls']:,} of {words.counted(figures['budget_calls'], 'call')} spent"
    if figures["n_calls"] != figures["n_distinct"]:
        spent += f" on {words.counted(figures['n_distinct'], 'distinct composition')}"
    told = [spent]
    if figures["n_finds"]:
        told.append(words.counted(figures["n_finds"], "distinct find"))
        told.append(f"the first after {words.counted(figures['calls_to_first_find'], 'call')}")
    else:
        told.append("no find" if str(figures["state"]).startswith("ended") else "no find yet")
    said = ", ".join(told)
    twins = [f"the {one.figures['sampler_kind']} twin found {_found(one, figures)}" for one in compared[1:]]
    return "; ".join([said, *twins]) + "."


def _found(twin: Compared, figures: Mapping[str, Any]) -> str:
    n_calls = twin.figures["n_calls"]
    n_finds = f"{twin.figures['n_finds']:,}" if twin.figures["n_finds"] else "none"
    return n_finds if n_calls == figures["n_calls"] else f"{n_finds} in {words.counted(n_calls, 'call')}"


def _header(found: Material) -> list[Markup]:
    figures, facts, span = found.itself.figures, found.facts, found.span
    unit = figures["unit"]
    parts = [
        element("h1", found.itself.name, element("span", figures["state"], class_="state")),
        element("p", f"Target: {figures['target']}", class_="target"),
        element("p", happened(found.compared, facts["n_initial"]), class_="happened"),
    ]
    parts += [element("p", said) for said in _what_to_make_of_it(found)]
    pairs = [
        ("sampler", figures["sampler"]),
        ("oracle", figures["oracle"]),
        ("autoencoder", figures["autoencoder"] or ("not trained yet" if facts["spec"].get("autoencoder") else "none")),
        ("known from the start", words.counted(facts["n_initial"], "label")),
        ("best label", words.NOTHING if figures["best"] is None else f"{words.number(figures['best'])} {unit}"),
        ("mode", figures["mode"]),
        ("begun", words.when(found.progress.created_at)),
        ("last active", words.when(span["last_at"])),
        ("time at work", words.duration(figures["time_spent"])),
        ("seed", str(facts["seed"])),
        ("agd", ", ".join(span["agd_versions"] or [facts["agd_version"]])),
        ("host", ", ".join(span["hosts"] or [words.NOTHING])),
        ("sha256 of the specification", element("code", facts["spec_sha256"][:_SHA])),
    ]
    if found.content_hash is not None:
        pairs += [
            ("content hash", element("code", found.content_hash.sha256)),
            ("which covers", found.content_hash.covers),
        ]
    if found.amendments:
        pairs.insert(0, ("budget", budget_in_words(found.amendments)))
    if figures["twin_of"] is not None:
        pairs.insert(0, ("control of", figures["twin_of"]))
    return [*parts, definitions(pairs)]


def _what_to_make_of_it(found: Material) -> list[str]:
    """What a find is worth, and what is still open."""
    figures, metrics = found.itself.figures, found.facts["oracle_metrics"] or {}
    said = []
    if figures["n_finds"]:
        source = {row["source_kind"] for row in found.finds}
        judged = ""
        if source == {"oracle"}:
            errors = [f"R2 {metrics['r2']:.2f}"] if "r2" in metrics else []
            errors += [f"MAE {metrics['mae']:.2f} {figures['unit']}"] if "mae" in metrics else []
            on_held_out = f" ({', '.join(errors)} on held-out rows)" if errors else ""
            judged = f"A find is the opinion of the oracle {figures['oracle']}{on_held_out}, not a measurement. "
        bound = figures["n_finds_by_bound"]
        sure = "" if bound is None else f"{bound:,} of them meet the target with one stated sigma to spare; "
        valid = f"{words.share(figures['valid_find_share'])} are charge-neutral and electronegativity-balanced."
        said.append(f"{judged}The finds lie in {words.counted(figures['n_chemical_systems'], 'chemical system')}; ")
        said[-1] += f"{sure}{valid}"
    if figures["n_waiting"]:
        said.append(f"{words.counted(figures['n_waiting'], 'suggestion waits', 'suggestions wait')} for a label.")
    if figures["mode"] == "paper":
        said.append(
            "This campaign ran the published loop: a composition that comes again is charged again, "
            "and calls are more than distinct compositions."
        )
    return said


def _search(found: Material) -> list[Markup]:
    trace, figures = found.itself.trace, found.itself.figures
    what = f"{words.property_name(figures['property'])}, {figures['unit']}"
    drawn = []
    if trace.n_calls:
        drawn.append(_finds_drawn(found))
        drawn.append(_best_drawn(found, what))
    if len(trace.iteration):
        svg = as_svg("outcomes", "outcomes of suggestions by iteration", lambda f: outcomes_figure(f, trace))
        drawn.append(figure(svg, "What became of the suggestions of each iteration; only what is new is charged."))
    if len(found.initial) or trace.is_labelled.any():
        svg = as_svg(
            "labels", f"distribution of labels, {what}", lambda f: distribution_figure(f, found.initial, trace, what)
        )
        in_target = trace.bounds.holds(found.initial)
        shares = f"{words.share(float(in_target.mean()))} of the initial labels" if len(found.initial) else ""
        if trace.is_labelled.any():
            own = float(trace.is_find[trace.is_labelled].mean())
            shares = " and ".join(filter(None, (shares, f"{words.share(own)} of the campaign's own")))
        drawn.append(figure(svg, f"Labels by {what}: {shares} are in the target."))
    if not drawn:
        return []
    return [element("h2", "The search"), element("div", *drawn, class_="grid")]


def _finds_drawn(found: Material) -> Markup:
    svg = as_svg("finds", "distinct finds against oracle calls", lambda f: finds_figure(f, found.compared))
    controls = "; controls are grey and dashed" if len(found.compared) > 1 else ""
    return figure(svg, f"Distinct finds after each oracle call{controls}.")


def _best_drawn(found: Material, what: str) -> Markup:
    trace = found.itself.trace
    start = None
    if len(found.initial):
        start = float(found.initial[np.argmax(trace.bounds.objective(found.initial))])
    svg = as_svg("best", f"best label against oracle calls, {what}", lambda f: best_figure(f, found.compared, start))
    return figure(svg, f"The best label so far after each oracle call: {what}.")


def _beside_controls(found: Material) -> list[Markup]:
    if len(found.compared) == 1:
        kinds = " and ".join(CONTROLS)
        note = f"No control ran beside this campaign ({kinds}): whether the search beat chance is not on this page."
        return [] if found.itself.is_control else [element("p", note, class_="aside")]
    return [element("h2", "Beside its controls"), comparison_table(found.compared)]


def _expectations(found: Material) -> list[Markup]:
    trace, figures = found.itself.trace, found.itself.figures
    what = f"{words.property_name(figures['property'])}, {figures['unit']}"
    predicted, labelled, sd = trace.agreement()
    drawn = []
    if len(predicted):
        svg = as_svg("agreement", f"expected against labelled, {what}", lambda f: agreement_figure(f, trace, what))
        error = f"{words.number(float(np.abs(predicted - labelled).mean()))} {figures['unit']}"
        drawn.append(
            figure(svg, f"What the sampler expected (bars: one sd) against the label: {error} off on average.")
        )
    curve = reliability(predicted, labelled, sd)
    oracle = oracle_coverage(found.facts["oracle_metrics"] or {})
    if curve is not None or oracle:
        svg = as_svg("calibration", "calibration of intervals", lambda f: calibration_figure(f, curve, oracle))
        drawn.append(
            figure(svg, "How many labels fall within intervals meant to hold a share of them: on the diagonal.")
        )
    if found.map is not None:
        plane = found.map
        svg = as_svg(
            "map",
            "latent vectors in their principal plane",
            lambda f: map_figure(f, plane.initial, plane.points, plane.values, plane.is_find, plane.shares, what),
        )
        note = f"; {plane.n_left_out:,} suggestions left out evenly" if plane.n_left_out else ""
        drawn.append(figure(svg, f"Where the search went: latent vectors in their principal plane{note}."))
    return [element("h2", "What was expected, and where"), element("div", *drawn, class_="grid")] if drawn else []


def _screening(found: Material) -> list[Markup]:
    title = element("h2", "Screening")
    pair = latest(found.screenings)
    if not pair:
        command = element("code", f"agd screen {found.itself.name} --pool FILE")
        return [title, element("p", "Nothing has been screened yet; ", command, " does it.")]
    n_stages = max(len(one["stages"]) for one in pair)
    height = 0.9 + 0.2 * n_stages * max(2, len(pair))
    svg = as_svg("funnel", "formulas left by stage of the screening", lambda f: funnel_figure(f, pair), (6.6, height))
    picked = ", ".join(f"{one['role']} {one['n_hits']:,}" for one in pair)
    shared = "" if found.n_shared_hits is None else f"; {found.n_shared_hits:,} of them by both"
    target = pair[0]["criteria"].get("target")
    sought = f", screened for {target}" if target else ""
    parts = [title, element("p", f"Pool {pair[0]['source']}{sought}. Picked: {picked}{shared}.")]
    parts.append(figure(svg, "Formulas left after each stage, on a logarithmic axis.", alone=True))
    rows = [
        [
            one["role"],
            hit["rank"],
            formula(hit["reduced_formula"]),
            f"{words.with_error(hit['value'], hit['uncertainty'])} {hit['unit']}",
            f"{hit['pool_line']:,}",
            _why(hit["reduced_formula"]),
        ]
        for one in pair
        for hit in one["hits"]
    ]
    if rows:
        titles = ["screener", "rank", "formula", "predicted", "line of the pool", "lineage"]
        parts.append(table(titles, rows, numeric=(1, 4)))
    return parts


NO_BREAK_HYPHEN = "\u2011"


def _finds(found: Material) -> list[Markup]:
    n_finds = found.itself.figures["n_finds"]
    title = element("h2", "Best finds" if n_finds <= N_FINDS else f"The best {N_FINDS} of {n_finds:,} finds")
    if not found.finds:
        return [title, element("p", "None.")]
    has_latents = any(row["latent_id"] is not None for row in found.finds)
    titles = ["", "formula", f"label, {found.itself.figures['unit']}", "iteration.rank", "sampler expected", "at least"]
    titles += ["novelty", "claim", "valid", "listed in", "label from", *(["latent"] * has_latents), "lineage"]
    rows = []
    for place, row in enumerate(found.finds, start=1):
        expected = words.NOTHING
        if row["expected"] is not None:
            expected = words.with_error(row["expected"], row["expected_sd"])
        source = row["source"] if row["source_kind"] == "oracle" else f"{row['source_kind']} {row['source']}"
        rows.append(
            [
                place,
                formula(row["reduced_formula"]),
                _tight(words.with_error(row["value"], row["uncertainty"])),
                f"{row['iteration']}.{row['rank']}",
                _tight(expected),
                _tight(words.number(row["lower_bound"])),
                words.NOTHING if row["novelty"] is None else _novelty(row),
                _claim(row),
                words.NOTHING if row["is_valid"] is None else ("yes" if row["is_valid"] else "no"),
                (row["known_in"] or "nowhere").replace("-", NO_BREAK_HYPHEN),
                element(
                    "span", source, " ", element("code", (row["source_sha256"] or "")[:_SHORT_SHA]), class_="tight"
                ),
                *([words.NOTHING if row["latent_id"] is None else row["latent_id"]] * has_latents),
                _why(row["reduced_formula"]),
            ]
        )
    note = "± is one standard deviation as the source states it, and at least is the label less that; valid: "
    note += "charge-neutral and electronegativity-balanced."
    if found.finds[0]["reference"] is not None:
        note += f" Novelty is judged by {found.finds[0]['reference']}: a substitution changes one element of a formula."
    if any(row["e_above_hull_ev_per_atom"] is not None for row in found.finds):
        note += (
            " Beside a claim: how far above the hull of a potential's own energies its lowest relaxed structure lies."
        )
    numeric = (0, 11) if has_latents else (0,)
    return [title, table(titles, rows, numeric=numeric), element("p", note, class_="aside")]


def _claim(row: Mapping[str, Any]) -> Markup:
    """The level, and what a potential says of the hull."""
    above = row["e_above_hull_ev_per_atom"]
    said = element("span", row["claim"] or words.NOTHING)
    if above is None:
        return said
    shown = f"{mev:+d}" if (mev := round(1000 * above)) else "0"
    return element("span", said, "; ", _tight(f"{shown} meV/atom"), f" by {row['potential']}")


def _novelty(row: Mapping[str, Any]) -> Markup:
    """The class, and the known formula that it is one substitution from."""
    if row["analogue"] is None:
        return element("span", row["novelty"])
    return element("span", row["novelty"], " from ", formula(row["analogue"]))


def _why(reduced_formula: str) -> Markup:
    return element("code", f"agd why {quote(reduced_formula)}")


def _tight(words_: str) -> Markup:
    return element("span", words_, class_="tight")


def _models(found: Material) -> list[Markup]:
    title = element("h2", "Models")
    if not found.models:
        return [title, element("p", "None trained yet.")]
    titles = ["role", "kind", "version", "sha256", "seed", "trained on", "measured"]
    rows = [
        [
            row["role"],
            row["plugin"],
            row["model_version_id"],
            element("code", row["tensors_sha256"][:_SHA]),
            row["seed"],
            f"{row['n_members']:,} rows of {row['drawn_from'] or words.NOTHING}",
            ", ".join(f"{key.replace('_', ' ')} {_metric(key, row['metrics'][key])}" for key in sorted(row["metrics"])),
        ]
        for row in found.models
    ]
    return [title, table(titles, rows, numeric=(2,))]


def _metric(key: str, value: Any) -> str:
    if not isinstance(value, int | float):
        return str(value)
    if key.startswith("n_") or key.endswith(("epochs", "epoch")):
        return f"{value:,.0f}"
    return words.number(float(value))


def _failures(found: Material) -> list[Markup]:
    parts = [element("h2", "What did not succeed")]
    if not found.attempts and not found.barren:
        return [*parts, element("p", "No attempt failed, and every suggestion was decoded and accepted.")]
    if found.barren:
        rows = [
            [row["outcome"], row["reason"], f"{row['n']:,}", f"{row['first_iteration']} to {row['last_iteration']}"]
            for row in found.barren
        ]
        parts.append(table(["suggestion", "reason", "how many", "iterations"], rows, numeric=(2,)))
    if found.attempts:
        rows = [
            [row["kind"], words.NOTHING if row["iteration"] is None else row["iteration"], row["outcome"],
             row["error"] or words.NOTHING, f"{row['host']}, process {row['pid']}", words.when(row["started_at"])]
            for row in found.attempts
        ]  # fmt: skip
        parts.append(table(["step", "iteration", "outcome", "error", "where", "when"], rows, numeric=(1,)))
    else:
        parts.append(element("p", "No attempt at a step failed."))
    return parts


def _specification(found: Material) -> list[Markup]:
    return [element("h2", "Specification"), element("pre", found.facts["spec_text"])]


def foot() -> Markup:
    """The last line of every page."""
    return element("p", f"Written by agd {agd.__version__} from its record.", class_="foot")
