"""What a target leaves behind: a page, a table of all its lines, and the same as JSON."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agd.report import words
from agd.report.drawing import as_svg
from agd.report.markup import Markup, element, figure, page, table
from agd.report.page import foot
from agd.reproduction.outcome import Compared, Drawing, Figure, Line, Listed, Outcome, Part, Words, rows_and_quantities
from agd.writing import write_text

_COLUMNS: Final = (
    "target",
    "table",
    "row",
    "quantity",
    "ours",
    "ours_sd",
    "ours_n",
    "paper",
    "paper_sd",
    "paper_n",
    "difference",
    "note",
    "rests_on",
)


_WIDE_INCHES: Final = 8.0
"""From this width on a figure takes that of the page."""


_SUFFIXES: Final = (".html", ".csv", ".json")


def places(folder: Path, target: str) -> list[Path]:
    """What `write` makes of a target."""
    return [folder / f"{target}{suffix}" for suffix in _SUFFIXES]


def write(folder: Path, outcome: Outcome, *, force: bool) -> list[Path]:
    """Write TARGET.html, .csv and .json into a folder.

    Raises:
        InputError: one is there and `force` is not set, or cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        ".html": as_page(outcome),
        ".csv": as_csv(outcome),
        ".json": json.dumps(outcome.told(), indent=2, ensure_ascii=False, default=str) + "\n",
    }
    written = places(folder, outcome.target)
    for path in written:
        write_text(path, contents[path.suffix], force=force)
    return written


def as_csv(outcome: Outcome) -> str:
    """Every line of every table, one to a row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS)
    writer.writeheader()
    for part in outcome.parts:
        if isinstance(part, Compared):
            for line in part.lines:
                told = line.told()
                rests_on = "; ".join(told["rests_on"])
                writer.writerow({**told, "target": outcome.target, "table": part.title, "rests_on": rests_on})
    return text.getvalue()


def as_page(outcome: Outcome) -> str:
    """The outcome as a document that needs nothing but a browser."""
    parts = [element("h1", outcome.title), element("p", outcome.lead, class_="happened")]
    for part in outcome.parts:
        parts += _part(part)
    return page(outcome.title, [*parts, foot()])


def shown_rows(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows of a table of lines: a row of ours, and one of the paper's where it has any."""
    rows, quantities = rows_and_quantities(lines)
    by_place = {(line.row, line.quantity): line for line in lines}
    shown = []
    for row in rows:
        here = [by_place.get((row, quantity)) for quantity in quantities]
        shown.append([row, *(_cell(line, None if line is None else line.ours) for line in here)])
        if any(line is not None and line.paper is not None for line in here):
            shown.append(["  paper", *(_cell(line, None if line is None else line.paper) for line in here)])
    return ["", *quantities], shown


def _cell(line: Line | None, found: Figure | None) -> str:
    return words.NOTHING if line is None or found is None else found.text(line.decimals)


def _part(part: Part) -> list[Markup]:
    match part:
        case Compared():
            titles, rows = shown_rows(part.lines)
            marked = [
                [element("span", cell, class_="aside") if row[0].startswith(" ") else cell for cell in row]
                for row in rows
            ]
            notes = dict.fromkeys(f"{line.row}, {line.quantity}: {line.note}" for line in part.lines if line.note)
            drawn = table(titles, marked, numeric=range(1, len(titles)))
            said = [element("p", text) for text in part.words]
            return [element("h2", part.title), drawn, *said, *(element("p", note, class_="aside") for note in notes)]
        case Listed():
            rows = [[_plain(cell) for cell in row] for row in part.rows]
            numeric = [i for i in range(len(part.columns)) if all(isinstance(r[i], int | float) for r in part.rows)]
            drawn = table(part.columns, rows, numeric=numeric)
            return [element("h2", part.title), drawn, *(element("p", text) for text in part.words)]
        case Drawing():
            svg = as_svg(part.name, part.says, part.draw, part.size)
            return [figure(svg, part.caption, alone=part.size[0] < _WIDE_INCHES)]
        case Words():
            return [element("h2", part.title), *(element("p", text) for text in part.paragraphs)]


def _plain(cell: object) -> str:
    return words.number(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else str(cell)
