"""Recovery: how many of the oracle's own picks another screener makes too, as the authors' code counts it."""

from collections.abc import Mapping, Sequence
from typing import Final

from agd.reproduction import paper, table1
from agd.reproduction.agreement import (
    CIRCULAR,
    FILTERS,
    MAX_ATOMS,
    MAX_ELEMENTS,
    REFERENCE,
    Agreement,
    Candidate,
    authors_agreements,
    authors_lists,
    measures,
    published_lines,
)
from agd.reproduction.authors import INVERSE_DESIGN, ORACLE_ROWS, AuthorsFiles
from agd.reproduction.generated import generated
from agd.reproduction.outcome import Compared, Figure, Line, Listed, Outcome, Part
from agd.reproduction.study import HIGH, Screened, Study, Wish, facts_of
from agd.steps.models.training import Trained
from agd.steps.screening.screening import ScreeningPlan


def recovery(study: Study, wish: Wish) -> Outcome:
    """The recovery column of Table 1: from the authors' lists, and by screening a pool of our own."""
    published = from_authors_lists(study.files)
    if wish.is_authors_lists:
        return published
    pool = generated(study)
    models = {row: table1.roost_models(study, row) for row in paper.ROWS}
    picked = {row: [_screened(study, row, pool, model) for model in found] for row, found in models.items()}
    reference = picked[REFERENCE][0]
    lines = []
    for row, repeats in picked.items():
        judged = repeats[1:] if row == REFERENCE else repeats
        agreements = [Agreement.of(_as_candidates(one), _as_candidates(reference)) for one in judged]
        rests_on = [f"campaign {repeats[0].campaign}", *(facts_of(model) for model in models[row])]
        n_candidates = Figure.of([float(one.n) for one in agreements])
        lines += [
            Line(row, paper.CANDIDATES, n_candidates, None, 0, rests_on=rests_on),
            *measures(row, agreements),
        ]
    words = (
        f"The same models as in Table 1 on {reference.stages.get('read', 0):,} formulas of our generator; the "
        f"reference is what the first Roost oracle picks ({len(reference.hits):,}), the row of Exp1 what its other "
        "repeats pick. The authors' pool of 1.18 million is not published.",
        study.protocol.words,
    )
    parts = [*published.parts, Compared("Recovery from a pool of our own", lines, words)]
    rates = [
        line.ours.text(0) for line in lines if line.quantity == paper.RECOVERY and line.ours and line.row != REFERENCE
    ]
    lead = f"{published.lead} In a pool of our own, of {len(reference.hits):,}: {', '.join(rates)} %."
    return Outcome("recovery", published.title, lead, parts)


_POINTS: Final = (
    'The gains that the text gives as "26.47 %" and "54.90 %" are differences of two rates: percentage points.'
)


def _screened(study: Study, row: str, pool: str, model: Trained) -> Screened:
    plan = ScreeningPlan(
        study.screening_campaign(row),
        pool,
        ("baseline",),
        target=HIGH.text,
        max_elements=MAX_ELEMENTS,
        max_atoms=MAX_ATOMS,
        is_novel=False,
    )
    return study.screened(plan, model, f"{row}, screen with {facts_of(model)}")


def _as_candidates(found: Screened) -> list[Candidate]:
    return [Candidate(formula, value) for formula, value in found.hits]


def from_authors_lists(files: AuthorsFiles) -> Outcome:
    """The recovery column of Table 1 from the lists that the authors ship."""
    lists = authors_lists(files)
    found = authors_agreements(lists)
    shared = ", ".join(str(one.n_shared) for row, one in found.items() if row != REFERENCE)
    lead = (
        f"Recovered of the oracle's {len(lists[REFERENCE])} candidates: {shared} (Exp2 BS, Exp2 AL, Exp3 BS, Exp3 AL)."
    )
    parts: list[Part] = [
        Compared("Recovery from the authors' lists", published_lines(found), (FILTERS, CIRCULAR, _POINTS)),
        _sryf5(files, lists),
    ]
    return Outcome("recovery", "Recovery of the oracle's candidates", lead, parts)


def _sryf5(files: AuthorsFiles, lists: Mapping[str, Sequence[Candidate]]) -> Listed:
    """What each list says of SrYF5, the paper's example of what AL alone found."""
    printed = {"Exp1": "6.71", "Exp2 AL": "7.02", "Exp3 AL": "7.11"}
    rows = []
    for row, candidates in lists.items():
        found = next((c.band_gap_ev for c in candidates if c.formula == "SrYF5"), None)
        rows.append((row, "not listed" if found is None else f"{found:.3f}", printed.get(row, "said to be absent")))
    rests = f"{ORACLE_ROWS} and {INVERSE_DESIGN} do not hold it"
    inside = {one.formula for one in files.rows(INVERSE_DESIGN)}
    words = (
        "Section 3.3.3 says that SrYF5 is in no baseline list; the list of Exp2 BS holds it. "
        + (rests if "SrYF5" not in inside else "The direct search found it too")
        + ".",
    )
    return Listed("SrYF5 in the lists, predicted gap in eV", ("list", "authors' file", "printed"), rows, words)
