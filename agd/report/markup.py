"""HTML by hand: everything is escaped unless it is markup already; one style sheet, for screens and paper."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


STYLE: Final = """
:root { color-scheme: light; --ink: #222; --soft: #666; --line: #ddd; --wash: #f6f7f8; --link: #0072B2; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 28px 24px 48px; max-width: 1100px; background: #fff; color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 26px; line-height: 1.2; margin: 0; }
h2 { font-size: 18px; margin: 36px 0 8px; padding-top: 12px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 22px 0 6px; }
p { margin: 6px 0 10px; max-width: 78ch; }
.target { color: var(--soft); font-size: 17px; margin: 2px 0 14px; }
.happened { font-size: 17px; max-width: 70ch; }
.aside, figcaption, .foot { color: var(--soft); font-size: 13px; }
.state { display: inline-block; padding: 1px 9px; border-radius: 10px; background: var(--wash); color: var(--ink);
  border: 1px solid var(--line); font-size: 13px; vertical-align: 3px; margin-left: 8px; font-weight: normal; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 8px 20px; margin: 16px 0 0;
  padding: 12px 14px; background: var(--wash); border-radius: 6px; }
dt { color: var(--soft); font-size: 12px; }
dd { margin: 0; overflow-wrap: anywhere; font-size: 14px; }
.grid { display: grid; grid-template-columns: 1fr 1fr; gap: 18px 26px; margin-top: 12px; align-items: start; }
figure { margin: 0; break-inside: avoid; }
figure svg { display: block; width: 100%; height: auto; font-family: inherit; }
figure.alone, .grid > figure:last-child:nth-child(odd) { grid-column: 1 / -1; max-width: 640px; }
figcaption { margin-top: 2px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; margin: 8px 0; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 12.5px; vertical-align: bottom; }
th, td { padding: 4px 12px 4px 0; border-bottom: 1px solid #eee; vertical-align: top; }
td.n, th.n { text-align: right; }
.tight { white-space: nowrap; }
tr { break-inside: avoid; }
td.wide { min-width: 260px; }
sub { font-size: 75%; line-height: 0; }
code, pre { font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
td code { white-space: nowrap; }
pre { background: var(--wash); padding: 12px 14px; border-radius: 6px; overflow-x: auto; white-space: pre-wrap; }
@media (max-width: 760px) { body { padding: 18px 14px; font-size: 14.5px; } .grid { grid-template-columns: 1fr; } }
@page { size: A4; margin: 14mm 13mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; } h2 { break-after: avoid; margin-top: 20px; }
  .grid { grid-template-columns: 1fr 1fr; gap: 12px 16px; } table { font-size: 8pt; } th { font-size: 8pt; }
  th, td { padding-right: 7px; } code, pre { font-size: 7.5pt; } .scroll { overflow: visible; }
  td code { white-space: normal; } dl { grid-template-columns: repeat(auto-fill, minmax(44mm, 1fr)); gap: 4px 12px; }
  dd { font-size: 9pt; } figcaption { font-size: 8pt; } th, td { padding-top: 2px; padding-bottom: 2px; }
  .grid > figure:last-child:nth-child(odd) { max-width: 110mm; }
}
"""


def page(title: str, body: Iterable[str]) -> str:
    """A whole document that fetches nothing and runs nothing."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def shown(value: object) -> str:
    """Markup as it is, anything else escaped."""
    return value if isinstance(value, Markup) else escape(str(value))


def element(tag: str, *content: object, **attributes: str) -> Markup:
    """An element; a trailing underscore of an attribute's name is dropped (`class_`)."""
    given = "".join(f' {name.rstrip("_")}="{escape(value)}"' for name, value in attributes.items())
    return Markup(f"<{tag}{given}>{''.join(map(shown, content))}</{tag}>")


def formula(text: str) -> Markup:
    """A formula with its counts as subscripts."""
    return Markup(re.sub(r"(\d+(?:\.\d+)?)", r"<sub>\1</sub>", escape(text)))


def definitions(pairs: Iterable[tuple[str, object]]) -> Markup:
    """A list of terms, each with what is said of it."""
    return element("dl", *(element("div", element("dt", term), element("dd", said)) for term, said in pairs))


def table(titles: Sequence[str], rows: Iterable[Sequence[object]], *, numeric: Iterable[int] = ()) -> Markup:
    """A table; columns of the places in `numeric` stand to the right."""
    right = frozenset(numeric)

    def cells(tag: str, row: Sequence[object]) -> list[Markup]:
        return [element(tag, cell, class_="n") if i in right else element(tag, cell) for i, cell in enumerate(row)]

    head = element("thead", element("tr", *cells("th", titles)))
    body = element("tbody", *(element("tr", *cells("td", row)) for row in rows))
    return element("div", element("table", head, body), class_="scroll")


def figure(svg: str, caption: str, *, alone: bool = False) -> Markup:
    """A figure with its caption."""
    content = (Markup(svg), element("figcaption", caption))
    return element("figure", *content, class_="alone") if alone else element("figure", *content)
