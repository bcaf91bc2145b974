"""Table 1: what each training set's model is worth on its own test rows and on the authors' 500."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from agd.reproduction import paper
from agd.reproduction.agreement import authors_agreements, authors_lists, published_lines
from agd.reproduction.authors import AL_FROM_ID, SETS, TEST_ROWS
from agd.reproduction.outcome import Compared, Figure, Line, Listed, Outcome, Part, Words
from agd.reproduction.searches import DEFAULT, EXP2, EXP3, PAPER, screener, search
from agd.reproduction.study import TREES, Split, Study, Wish, facts_of, numbers
from agd.steps.models.training import Trained

_METRICS: Final = ((paper.HOLD_OUT_R2, "r2"), (paper.MAE, "mae"), (paper.RMSE, "rmse"))

LAST: Final = {"keep": "last"}
"""The weights of the last epoch: the printed figures of the small sets are nearer to them, as `best_epochs` shows."""

WHAT_IT_SAYS: Final = (
    "Hold-out figures are of the 20 % test rows of each set's own split (seed 0, 60/20/20: with it and the printed "
    "RMSE the printed R2 follows to 0.002 in all five rows; with seeds 1 to 5 and 42 it does not). The spread of the "
    "paper is that of ten initialisations of one split, and of one run of the search.",
    "An AL set holds labels that the oracle made: its hold-out figures mostly say how well Roost imitates Roost. Of "
    "real labels only the 500 speak.",
)


def table1(study: Study, wish: Wish) -> Outcome:
    """Table 1 with the authors' own AL rows, and with those of our searches."""
    lines: list[Line] = []
    for row in paper.ROWS:
        lines += roost_lines(study, row)
    parts: list[Part] = [
        Compared("Table 1: Roost on the authors' sets", lines, WHAT_IT_SAYS),
        best_epochs(study, lines),
        *([] if wish.is_authors_data else [_ours(study)]),
        leak(study),
        labels_of_al(study),
        trees(study, paper.ROWS),
        _recovery(study),
        Words("What was done, and why", _explained(study)),
    ]
    return Outcome("table1", "Table 1: model performance and recovery", _lead(lines), parts)


def roost_models(study: Study, row: str) -> list[Trained]:
    """The Roost models of a row, one for each repeat."""
    protocol = study.protocol
    is_oracle = row == "Exp1"
    n = protocol.oracle_repeats if is_oracle else protocol.repeats
    epochs = protocol.oracle_epochs if is_oracle else protocol.epochs
    parts = study.members_of_row(row)
    given = {"epochs": epochs, **LAST}
    return [
        study.train(f"{row}, Roost {i + 1}/{n}", parts, is_oracle=is_oracle, seed=seed, given=given)
        for i, seed in enumerate(protocol.seeds(n))
    ]


def best_epochs(study: Study, last: Sequence[Line]) -> Compared:
    """The same trainings at the epoch of the best validation MAE, which is what the authors' code says it keeps."""
    lines = []
    for row in paper.ROWS:
        models = roost_models(study, row)
        for quantity, metric in _METRICS:
            found = Figure.of(numbers(models, f"best_epoch_{metric}"))
            lines.append(Line(row, quantity, found, paper.TABLE_1[row][quantity]))
        if row != "Exp1":
            lines.append(_external_at_best(study, row))
    words = (
        "The authors' code keeps the weights of the best validation MAE. "
        + " ".join(_nearer(quantity, lines, last) for quantity in (paper.MAE, paper.EXTERNAL_R2))
        + " The last one was taken for the table above after seeing such figures, and is taken for every row.",
        "The R2 of the 500 is that of the first repeat, trained once more to keep its best weights; for Exp1 it is "
        "left out.",
    )
    return Compared("The same at the best validation MAE", lines, words)


def _nearer(quantity: str, best: Sequence[Line], last: Sequence[Line]) -> str:
    """Which of the two epochs the printed values are nearer to, row by row."""
    others = {line.row: line.difference for line in last if line.quantity == quantity}
    rows: dict[str, list[str]] = {"last": [], "best": []}
    for line in best:
        other = others.get(line.row)
        if line.quantity == quantity and line.difference is not None and other is not None:
            rows["last" if abs(other) <= abs(line.difference) else "best"].append(line.row)
    lasts, bests = (", ".join(rows[name]) or "none" for name in ("last", "best"))
    return f"Nearer to the printed {quantity}: the last epoch in {lasts}, the best one in {bests}."


def _external_at_best(study: Study, row: str) -> Line:
    """R2 of the 500 by the best weights of a row's first repeat."""
    seed = study.protocol.seed
    given = {"epochs": study.protocol.epochs, "keep": "best"}
    model = study.train(f"{row}, Roost 1 at its best epoch", study.members_of_row(row), seed=seed, given=given)
    found = Figure(study.judge(model, study.test_500())["r2"])
    return Line(row, paper.EXTERNAL_R2, found, paper.TABLE_1[row][paper.EXTERNAL_R2], rests_on=[facts_of(model)])


def roost_lines(study: Study, row: str) -> list[Line]:
    """A row of Table 1."""
    return model_lines(study, row, roost_models(study, row), paper.TABLE_1[row])


def _ours(study: Study) -> Compared:
    """The AL rows again, with what our searches found in the place of the authors' AL rows."""
    given = {"epochs": study.protocol.epochs, **LAST}
    lines = []
    for start, row in ((EXP2, "Exp2 AL"), (EXP3, "Exp3 AL")):
        for arm in (DEFAULT, PAPER):
            found = [search(study, start, arm, seed).campaign for seed in study.protocol.seeds(study.protocol.al_seeds)]
            models = [screener(study, campaign, "roost", given) for campaign in found]
            lines += model_lines(study, f"{row}, {arm.title}", models, paper.TABLE_1[row])
    return Compared("Table 1: Roost on the starting sets and what our searches found", lines, _ABOUT_OURS)


_ABOUT_OURS: Final = (
    "Each repeat is a search of its own with another seed: the spread is that of the search. Its labels are those of a "
    "forest that saw neither the 500 nor half of the compounds above 6 eV, so R2 of the 500 has no leak here.",
)


def model_lines(
    study: Study, row: str, models: Sequence[Trained], printed: Mapping[str, Figure] = MappingProxyType({})
) -> list[Line]:
    """Hold-out figures and R2 of the 500 of some models, beside what is printed for them."""
    test = study.test_500()
    external = [study.judge(model, test) for model in models]
    rests_on = [facts_of(model) for model in models]
    found = {name: Figure.of(numbers(models, metric)) for name, metric in _METRICS}
    found[paper.EXTERNAL_R2] = Figure.of([metrics["r2"] for metrics in external])
    order = (paper.HOLD_OUT_R2, paper.EXTERNAL_R2, paper.MAE, paper.RMSE)
    return [
        Line(row, quantity, found[quantity], printed.get(quantity), rests_on=rests_on if quantity == order[0] else ())
        for quantity in order
    ]


def trees(study: Study, rows: Sequence[str]) -> Compared:
    """Forest and gradient boosting on the 132 Magpie descriptors, on the same test rows."""
    lines = []
    for row in rows:
        parts = study.members_of_row(row)
        for kind in TREES:
            seed = study.protocol.seed
            model = study.train(f"{row}, {kind}", parts, kind=kind, is_oracle=row == "Exp1", seed=seed)
            lines += model_lines(study, f"{row}, {kind.replace('_', ' ')}", [model])
    words = (
        "Trees learn from all rows that are not test rows (80 %), Roost from 60 % and stops by 20 %. Their answers for "
        "rows they saw are those of models that did not, so the leak of the 500 into Exp1 does not reach them.",
    )
    return Compared("Trees on 132 Magpie descriptors", lines, words)


def leak(study: Study) -> Listed:
    """Where the 500 rows of the external test stand in Exp1's split."""
    rows = study.files.rows(SETS["Exp1"])
    wanted = {row.id for row in study.files.rows(TEST_ROWS)}
    split = Split.of(len(rows))
    places = (("trained on", split.train), ("validated on", split.validation), ("tested on", split.test))
    counts = [(name, sum(rows[i].id in wanted for i in part.tolist()), len(part)) for name, part in places]
    words = (
        f"The oracle was trained on {counts[0][1]} of the {len(wanted)} rows of the external test: its R2 there says "
        "little. The other sets hold none of them.",
    )
    return Listed("The external test inside Exp1", ("rows that Exp1", "of the 500", "in all"), counts, words)


def labels_of_al(study: Study) -> Listed:
    """What the search brought in, by the authors' AL rows."""
    shown = []
    for row in ("Exp2 AL", "Exp3 AL"):
        rows = study.files.rows(SETS[row])
        new = [one.band_gap_ev for one in rows if one.id >= AL_FROM_ID]
        test = Split.of(len(rows)).test.tolist()
        n_in_test = sum(rows[i].id >= AL_FROM_ID for i in test)
        n_wide = sum(value > 2.0 for value in new)  # noqa: PLR2004  the paper's words: greater than 2 eV
        n_high = sum(value > paper.HIGH_EV for value in new)
        mean = sum(new) / len(new)
        shown.append((row, len(new), round(mean, 2), n_wide, n_high, f"{n_in_test} of {len(test)}"))
    columns = ("set", "AL rows", "mean, eV", "> 2 eV", f"> {paper.HIGH_EV:g} eV", "AL rows in the test part")
    words = (
        'The paper says that "most" of these samples have a gap above 2 eV; the files say a fifth to a quarter.',
        "The 741 and 853 rows are told as the decodable ones of 1,000 suggestions. The ids in the files are places in "
        "the logs, 880 and 1,000 of them: what is missing went before, not one by one, and of Exp2 a block of 118. In "
        "the authors' code undecodable suggestions cost nothing, and repeats are labelled again.",
    )
    return Listed("The labels that the authors' search added", columns, shown, words)


def _recovery(study: Study) -> Compared:
    lines = published_lines(authors_agreements(authors_lists(study.files)))
    words = ("From the lists that the authors ship; `agd reproduce recovery` screens a pool of our own.",)
    return Compared("Candidates and recovery", lines, words)


def _lead(lines: Sequence[Line]) -> str:
    by_place = {(line.row, line.quantity): line for line in lines}
    said = [
        f"{row} {line.ours.text(3)} (paper {line.paper.text(3)})"
        for row in paper.ROWS
        if (line := by_place[row, paper.HOLD_OUT_R2]).ours is not None and line.paper is not None
    ]
    return f"Hold-out R2 of Roost: {'; '.join(said)}."


def _explained(study: Study) -> list[str]:
    return [
        study.protocol.words,
        "Roost as the authors' code has it: L1 loss on standardised gaps, AdamW 3e-4, batch 128; repeats differ in "
        "initial weights and the order of batches, not in the split. The weights are those of the last epoch.",
        f"The paper prints {paper.N_ROWS['Exp1']:,} rows for Exp1 and 42,667 in its text, and 8,535 test rows; the "
        f"file holds {len(study.files.rows(SETS['Exp1'])):,}, of which a fifth are 8,534.",
        "The paper's own R2 of the 500 says what the search added to a model of real labels: 0.414 after 0.409 in "
        "Exp2, and 0.417 after 0.227 in Exp3, where 300 real labels with 853 of the oracle come to what 1,000 real "
        "labels alone do (0.409).",
        "Predictions are not raised to zero, as theirs are not: some AL labels are negative.",
    ]
