"""What is a find, what is charged and who waits: Python, the queries and the views agree on whatever rows there are."""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import text

from agd.accounting import CHARGED, LABELLED
from agd.db.connection import AnyRow, Database, Transaction
from agd.db.reading import progress, reports
from agd.db.reading import properties as reading
from agd.db.record import campaigns, models, properties, suggestions
from agd.plausible import ANY, RANGES, SMALLEST, plausible_range
from agd.report.comparison import RULE
from agd.report.traces import Trace, trace_of
from agd.spec import ANSWERERS
from agd.target import Bounds, are_feasible, on_front
from agd.types import Floats

SETUP = """
INSERT INTO activity (kind, agd_version, host, cpu, threads, pid) VALUES ('test', '0', 'h', 'c', 1, 1);
INSERT INTO dataset (name, source, source_sha256, recipe_sha256, property, options, n_read, n_rejected, activity_id)
    VALUES ('d', 'd.csv', 's', 'r', 'band_gap', '{}', 1, 0, 1);
INSERT INTO training_set (sha256, n_members, activity_id) VALUES ('t', 1, 1);
INSERT INTO artifact (sha256, format, n_bytes, activity_id) VALUES ('a', 'npz', 1, 1);
INSERT INTO model_version (kind, plugin, architecture_version, options, seed, training_set_id, recipe_sha256,
    tensors_sha256, metrics, activity_id) VALUES ('autoencoder', 'set', 1, '{}', 0, 1, 'm', 'a', '{}', 1);
INSERT INTO latent (model_version_id, vector, activity_id) VALUES (1, '{0,1}', 1)
"""

AWAITED = {kind for kind, who in ANSWERERS.items() if who.is_awaited}
N_ITERATIONS = 3
VALUES = (-10.0, -0.0, 0.0, 1.0, 2.0, 2.5, 3.0, 5.999, 6.0, 6.5, 99.0, -1e300, 1.7e308, 1e200, 5e-324)
BOUNDS = ((6.0, None), (None, 2.0), (2.0, 3.0), (2.5, 2.5), (None, 1e250), (-0.0, None))


@dataclass(frozen=True)
class Label:
    value: float
    uncertainty: float | None
    is_retracted: bool


@dataclass(frozen=True)
class Row:
    """A suggestion of a composition of its own, or of that of an earlier row."""

    outcome: str | None
    labels: tuple[Label, ...]
    is_given_up: bool
    beside: str | None
    repeats: int | None

    @property
    def state(self) -> str | None:
        return "unanswered" if self.is_given_up else self.outcome

    @property
    def label(self) -> Label | None:
        return self.labels[-1] if self.labels else None


labels = st.builds(Label, st.sampled_from(VALUES), st.none() | st.sampled_from((0.0, 0.5, 2.0)), st.booleans())


@st.composite
def rows(draw: st.DrawFn) -> Row:
    outcome = draw(
        st.sampled_from((None, "new", "new", "new", "duplicate", "known", "undecodable", "rejected", "unanswered"))
    )
    own = tuple(draw(st.lists(labels, max_size=3))) if outcome in LABELLED else ()
    waits = outcome == "new" and not own
    return Row(
        outcome=outcome,
        labels=own,
        is_given_up=waits and draw(st.booleans()),
        beside=draw(st.sampled_from((None, "dataset", "measured", "retracted", "density"))) if waits else None,
        repeats=draw(st.none() | st.integers(0, 9)) if outcome in {"duplicate", "rejected", "unanswered"} else None,
    )


@dataclass
class Written:
    """A campaign in the record, its rows in order, and the composition of each."""

    campaign_id: int
    name: str
    mode: str
    oracle: str
    bounds: Bounds
    rows: list[Row]
    places: list[tuple[int, int]]
    suggestion_ids: list[int]
    composition_ids: list[int | None]
    measured: set[int]


@pytest.fixture(scope="module")
def tx(fresh_database: Callable[[], AbstractContextManager[str]]) -> Iterator[Transaction]:
    with fresh_database() as url, Database(url) as database, database.transaction() as opened:
        for statement in SETUP.split(";\n"):
            opened.execute(text(statement))
        yield opened


class Writer:
    def __init__(self, tx: Transaction) -> None:
        self.tx = tx
        self.n = 0

    def add(self, table: str, **values: Any) -> int:
        values = {**values, "activity_id": 1} if table not in {"campaign", "iteration"} else values
        columns, named = ", ".join(values), ", ".join(f":{key}" for key in values)
        return int(self.tx.scalar(text(f"INSERT INTO {table} ({columns}) VALUES ({named}) RETURNING id"), values) or 0)

    def composition(self) -> int:
        self.n += 1
        names = {"reduced_formula": f"X{self.n}", "chemical_system": f"X{self.n % 3}", "anonymous_formula": "A"}
        return self.add("composition", **names, n_elements=1, n_atoms=1)

    def label(self, composition_id: int, label: Label, property_: str = "band_gap", *, of_dataset: bool = False) -> int:
        self.n += 1
        source = {"dataset_id": 1}
        if not of_dataset:
            key = {"composition_id": composition_id, "property": property_}
            day = {"operator": "ada", "measured_on": "2026-01-15", "replicate": self.n}
            source = {"measurement_id": self.add("measurement", **key, **day)}
        values = {"composition_id": composition_id, "property": property_, "value": label.value}
        label_id = self.add("label", **values, uncertainty=label.uncertainty, **source)
        if label.is_retracted:
            self.tx.execute(text("INSERT INTO retraction VALUES (:id, 'wrong sample', 1)"), {"id": label_id})
        return label_id

    def campaign(self, mode: str, oracle: str, bounds: Bounds, listed: list[Row]) -> Written:
        spec = json.dumps({"oracle": {"kind": oracle}})
        facts = {"spec_sha256": "s", "spec": spec, "spec_text": "", "seed": 0, "property": "band_gap", "mode": mode}
        ends = {"target_low": bounds.low, "target_high": bounds.high, "budget_calls": 10, "agd_version": "0"}
        campaign_id = self.add("campaign", name="c", **facts, **ends)
        iterations = [self.add("iteration", campaign_id=campaign_id, number=i + 1) for i in range(N_ITERATIONS)]
        made = Written(campaign_id, "c", mode, oracle, bounds, listed, [], [], [], set())
        for i, row in enumerate(listed):
            number, rank = divmod(i * N_ITERATIONS, len(listed))
            made.places.append((number + 1, rank + 1))
            self._suggestion(made, row, iterations[number], rank + 1)
        return made

    def _suggestion(self, made: Written, row: Row, iteration_id: int, rank: int) -> None:
        composition_id = None
        if row.outcome not in {None, "undecodable"}:
            before = [i for i in made.composition_ids if i is not None]
            repeated = row.repeats is not None and row.repeats < len(before)
            composition_id = before[row.repeats or 0] if repeated else self.composition()
        label_ids = [self.label(composition_id, label) for label in row.labels if composition_id is not None]
        first = label_ids[0] if label_ids else None
        key = {"campaign_id": made.campaign_id, "iteration_id": iteration_id, "rank": rank, "latent_id": 1}
        suggestion_id = self.add(
            "suggestion",
            **key,
            proposed="latent",
            outcome=row.outcome,
            reason="why not" if row.outcome in {"rejected", "unanswered"} else None,
            composition_id=composition_id,
            decode_activity_id=None if row.outcome is None else 1,
            label_id=first,
            label_activity_id=None if first is None else 1,
        )
        for label_id in label_ids[1:]:
            suggestions.replace_labels(self.tx, 1, [suggestion_id], label_id)
        if row.is_given_up:
            assert suggestions.give_up(self.tx, 1, suggestion_id, "it melts")
        if composition_id is not None:
            self._beside(composition_id, row.beside)
            if any(not label.is_retracted for label in row.labels) or row.beside == "measured":
                made.measured.add(composition_id)
        made.suggestion_ids.append(suggestion_id)
        made.composition_ids.append(composition_id)

    def further(self, made: Written, i: int, one: tuple[int, Bounds, str], label: Label | None) -> Label | None:
        """Give a suggestion a label of a further property, where it has a composition."""
        composition_id = made.composition_ids[i]
        if composition_id is None or label is None:
            return None
        label_id = self.label(composition_id, label, one[2])
        properties.store_labels(self.tx, 1, [(made.suggestion_ids[i], one[0], label_id, composition_id)])
        return label

    def _beside(self, composition_id: int, kind: str | None) -> None:
        """A label of the composition that is not the suggestion's."""
        if kind is not None:
            label = Label(3.0, None, kind == "retracted")
            property_ = "density" if kind == "density" else "band_gap"
            self.label(composition_id, label, property_, of_dataset=kind == "dataset")


def is_awaited(made: Written, i: int) -> bool:
    row = made.rows[i]
    is_answered = made.oracle in AWAITED and made.composition_ids[i] in made.measured
    return row.state == "new" and row.label is None and not is_answered


@dataclass
class Told:
    """What the queries and the views say of it."""

    rows: Sequence[AnyRow]
    trace: Trace
    merits: dict[str, Any]
    standing: dict[str, Any]
    iterations: Sequence[AnyRow]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(("default", "paper")),
    st.sampled_from((*ANSWERERS, "random_forest")),
    st.sampled_from(BOUNDS),
    st.lists(rows(), max_size=9),
)
def test_python_and_sql_agree(
    tx: Transaction, mode: str, oracle: str, pair: tuple[float | None, float | None], listed: list[Row]
) -> None:
    with tx.begin_nested() as savepoint:
        made = Writer(tx).campaign(mode, oracle, Bounds(low=pair[0], high=pair[1]), listed)
        found = reports.trace(tx, made.campaign_id)
        told = Told(
            found,
            trace_of(found, made.bounds, "band_gap"),
            reports.merits(tx, made.campaign_id, RULE),
            progress.campaigns(tx, made.name)[0],
            progress.iterations(tx, made.campaign_id),
        )
        agree_on_charges(tx, made, told)
        agree_on_finds(tx, made, told)
        agree_on_who_waits(tx, made, told)
        agree_on_what_teaches(tx, made, told)
        agree_on_what_is_kept(tx, made, told)
        savepoint.rollback()


def agree_on_charges(tx: Transaction, made: Written, told: Told) -> None:
    assert [(row.iteration, row.rank, row.outcome) for row in told.rows] == [
        (*place, row.state) for place, row in zip(made.places, made.rows, strict=True)
    ]
    charged = [row.label is not None and row.state in CHARGED[made.mode] for row in made.rows]
    assert [row.is_charged for row in told.rows] == charged
    assert [row.is_retracted for row in told.rows] == [bool(row.label and row.label.is_retracted) for row in made.rows]
    assert campaigns.n_calls(tx, made.campaign_id) == told.standing["n_charged"] == sum(charged)
    assert sum(one.n_charged for one in told.iterations) == sum(charged)
    kept = [
        row.label.value
        for row, is_charged in zip(made.rows, charged, strict=True)
        if is_charged and row.label is not None and not row.label.is_retracted
    ]
    assert [one.value for one in reports.charged(tx, made.campaign_id)] == kept
    new_in = [number for (number, _), row in zip(made.places, made.rows, strict=True) if row.state == "new"]
    n_barren = campaigns.n_barren_iterations(tx, made.campaign_id, N_ITERATIONS)
    assert n_barren == N_ITERATIONS - max(new_in, default=0)


def agree_on_finds(tx: Transaction, made: Written, told: Told) -> None:
    trace, merits = told.trace, told.merits
    places = np.flatnonzero(trace.is_find)
    assert merits["n_finds"] == len(places)
    assert merits["calls_to_first_find"] == (trace.calls[places[0]] if len(places) else None)
    sigmas = [np.nan if row.uncertainty is None else row.uncertainty for row in told.rows]
    by_bound = trace.is_find & made.bounds.holds(trace.value, np.array(sigmas, dtype=np.float64))
    assert merits["n_finds_by_bound"] == by_bound.sum()

    objectives = made.bounds.objective(trace.value)
    results, finds = in_order(trace.is_labelled, objectives), in_order(trace.is_find, objectives)
    best = progress.top_finds(tx, made.campaign_id, 99)
    assert [row.suggestion_id for row in best] == [made.suggestion_ids[i] for i in results]
    assert [(row["iteration"], row["rank"]) for row in reports.finds(tx, made.campaign_id, 99, RULE)] == [
        made.places[i] for i in finds
    ]
    assert told.standing["best"] == trace.best_value() == (trace.value[results[0]] if results else None)
    assert told.standing["n_finds"] == sum(one.n_finds for one in told.iterations) == len(places)
    values = trace.value[trace.is_labelled]
    assert told.standing["highest"] == max(values, default=None)
    assert told.standing["lowest"] == min(values, default=None)


def in_order(is_chosen: NDArray[np.bool_], objectives: Floats) -> list[int]:
    return sorted(np.flatnonzero(is_chosen).tolist(), key=lambda i: (-objectives[i], i))


def agree_on_who_waits(tx: Transaction, made: Written, told: Told) -> None:
    expected = [made.suggestion_ids[i] for i in range(len(made.rows)) if is_awaited(made, i)]
    assert [row.id for row in suggestions.waiting(tx, made.campaign_id)] == expected
    assert told.merits["n_waiting"] == len(expected)
    assert told.standing["is_waiting"] is (made.oracle in AWAITED and bool(expected))
    assert (told.standing["state"] == "waiting for labels") is told.standing["is_waiting"]


def agree_on_what_teaches(tx: Transaction, made: Written, told: Told) -> None:
    learned = models.learned_labels(tx, made.campaign_id, N_ITERATIONS)
    results = {made.composition_ids[i] for i in np.flatnonzero(told.trace.is_labelled)}
    assert {row.composition_id for row in learned} == results
    known = suggestions.suggested_points(tx, made.campaign_id, N_ITERATIONS + 1)
    stand = [row.label.value if row.label and not row.label.is_retracted else None for row in made.rows]
    assert [row.value for row in known] == [value if value in plausible_range("band_gap") else None for value in stand]


COUNTED = text("SELECT * FROM v_iteration_recount WHERE campaign_id = :campaign ORDER BY iteration_id")


def agree_on_what_is_kept(tx: Transaction, made: Written, told: Told) -> None:
    """What was counted when iterations were recorded is what they come to, also once labels were retracted since."""
    for one in told.iterations:
        campaigns.store_tally(tx, one.iteration_id, 1)
    kept = progress.iterations(tx, made.campaign_id)
    assert [{**one._asdict(), "is_recorded": False} for one in kept] == [one._asdict() for one in told.iterations]
    assert all(one.is_recorded for one in kept)
    shown = progress.top_finds(tx, made.campaign_id, 99)
    assert progress.top_finds(tx, made.campaign_id, 2) == shown[:2]
    for row in shown[::2]:
        tx.execute(text("INSERT INTO retraction VALUES (:id, 'wrong sample', 1)"), {"id": row.label_id})
    for _ in range(2):  # counted anew by the view, then kept
        recounted = [one._asdict() for one in tx.execute(COUNTED, {"campaign": made.campaign_id})]
        now = [one._asdict() for one in progress.iterations(tx, made.campaign_id)]
        assert recounted == [{key: one[key] for key in recounted[0]} for one in now]
        assert sum(one["n_new"] for one in now) == progress.campaigns(tx, made.name)[0]["n_new"]
        campaigns.store_tallies_anew(tx, 1)
    assert tx.scalar(text("SELECT count(*) FROM iteration_tally WHERE number = 2")) == len(
        {row.iteration_id for row in shown[::2]}
    )


FURTHER = (("formation_energy", (None, -1.5)), ("density", (0.0, 3.0)))
"""Further targets: property and bounds."""


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(BOUNDS),
    st.lists(st.tuples(rows(), st.none() | labels, st.none() | labels), max_size=9),
    st.integers(1, len(FURTHER)),
)
def test_python_and_sql_agree_on_several_properties(
    tx: Transaction,
    pair: tuple[float | None, float | None],
    listed: list[tuple[Row, Label | None, Label | None]],
    n_further: int,
) -> None:
    with tx.begin_nested() as savepoint:
        writer, first = Writer(tx), Bounds(low=pair[0], high=pair[1])
        made = writer.campaign("default", "random_forest", first, [row for row, *_ in listed])
        targets = [(Bounds(low=ends[0], high=ends[1]), name) for name, ends in FURTHER[:n_further]]
        at = [(position, bounds, name) for position, (bounds, name) in enumerate(targets, start=2)]
        stored = [(position, name, bounds.low, bounds.high) for position, bounds, name in at]
        properties.store_targets(tx, made.campaign_id, stored, 1)
        told = [
            [writer.further(made, i, one, label) for one, label in zip(at, given_labels, strict=False)]
            for i, (_, *given_labels) in enumerate(listed)
        ]
        values = np.array([[np.nan if x is None else x.value for x in row] for row in told]).reshape(-1, n_further)
        is_gone = np.array([[bool(x and x.is_retracted) for x in row] for row in told], np.bool_).reshape(-1, n_further)
        is_feasible = are_feasible(targets, values, is_gone)
        trace = trace_of(reports.trace(tx, made.campaign_id), first, "band_gap", targets)
        query = "SELECT {} FROM {} WHERE campaign_id = :campaign ORDER BY iteration, rank"
        asked = {"campaign": made.campaign_id}
        shown = tx.execute(text(query.format("is_feasible, is_result AND is_find AS is_find", "v_suggestion")), asked)
        assert [tuple(row) for row in shown] == list(
            zip(is_feasible.tolist(), [bool(x) for x in trace.is_find], strict=True)
        )
        assert trace.is_find.tolist() == (trace.is_labelled & first.holds(trace.value) & is_feasible).tolist()
        order = sorted(
            np.flatnonzero(trace.is_labelled).tolist(),
            key=lambda i: (not is_feasible[i], -first.objective(trace.value)[i], i),
        )
        best = progress.top_finds(tx, made.campaign_id, 99)
        assert [row.suggestion_id for row in best] == [made.suggestion_ids[i] for i in order]
        assert progress.campaigns(tx, made.name)[0]["best"] == trace.best_value()
        agree_on_the_front(
            tx, made, [first, *(bounds for bounds, _ in targets)], trace, np.where(is_gone, np.nan, values)
        )
        savepoint.rollback()


def agree_on_the_front(
    tx: Transaction, made: Written, sought: Sequence[Bounds], trace: Trace, standing: Floats
) -> None:
    values = np.column_stack([np.where(trace.is_labelled, trace.value, np.nan), standing])
    names = ("band_gap", *(name for name, _ in FURTHER))
    can_be = [plausible_range(name).holds(one) for name, one in zip(names, values.T, strict=False)]
    at = np.flatnonzero(np.all(can_be, axis=0))
    objectives = np.column_stack([bounds.objective(one) for bounds, one in zip(sought, values[at].T, strict=True)])
    expected = zip([made.suggestion_ids[i] for i in at.tolist()], on_front(objectives).tolist(), strict=True)
    assert reading.front(tx, [made.campaign_id]) == dict(expected)
    met = [bounds.holds(one) & can for bounds, one, can in zip(sought, values.T, can_be, strict=True)]
    is_new = np.array([row.state == "new" for row in made.rows], np.bool_)
    told = reading.targets(tx, made.campaign_id)
    assert [row.n_met for row in told] == [int((one & is_new).sum()) for one in met]


EDGES = {
    edge * sign
    for bound in (*(end for one in (*RANGES.values(), ANY) for end in one), SMALLEST, 0.0, math.inf, math.nan)
    for edge in (bound, math.nextafter(bound, math.inf), math.nextafter(bound, -math.inf))
    for sign in (1, -1)
}


def is_plausible(tx: Transaction, property_: str, values: list[float]) -> Sequence[bool]:
    judged = text(
        "SELECT agd_is_plausible(:property, value)"
        " FROM unnest(CAST(:values AS float8[])) WITH ORDINALITY AS given (value, n) ORDER BY n"
    )
    return tx.scalars(judged, {"property": property_, "values": values}).all()


@pytest.mark.parametrize("property_", [*RANGES, "another"])
def test_values_that_can_be_are_the_same_at_every_edge(tx: Transaction, property_: str) -> None:
    values = list(EDGES)
    assert is_plausible(tx, property_, values) == [value in plausible_range(property_) for value in values]


@settings(deadline=None)
@given(st.sampled_from([*RANGES, "another", ""]), st.lists(st.floats(), min_size=1))
def test_values_that_can_be_are_the_same(tx: Transaction, property_: str, values: list[float]) -> None:
    assert is_plausible(tx, property_, values) == [value in plausible_range(property_) for value in values]


def test_the_schema_knows_the_same_properties(tx: Transaction) -> None:
    said = tx.scalar(text("SELECT prosrc FROM pg_proc WHERE proname = 'agd_is_plausible'"))
    assert set(re.findall(r"'(\w+)'", str(said))) == set(RANGES)
    assert tx.scalar(text("SELECT agd_is_plausible('band_gap', NULL)")) is None
