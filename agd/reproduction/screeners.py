"""Screeners from labels of the default search, of random known formulas, and of both. Not in the paper."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Final

import numpy as np

from agd.report.words import counted
from agd.reproduction.authors import ORACLE_ROWS, SETS, TEST_ROWS, reduced
from agd.reproduction.outcome import Compared, Figure, Line, Outcome, Words
from agd.reproduction.study import HIGH, Study, Wish, facts_of
from agd.steps.campaign.campaigns import Campaign
from agd.steps.campaign.training_sets import Labels, of_campaign
from agd.steps.models.training import Trained

N_UNSEEN: Final = 2000
"""Compounds besides the authors' 500 that neither oracle nor screener learns from."""

_SCREENER: Final = "random_forest"
_GIVEN: Final = {"n_trees": 200}

AP: Final = "average precision >= 6 eV"
R2: Final = "R2 of the 500"
MAE: Final = "MAE of the 500, eV"


@dataclass(frozen=True, slots=True)
class Search:
    """What spends a share of the calls: its name and its sampler."""

    name: str
    sampler: str


ANALOGUE: Final = Search("analogue", 'kind = "analogue"')
KNOWN: Final = Search("known", 'kind = "pool"\npool = "{known}"')


@dataclass(frozen=True, slots=True)
class Arm:
    """Where the labels come from that a screener learns besides the initial ones: the calls are parted evenly."""

    title: str
    searches: tuple[Search, ...]


ARMS: Final = (
    Arm("starting labels alone", ()),
    Arm("random known formulas (distillation)", (KNOWN,)),
    Arm("default search", (ANALOGUE,)),
    Arm("half of each", (ANALOGUE, KNOWN)),
)

_SPECIFICATION: Final = """\
name = "screeners-{search}-{calls}-s{seed}"
target = "{target}"
seed = {seed}

[data]
dataset = "{dataset}"
known = ["{known}"]

[initial]
file = "{initial}"

[budget]
oracle_calls = {calls}

[oracle]
kind = "ensemble"
exclude = ["{unseen}"]
uses_known_labels = false

[sampler]
{sampler}

[filter]
{filter}
"""
_FILTERS: Final = {
    ANALOGUE.name: "max_elements = 5\nmax_atoms = 20\nmax_count = 7",
    KNOWN.name: "is_neutral_in_common_states = false",
}


def screeners(study: Study, wish: Wish) -> Outcome:  # noqa: ARG001  it has nothing of the authors' own
    """What a screener is worth by where its labels come from."""
    seeds = study.protocol.seeds(study.protocol.al_seeds)
    lines: list[Line] = []
    means: dict[str, float] = {}
    for arm in ARMS:
        trained = [_screener(study, arm, seed) for seed in seeds]
        judged = [_judged(study, model) for model in trained]
        means[arm.title] = mean(one[AP] for one in judged)
        lines += [
            Line(
                arm.title,
                quantity,
                Figure.of([one[quantity] for one in judged]),
                rests_on=[facts_of(model) for model in trained] if quantity == AP else (),
            )
            for quantity in (AP, R2, MAE)
        ]
    lead = "; ".join(f"{title} {value:.2f}" for title, value in means.items())
    calls, n_seeds = study.protocol.calls, counted(len(seeds), "seed")
    return Outcome(
        "screeners",
        "Screeners by where their labels come from",
        f"Average precision at 6 eV or above: {lead}.",
        [
            Compared(f"Forests of 300 real labels and {calls:,} of the oracle; {n_seeds}", lines, _ABOUT_LINES),
            Words("What was done", _ABOUT),
        ],
    )


_ABOUT_LINES: Final = (
    f"Average precision is of the authors' 500 rows and {N_UNSEEN:,} more; few of them are so wide, so that it has a "
    "sampling error of about 0.08, which seeds do not show.",
)
_ABOUT: Final = (
    "The oracle is the ensemble. Neither it nor a screener learned from a label of the rows that they are judged by, "
    "and every label of a search is the oracle's, never the table's. Screeners are forests of 200 trees on all of "
    "their labels.",
)


def _screener(study: Study, arm: Arm, seed: int) -> Trained:
    """A forest of the initial labels and those of the searches of an arm."""
    calls = study.protocol.calls // max(1, len(arm.searches))
    campaigns = [_campaign(study, one, calls, seed) for one in arm.searches or (ANALOGUE,)]
    with study.workspace.database.read() as tx:
        labels: Labels = "al" if arm.searches else "initial"
        also = [campaign.name for campaign in campaigns[1:]]
        parts = of_campaign(tx, campaigns[0], labels, share=0.0, seed=seed, also=also)
    unseen = frozenset(reduced([formula for formula, _ in unseen_rows(study)], study.files.path(ORACLE_ROWS)))
    parts = [
        replace(part, members=[member for member in part.members if member.reduced_formula not in unseen])
        for part in parts
    ]
    return study.train(f"{arm.title}, seed {seed}", parts, kind=_SCREENER, seed=seed, given=_GIVEN)


def _campaign(study: Study, search: Search, calls: int, seed: int) -> Campaign:
    unseen = study.write_csv("agd-unseen.csv", ("composition", "Eg"), unseen_rows(study)).resolve()
    known = study.corpus()
    text = _SPECIFICATION.format(
        search=search.name,
        calls=calls,
        seed=seed,
        target=HIGH.text,
        dataset=study.dataset("Exp1"),
        known=known,
        initial=study.files.path(SETS["Exp3 BS"]).resolve(),
        unseen=unseen,
        sampler=search.sampler.format(known=known),
        filter=_FILTERS[search.name],
    )
    return study.campaign(text)


def _judged(study: Study, model: Trained) -> dict[str, float]:
    of_500 = study.judge(model, study.test_500())
    of_all = study.judge(model, study.listed("agd-unseen", unseen_rows(study)), HIGH)
    return {AP: of_all["average_precision"], R2: of_500["r2"], MAE: of_500["mae"]}


def unseen_rows(study: Study) -> Sequence[tuple[str, float]]:
    """Formula and gap of the 500 and of more rows of Exp1, none of them of the start."""
    test = study.files.rows(TEST_ROWS)
    spoken_for = {row.id for row in test} | {row.id for row in study.files.rows(SETS["Exp3 BS"])}
    free = [row for row in study.files.rows(ORACLE_ROWS) if row.id not in spoken_for]
    chosen = np.random.default_rng(0).permutation(len(free))[:N_UNSEEN]
    return [(row.formula, row.band_gap_ev) for row in [*test, *(free[i] for i in sorted(chosen.tolist()))]]
