"""Curves, calibration, words and marks of the report, on arrays small enough to count by hand."""

import math
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agd.report import words
from agd.report.drawing import as_svg, end_labels
from agd.report.markup import Markup, element, formula, table
from agd.report.traces import (
    Trace,
    factor_of,
    level_of,
    oracle_coverage,
    per_iteration,
    principal_plane,
    reliability,
    trace_of,
)
from agd.target import Bounds

# outcome, charged, value (None: no label), retracted
ROWS = [
    ("new", True, 3.0, False),
    ("undecodable", False, None, False),
    ("new", True, 7.0, False),
    ("duplicate", False, 7.0, False),
    ("new", True, 9.0, True),
    ("new", True, 6.5, False),
    ("new", True, 1.0, False),
    ("new", False, None, False),
]


def made(
    low: float | None = 6.0,
    high: float | None = None,
    rows: list[Any] | None = None,
    feasible: set[int] | None = None,
) -> Trace:
    listed = [
        SimpleNamespace(
            iteration=1 + i // 4,
            rank=1 + i % 4,
            outcome=outcome,
            is_charged=charged,
            is_retracted=retracted,
            value=value,
            uncertainty=None,
            expected=None if value is None else value + 1,
            expected_sd=None if value is None else 0.5,
            further_values=None if feasible is None else [1.0 if i in feasible else 0.0],
            further_are_retracted=None if feasible is None else [False],
            latent_id=i,
        )
        for i, (outcome, charged, value, retracted) in enumerate(ROWS if rows is None else rows)
    ]
    further = [] if feasible is None else [(Bounds(low=0.5), "density")]
    return trace_of(listed, Bounds(low=low, high=high), "band_gap", further)


def test_finds_are_distinct_and_stand_at_their_call() -> None:
    calls, finds = made().finds()
    assert list(zip(calls.tolist(), finds.tolist(), strict=True)) == [(0, 0), (2, 1), (4, 2), (5, 2)]
    assert made().n_calls == 5


def test_the_best_is_by_the_target_and_without_retracted_labels() -> None:
    calls, best = made().best()
    assert list(zip(calls.tolist(), best.tolist(), strict=True)) == [(1, 3), (2, 7), (5, 7)]
    assert made(None, 2.0).best()[1].tolist() == [3.0, 1.0]
    assert made(2.0, 4.0).best()[1].tolist() == [3.0, 3.0]  # a value, never a distance to the window
    assert [made(low, high).best_value() for low, high in ((6.0, None), (None, 2.0), (5.0, 6.6))] == [7.0, 1.0, 6.5]


def test_the_best_of_several_properties_meets_the_others() -> None:
    some = made(feasible={0, 5, 6})
    assert some.is_find.tolist() == [False] * 5 + [True] + [False] * 2
    calls, best = some.best()
    assert list(zip(calls.tolist(), best.tolist(), strict=True)) == [(1, 3), (4, 6.5), (5, 6.5)]
    assert (some.best_value(), made(feasible=set()).best_value()) == (6.5, 7.0)


def test_nothing_suggested_has_empty_curves() -> None:
    empty = made(rows=[])
    assert (empty.n_calls, empty.best_value()) == (0, None)
    assert [len(axis) for curve in (empty.finds(), empty.best()) for axis in curve] == [1, 1, 0, 0]


def test_outcomes_by_iteration() -> None:
    numbers, counts = per_iteration(made())
    assert numbers.tolist() == [1, 2]
    assert {name: n.tolist() for name, n in counts.items() if n.any()} == {
        "new": [2, 4],
        "duplicate": [1, 0],
        "undecodable": [1, 0],
    }


def test_what_the_sampler_expected_is_compared_as_the_property() -> None:
    predicted, labelled, sd = made().agreement()
    assert (predicted.tolist(), labelled.tolist()) == ([4.0, 8.0, 7.5, 2.0], [3.0, 7.0, 6.5, 1.0])
    assert set(sd) == {0.5}
    for bounds in ((None, 2.0), (2.0, 4.0)):
        assert made(*bounds).agreement()[0].tolist() == predicted.tolist()


def test_reliability_tells_the_honest_from_the_sure() -> None:
    noise = np.random.default_rng(0).normal(size=20_000)
    levels, inside = reliability(np.zeros(20_000), noise, np.ones(20_000)) or pytest.fail("no curve")
    assert np.abs(levels - inside).max() < 0.015
    _, sure = reliability(np.zeros(20_000), noise, np.full(20_000, 0.5)) or pytest.fail("no curve")
    assert (sure < levels).all()
    assert reliability(np.zeros(5), noise[:5], np.ones(5)) is None
    assert math.isclose(level_of(1.0), 0.6826894921)
    assert math.isclose(factor_of(level_of(1.7)), 1.7)


def test_the_oracle_speaks_by_its_metrics() -> None:
    found = oracle_coverage({"coverage_1_sigma": 0.7, "coverage_2_sigma": 0.94, "interval_90": 1.7, "r2": 0.7})
    assert [round(nominal, 3) for nominal, _ in found] == [0.683, 0.911, 0.954]
    assert [observed for _, observed in found] == [0.7, 0.9, 0.94]
    assert oracle_coverage({"interval_90": 1.7, "coverage_interval_90": 0.92}) == [(0.9, 0.92)]
    assert oracle_coverage({}) == []


def test_the_principal_plane_keeps_distances() -> None:
    flat = np.random.default_rng(1).normal(size=(40, 2)) * [5.0, 2.0]
    turned = flat @ np.linalg.qr(np.random.default_rng(2).normal(size=(6, 2)))[0].T
    first, second, shares = principal_plane(turned[:15], turned[15:])
    assert math.isclose(sum(shares), 1.0)
    assert shares[0] > shares[1]
    both = np.concatenate([first, second])
    assert np.allclose(np.linalg.norm(both[0] - both[-1]), np.linalg.norm(flat[0] - flat[-1]))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.number(None), "-"),
        (words.number(12345), "12,345"),
        (words.number(0.12345), "0.1235"),
        (words.share(0.99976), "99.98 %"),
        (words.share(1.0), "100 %"),
        (words.share(0.0004), "0.04 %"),
        (words.share(0.416), "41.6 %"),
        (words.with_error(7.3412, 0.237), "7.34 ± 0.24"),
        (words.with_error(7.3412, 2.37), "7.3 ± 2.4"),
        (words.with_error(7.3412, 23.7), "7 ± 24"),
        (words.with_error(7.3412, None), "7.341"),
        (words.duration(timedelta(seconds=245)), "4 min 05 s"),
        (words.counted(1, "find"), "1 find"),
        (words.counted(1000, "call"), "1,000 calls"),
        (words.sampler({"sampler": {"kind": "ucb"}}, '[sampler]\nkind = "ucb"\nkappa = 10.0'), "ucb, kappa 10"),
        (words.sampler({"sampler": {"kind": "random"}}, '[sampler]\nkind = "ucb"\nkappa = 10.0'), "random"),
        (words.sampler({"sampler": {"kind": "ei"}}, "not TOML ["), "ei"),
        (words.sampler({"sampler": {"kind": "analogue", "acquisition": "random"}}, ""), "analogue, at random"),
    ],
)
def test_words(shown: str, expected: str) -> None:
    assert shown == expected


def test_what_is_not_markup_is_escaped() -> None:
    assert formula("Na2H12C") == "Na<sub>2</sub>H<sub>12</sub>C"
    assert formula("<b>2") == "&lt;b&gt;<sub>2</sub>"
    assert element("p", "a < b", Markup("<br>")) == "<p>a &lt; b<br></p>"
    assert '<td class="n">&amp;</td>' in table(["x", "<y>"], [["z", "&"]], numeric=(1,))


def test_labels_at_line_ends_do_not_touch() -> None:
    places: list[float] = []

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 100])
        end_labels(axes, [(1, 50.0, "first", "#000000"), (1, 50.0, "second", "#000000"), (1, 51.0, "third", "#000000")])
        places.extend(note.xyann[1] + note.xy[1] / 100 * 216 * 0.8 for note in axes.texts)

    svg = as_svg("ends", 'three "lines"', draw)
    assert min(np.diff(sorted(places))) > 8
    assert svg.startswith('<svg role="img" aria-label="three &quot;lines&quot;"')
    assert all(word in svg for word in ("first", "second", "third"))
    assert "http" not in svg.replace("http://www.w3.org", "")
    assert svg == as_svg("ends", 'three "lines"', draw)
