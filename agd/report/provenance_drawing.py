"""A graph of provenance as SVG: layers from left to right, what there was before what came of it."""

from collections.abc import Sequence
from graphlib import TopologicalSorter
from html import escape
from typing import Final

from agd.report.provenance import Node, Provenance

_WIDTH: Final = 220
_GAP_X: Final = 46
_GAP_Y: Final = 14
_LINE: Final = 15
_PADDING: Final = 9
_MARGIN: Final = 10
_SWEEPS: Final = 6
_FITS: Final = 33
"""Letters that fit into a box in the small type."""

_XMLNS: Final = ' xmlns="http://www.w3.org/2000/svg"'
_TIP: Final = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L8 4L0 8z"/></marker></defs>'
)
_STYLE: Final = """
.provenance { font-family: system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif; font-size: 11.5px; }
.provenance rect { fill: #fff; stroke: #9aa3ab; }
.provenance .activity rect { fill: #f0f2f4; }
.provenance .of rect { stroke: #0072b2; stroke-width: 2.5; }
.provenance text { fill: #55606a; }
.provenance .title { fill: #16191c; font-weight: 600; font-size: 12.5px; }
.provenance path { fill: none; stroke: #9aa3ab; }
.provenance marker path { fill: #9aa3ab; stroke: none; }
"""


def draw(graph: Provenance, *, is_alone: bool = True, has_links: bool = False) -> str:
    """The graph as SVG text; alone it brings its colours, on a page those of the page hold (class `provenance`)."""
    layers = _ordered(graph)
    heights = {key: 2 * _PADDING + _LINE * (1 + len(node.lines)) for key, node in graph.nodes.items()}
    totals = [sum(heights[key] + _GAP_Y for key in layer) - _GAP_Y for layer in layers]
    height = max(totals) + 2 * _MARGIN
    places: dict[str, tuple[float, float]] = {}
    for column, (layer, total) in enumerate(zip(layers, totals, strict=True)):
        y = (height - total) / 2
        for key in layer:
            places[key] = (_MARGIN + column * (_WIDTH + _GAP_X), y)
            y += heights[key] + _GAP_Y
    width = 2 * _MARGIN + len(layers) * (_WIDTH + _GAP_X) - _GAP_X
    title = f"Where {graph.nodes[graph.of].title} comes from"
    size = f'viewBox="0 0 {width} {height:g}" width="{width}" height="{height:g}"'
    parts = [
        f'<svg{_XMLNS if is_alone else ""} class="provenance" {size} role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>" if is_alone else "",
        _TIP,
    ]
    parts += [
        _arrow(places[cause], heights[cause], places[effect], heights[effect]) for effect, cause, _ in graph.arrows
    ]
    parts += [
        _box(node, places[key], heights[key], is_of=key == graph.of, has_links=has_links)
        for key, node in graph.nodes.items()
    ]
    return "".join(parts) + "</svg>\n"


def _ordered(graph: Provenance) -> list[list[str]]:
    """Keys by layer: each behind its causes, near to what it is tied to (barycentres, Sugiyama et al. 1981)."""
    causes: dict[str, list[str]] = {key: [] for key in graph.nodes}
    effects: dict[str, list[str]] = {key: [] for key in graph.nodes}
    for effect, cause, _ in graph.arrows:
        causes[effect].append(cause)
        effects[cause].append(effect)
    of: dict[str, int] = {}
    for key in TopologicalSorter(causes).static_order():
        of[key] = max((of[one] + 1 for one in causes[key]), default=0)
    for key in [key for key in of if not causes[key]]:  # next to the first of what came of it, not at the far left
        of[key] = min((of[one] for one in effects[key]), default=1) - 1
    layers = [[key for key in graph.nodes if of[key] == i] for i in range(max(of.values()) + 1)]
    for sweep in range(_SWEEPS):
        ties = causes if sweep % 2 == 0 else effects
        at = {key: i / max(len(layer), 1) for layer in layers for i, key in enumerate(layer)}
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            near = {key: _mean([at[one] for one in ties[key]], at[key]) for key in layer}
            layer.sort(key=near.__getitem__)
            at |= {key: i / len(layer) for i, key in enumerate(layer)}
    return layers


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _arrow(cause: tuple[float, float], from_height: float, effect: tuple[float, float], to_height: float) -> str:
    x0, y0 = cause[0] + _WIDTH, cause[1] + from_height / 2
    x1, y1 = effect[0] - 2, effect[1] + to_height / 2
    bend = max((x1 - x0) / 2, _GAP_X / 2)
    return f'<path d="M{x0:g} {y0:g}C{x0 + bend:g} {y0:g} {x1 - bend:g} {y1:g} {x1:g} {y1:g}" marker-end="url(#tip)"/>'


def _box(node: Node, place: tuple[float, float], height: float, *, is_of: bool, has_links: bool) -> str:
    x, y = place
    corner = 4 if node.kind == "entity" else height / 2
    words = [node.title, *node.lines]
    lines = "".join(
        f'<text class="{"line" if i else "title"}" x="{x + _WIDTH / 2:g}" y="{y + _PADDING + _LINE * (i + 0.8):g}" '
        f'text-anchor="middle">{escape(_short(word, is_title=i == 0))}</text>'
        for i, word in enumerate(words)
    )
    body = (
        f'<g class="{node.kind}{" of" if is_of else ""}"><title>{escape("; ".join(words))}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{height:g}" rx="{corner:g}"/>{lines}</g>'
    )
    return f'<a href="{escape(node.page)}">{body}</a>' if has_links and not is_of and node.page is not None else body


def _short(word: str, *, is_title: bool) -> str:
    most = _FITS - 6 if is_title else _FITS
    return word if len(word) <= most else f"{word[: most - 1]}…"
