"""Fills an empty record with made rows that satisfy every law: as many compositions, suggestions and labels as asked.

Campaigns are 52: one of half of all suggestions, one of 300 called `demo`, fifty of the rest. Constraints and
triggers are on.
"""

import time
from collections.abc import Callable
from importlib import import_module
from itertools import combinations
from typing import NamedTuple

from sqlalchemy import text

from agd.chem.elements import SYMBOLS, pauling_electronegativities
from agd.chem.identity import identify
from agd.db.connection import Database, Transaction
from agd.steps.data.compositions import counts_of

N_CAMPAIGNS = 52
DEMO, BIG = "demo", "campaign-1"
BATCH = 20
_ANION_STEP = 1.65
"""From here on two neighbours in electronegativity are not written as one ion in a reduced formula."""


class Size(NamedTuple):
    """How many rows are made: compositions of generations, suggestions, labels of a data set."""

    n_compositions: int
    n_suggestions: int
    n_labels: int


_ACTIVITY = "agd_version, host, cpu, threads, pid, started_at, ended_at, outcome"
_DONE = "'made', 'bench', 'bench', 1, 1, now() - interval '1 hour', now(), 'done'"

# The elements of a system in the order of a reduced formula; all systems come before the amounts grow.
_COMPOSITIONS = """
INSERT INTO composition (reduced_formula, chemical_system, anonymous_formula, n_elements, n_atoms, activity_id)
SELECT s.a || CASE n.a WHEN 1 THEN '' ELSE n.a::text END || s.b || CASE n.b WHEN 1 THEN '' ELSE n.b::text END
       || s.c || CASE n.c WHEN 1 THEN '' ELSE n.c::text END, s.system, n.anonymous, 3, n.a + n.b + n.c, :activity
FROM (SELECT a, b, c, 'A' || coalesce(nullif(v[1], 1)::text, '') || 'B' || coalesce(nullif(v[2], 1)::text, '')
                      || 'C' || coalesce(nullif(v[3], 1)::text, '') AS anonymous
      FROM generate_series(1, 9) a, generate_series(1, 9) b, generate_series(1, 30) c,
           LATERAL (SELECT array_agg(x ORDER BY x) AS v FROM unnest(ARRAY[a, b, c]) x) sorted
      WHERE gcd(gcd(a, b), c) = 1) n, made_system s
ORDER BY greatest(n.a, n.b, n.c), n.a, n.b, n.c, s.number LIMIT :n
"""

_DATASET = """
INSERT INTO dataset (name, source, source_sha256, recipe_sha256, property, options, n_read, n_rejected, method,
                     activity_id)
VALUES (:name, 'made', :name, :name, :property, '{}', :n, 0, :method, :activity) RETURNING id
"""
_ROWS = """
INSERT INTO dataset_row (dataset_id, composition_id, line, formula, n_rows)
SELECT :dataset, id, id - :first, reduced_formula, 1 FROM composition WHERE id BETWEEN :first AND :last
"""
_VERDICTS = """
INSERT INTO verdict (composition_id, rule, rule_version, is_charge_neutral, is_electronegativity_balanced, activity_id)
SELECT id, 'smact-default-states', 1, id % 3 = 0, id % 2 = 0, :activity FROM composition ON CONFLICT DO NOTHING
"""
_LABELS = """
INSERT INTO label (composition_id, property, value, dataset_id, activity_id)
SELECT id, 'band_gap', (id * 7919 % 9973) / 1000.0, :dataset, :activity FROM composition WHERE id <= :n
"""

_SUGGESTED = """
CREATE TEMPORARY TABLE made_suggestion AS
SELECT m AS id, k.number AS campaign, (m - k.first) / :batch + 1 AS iteration, (m - k.first) % :batch + 1 AS rank,
       CASE m % 20 WHEN 0 THEN 'undecodable' WHEN 1 THEN 'duplicate' WHEN 2 THEN 'known' WHEN 3 THEN 'rejected'
                   ELSE 'new' END AS outcome, m % 1000 = 4 AS is_given_up, m % 2000 = 5 AS is_told_anew,
       CASE m % 20 WHEN 0 THEN NULL WHEN 1 THEN 1 + (k.first + greatest(m - 2 - k.first, 3) * 7919) % :n
                   WHEN 2 THEN 1 + (m - k.first) / 20 % 300
                   ELSE 1 + (k.first + (m - k.first) * 7919) % :n END AS composition
FROM made_campaign k, LATERAL generate_series(k.first, k.last) m
"""

_CAMPAIGNS = """
INSERT INTO campaign (name, spec_sha256, spec, spec_text, seed, property, target_low, budget_calls, agd_version)
SELECT name, name, '{{"oracle": {{"kind": "random_forest"}}}}', '', number, 'band_gap', 6, last - first + 1, 'made'
FROM made_campaign ORDER BY number;
INSERT INTO iteration (campaign_id, number)
SELECT campaign, iteration FROM made_suggestion GROUP BY campaign, iteration ORDER BY campaign, iteration;
INSERT INTO job (kind, title, key_sha256, campaign_id, iteration, state)
SELECT x.kind, x.kind || ' ' || i.number || ' of ' || k.name, agd_step_key(k.name, x.kind, i.number), k.id, i.number,
       'done'
FROM iteration i JOIN campaign k ON k.id = i.campaign_id,
     unnest(ARRAY['suggest', 'decode', 'label', 'record']) WITH ORDINALITY x (kind, place) ORDER BY i.id, x.place;
INSERT INTO activity (kind, campaign_id, iteration_id, job_id, lease_expires_at, {activity})
SELECT j.kind, j.campaign_id, i.id, j.id, now(), {done}
FROM job j JOIN iteration i ON i.campaign_id = j.campaign_id AND i.number = j.iteration ORDER BY j.id;
CREATE TEMPORARY TABLE made_step AS SELECT i.campaign_id AS campaign, i.number AS iteration, i.id AS iteration_id,
    max(a.id) FILTER (WHERE a.kind = 'suggest') AS suggested, max(a.id) FILTER (WHERE a.kind = 'decode') AS decoded,
    max(a.id) FILTER (WHERE a.kind = 'label') AS labelled
FROM iteration i JOIN activity a ON a.iteration_id = i.id GROUP BY i.id
"""

_ANSWERS = """
INSERT INTO label (composition_id, property, value, uncertainty, model_version_id, activity_id)
SELECT DISTINCT ON (s.composition) s.composition, 'band_gap', (s.composition * 7919 % 9973) / 1000.0, 0.5, :model,
       t.labelled
FROM made_suggestion s JOIN made_step t USING (campaign, iteration)
WHERE s.outcome IN ('new', 'duplicate') AND NOT s.is_given_up ORDER BY s.composition, s.id
"""

_LATENTS = """
INSERT INTO latent (model_version_id, vector, activity_id)
SELECT :model, (SELECT array_agg(sin(x * s.id)::real) FROM generate_series(1, 128) x), t.suggested
FROM made_suggestion s JOIN made_step t USING (campaign, iteration) WHERE s.outcome = 'undecodable' ORDER BY s.id
"""

_SUGGESTIONS = """
INSERT INTO suggestion (campaign_id, iteration_id, rank, proposed, latent_id, posterior_mean, posterior_sd, acquisition,
                        activity_id, outcome, reason, composition_id, decode_activity_id, label_id, label_activity_id)
SELECT s.campaign, t.iteration_id, s.rank, CASE WHEN z.id IS NULL THEN 'composition' ELSE 'latent' END, z.id,
       s.id % 80 / 10.0, 1, 2, t.suggested, s.outcome, CASE s.outcome WHEN 'rejected' THEN 'has_metal' END,
       s.composition, t.decoded, l.id, CASE WHEN l.id IS NOT NULL THEN t.labelled END
FROM made_suggestion s JOIN made_step t USING (campaign, iteration)
LEFT JOIN (SELECT id, row_number() OVER (ORDER BY id) AS place FROM latent) z
    ON s.outcome = 'undecodable' AND z.place = s.id / 20
LEFT JOIN label l ON l.composition_id = s.composition AND l.model_version_id = :model AND s.outcome = 'new'
    AND NOT s.is_given_up
ORDER BY s.id;
INSERT INTO decode_failure (suggestion_id, reason, activity_id)
SELECT id, 'no elements', decode_activity_id FROM suggestion WHERE outcome = 'undecodable';
INSERT INTO suggestion_parent (suggestion_id, composition_id, operator, activity_id)
SELECT id, 1 + id % :n_parents, 'substitution', activity_id FROM suggestion
WHERE proposed = 'composition' AND composition_id <> 1 + id % :n_parents
"""

# Each row that speaks of one label has an activity of its own.
_AFTERWARDS = """
WITH a AS (INSERT INTO activity (kind, {activity}) SELECT 'give up', {done} FROM made_suggestion WHERE is_given_up
           AND outcome = 'new' RETURNING id), n AS (SELECT id, row_number() OVER (ORDER BY id) AS place FROM a)
INSERT INTO given_up (suggestion_id, reason, activity_id) SELECT g.id, 'the furnace broke', n.id
FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM made_suggestion WHERE is_given_up AND outcome = 'new') g
JOIN n USING (place);
WITH a AS (INSERT INTO activity (kind, {activity}) SELECT 'retract', {done} FROM label
           WHERE model_version_id IS NOT NULL AND id % 1000 = 7 RETURNING id),
n AS (SELECT id, row_number() OVER (ORDER BY id) AS place FROM a)
INSERT INTO retraction (label_id, reason, activity_id) SELECT l.id, 'another phase', n.id
FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM label WHERE model_version_id IS NOT NULL
      AND id % 1000 = 7) l JOIN n USING (place);
WITH a AS (INSERT INTO activity (kind, {activity}) VALUES ('measure', {done}) RETURNING id),
m AS (INSERT INTO measurement (composition_id, property, operator, measured_on, replicate, activity_id)
      SELECT DISTINCT ON (composition) composition, 'band_gap', 'ada', date '2026-01-15', 1, a.id
      FROM made_suggestion, a WHERE is_told_anew AND outcome = 'new' RETURNING *)
INSERT INTO label (composition_id, property, value, uncertainty, measurement_id, activity_id)
SELECT composition_id, property, 6.5, 0.1, id, activity_id FROM m;
WITH a AS (INSERT INTO activity (kind, {activity}) VALUES ('replace label', {done}) RETURNING id)
INSERT INTO label_replacement (suggestion_id, number, label_id, composition_id, activity_id)
SELECT s.id, 1, l.id, l.composition_id, a.id FROM made_suggestion s JOIN label l ON l.composition_id = s.composition
    AND l.measurement_id IS NOT NULL, a WHERE s.is_told_anew AND s.outcome = 'new'
"""

_SCREENED = """
WITH a AS (INSERT INTO activity (kind, campaign_id, {activity})
           SELECT 'screen', id, {done} FROM campaign WHERE id <= 5 RETURNING id, campaign_id),
g AS (INSERT INTO screening (campaign_id, role, model_version_id, dataset_id, source, source_sha256, criteria,
                             recipe_sha256, activity_id)
      SELECT a.campaign_id, 'baseline', :model, :dataset, 'made', 'made', '{{"low": 6}}', 'made ' || a.campaign_id, a.id
      FROM a RETURNING *),
s AS (INSERT INTO stage (activity_id, role, position, name, n_in, n_left)
      SELECT activity_id, role, 1, 'within the target', :n, least(:n, 10000) FROM g)
INSERT INTO screening_hit (screening_id, rank, composition_id, line, formula, value, uncertainty)
SELECT g.id, c.id, c.id, c.id, c.reduced_formula, 30 - c.id / 1000.0, 0.5 FROM g, composition c
WHERE c.id <= least(:n, 10000)
"""


_FIRST_SHARE = """
CREATE TEMPORARY TABLE made_campaign AS
SELECT number, name, lag(last, 1, 0::bigint) OVER (ORDER BY number) + 1 AS first, last
FROM (SELECT number, name, sum(n) OVER (ORDER BY number)::bigint AS last
      FROM (SELECT number, CASE number WHEN 2 THEN 'demo' ELSE 'campaign-' || number END AS name,
                   CASE number WHEN 1 THEN :n / 2 WHEN 2 THEN 300 ELSE greatest((:n - :n / 2 - 300) / 50, 40) END AS n
            FROM generate_series(1, :n_campaigns) number) shares) ends
"""


def fill(database: Database, size: Size, tell: Callable[[str], object] = print) -> None:
    """Fill an empty record in one transaction, told part by part, and gather what the planner goes by."""
    with database.transaction() as tx:
        hand = _Hand(tx, size, tell)
        hand.compositions()
        hand.datasets()
        hand.models()
        hand.campaigns()
        hand.afterwards()
    with database.transaction() as tx:
        tx.execute(text("ANALYZE"))
    tell("analysed")


class _Hand:
    """Writes the rows of one record."""

    def __init__(self, tx: Transaction, size: Size, tell: Callable[[str], object]) -> None:
        self._tx, self._size, self._tell = tx, size, tell
        self._began = time.monotonic()

    def compositions(self) -> None:
        systems = _systems()
        self._tx.execute(
            text("CREATE TEMPORARY TABLE made_system (number integer, a text, b text, c text, system text)")
        )
        self._tx.execute(text("INSERT INTO made_system VALUES (:number, :a, :b, :c, :system)"), systems)
        self._do(_COMPOSITIONS, n=self._size.n_compositions, activity=self._activity("generate"))
        self._do("ANALYZE composition")
        some = self._tx.execute(
            text(
                "SELECT reduced_formula, chemical_system, anonymous_formula FROM composition"
                " WHERE id % greatest(:n / 1000, 1) = 0"
            ),
            {"n": self._size.n_compositions},
        ).all()
        named = identify(counts_of([row.reduced_formula for row in some]))
        told = zip(named.reduced_formula, named.chemical_system, named.anonymous_formula, strict=True)
        assert [tuple(row) for row in some] == list(told), "a made formula is not the one that agd would give"

    def datasets(self) -> None:
        n, n_labels = self._size.n_compositions, self._size.n_labels
        self._do("INSERT INTO verdict_rule VALUES ('smact-default-states', 1, '{}') ON CONFLICT DO NOTHING")
        self._do(_VERDICTS, activity=self._activity("import"))
        activity = self._activity("import")
        self._known = self._dataset("gaps", "band_gap", n_labels, activity)
        self._rows(self._known, 1, n_labels)
        self._do(_LABELS, dataset=self._known, n=n_labels, activity=activity)
        self._generations = []
        for part in range(4):
            first, last = n * part // 4 + 1, n * (part + 1) // 4
            activity = self._activity("generate")
            dataset = self._dataset(f"generated-{part + 1}", None, last - first + 1, activity)
            self._rows(dataset, first, last)
            self._do(
                "INSERT INTO stage (activity_id, position, name, n_in, n_left)"
                " VALUES (:activity, 1, 'sampled', :n, :n)",
                activity=activity,
                n=last - first + 1,
            )
            self._generations.append((dataset, last - first + 1))

    def models(self) -> None:
        activity = self._activity("train")
        self._sets, self._models = {}, {}
        members = {"initial": 300, "oracle": min(40_000, self._size.n_labels), "generator": 1_000, "autoencoder": 1_000}
        for role, n in members.items():
            self._sets[role] = self._one(
                "INSERT INTO training_set (sha256, n_members, activity_id) VALUES (:role, :n, :activity) RETURNING id",
                role=role,
                n=n,
                activity=activity,
            )
            self._do(
                "INSERT INTO training_set_member (training_set_id, composition_id, label_id, is_held_out)"
                " SELECT :set, c.id, l.id, c.id % 10 = 0 FROM composition c LEFT JOIN label l"
                " ON l.composition_id = c.id AND l.dataset_id = :known AND :with_labels WHERE c.id <= :n",
                set=self._sets[role],
                n=n,
                known=self._known,
                with_labels=role in ("initial", "oracle"),
            )
            self._do(
                "INSERT INTO training_set_source VALUES (:set, :known, :n)",
                set=self._sets[role],
                known=self._known,
                n=n,
            )
            if role == "initial":
                continue
            self._do("INSERT INTO artifact VALUES (:role, 'made', 1, :activity)", role=role, activity=activity)
            self._models[role] = self._one(
                "INSERT INTO model_version (kind, plugin, property, architecture_version, options, seed,"
                " training_set_id, recipe_sha256, tensors_sha256, metrics, activity_id)"
                " VALUES (:kind, 'made', :property, 1, '{}', 1, :set, :kind, :kind, '{}', :activity) RETURNING id",
                kind=role,
                set=self._sets[role],
                activity=activity,
                property="band_gap" if role == "oracle" else None,
            )
        for dataset, n in self._generations:
            self._do(
                "INSERT INTO generation (dataset_id, model_version_id, seed, first_sample, n_samples)"
                " VALUES (:dataset, :model, 1, 0, :n)",
                dataset=dataset,
                model=self._models["generator"],
                n=n,
            )

    def campaigns(self) -> None:
        n = self._size.n_suggestions
        self._do(_FIRST_SHARE, n=n, n_campaigns=N_CAMPAIGNS)
        self._do(_SUGGESTED, n=self._size.n_compositions, batch=BATCH)
        self._do("ANALYZE made_suggestion")
        self._do(_CAMPAIGNS.format(activity=_ACTIVITY, done=_DONE))
        for table in ("iteration", "job", "activity", "made_step"):
            self._do(f"ANALYZE {table}")
        activity = self._activity("open")
        for role in ("initial", "oracle", "autoencoder"):
            self._do(
                "INSERT INTO campaign_set SELECT id, :role, :set, :activity FROM campaign",
                role=role,
                set=self._sets[role],
                activity=activity,
            )
            if role != "initial":
                self._do(
                    "INSERT INTO campaign_model SELECT id, :role, :model, :activity FROM campaign",
                    role=role,
                    model=self._models[role],
                    activity=activity,
                )
        self._do(_ANSWERS, model=self._models["oracle"])
        self._do(_LATENTS, model=self._models["autoencoder"])
        self._do("ANALYZE label")
        self._do(_SUGGESTIONS, model=self._models["oracle"], n_parents=min(1_000, self._size.n_labels))
        self._do("ANALYZE suggestion")

    def afterwards(self) -> None:
        self._do(_AFTERWARDS.format(activity=_ACTIVITY, done=_DONE))
        for migration in ("0023_tallies", "0025_look_ups"):
            self._do(import_module(f"agd_migrations.versions.{migration}").BACKFILL)
        dataset, n = self._generations[0]
        self._do(_SCREENED.format(activity=_ACTIVITY, done=_DONE), model=self._models["oracle"], dataset=dataset, n=n)

    def _do(self, statements: str, **values: object) -> None:
        for statement in statements.split(";\n"):
            named = {name: value for name, value in values.items() if f":{name}" in statement}
            done = self._tx.execute(text(statement), named)
            if statement.lstrip().startswith(("INSERT", "WITH")) and done.rowcount >= 1_000:
                words = " ".join(statement.split())
                table = words.split("INSERT INTO ")[-1].split()[0]
                self._tell(f"{time.monotonic() - self._began:6.0f} s  {done.rowcount:>12,} rows of {table}")

    def _one(self, statement: str, **values: object) -> int:
        return int(self._tx.execute(text(statement), values).scalar_one())

    def _activity(self, kind: str) -> int:
        return self._one(f"INSERT INTO activity (kind, {_ACTIVITY}) VALUES (:kind, {_DONE}) RETURNING id", kind=kind)

    def _dataset(self, name: str, property_name: str | None, n: int, activity: int) -> int:
        method = "unstated" if property_name is None else "dft-pbe"
        return self._one(_DATASET, name=name, property=property_name, n=n, method=method, activity=activity)

    def _rows(self, dataset: int, first: int, last: int) -> None:
        self._do(_ROWS, dataset=dataset, first=first, last=last)


def _systems() -> list[dict[str, object]]:
    """Three elements each, in the order of a reduced formula, the last far from the second in electronegativity."""
    order = sorted((x, symbol) for x, symbol in zip(pauling_electronegativities(), SYMBOLS, strict=True) if x > 0)
    found = [
        part for part in combinations(order, 3) if part[2][0] - part[1][0] >= _ANION_STEP and part[0][0] < part[1][0]
    ]
    return [
        {"number": i, "a": a, "b": b, "c": c, "system": "-".join(sorted((a, b, c)))}
        for i, ((_, a), (_, b), (_, c)) in enumerate(found)
    ]
