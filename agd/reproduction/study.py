"""What the targets share: the authors' sets as datasets, their split, models and campaigns made where missing."""

import csv
import io
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agd import spec as specification
from agd.db.connection import AnyRow
from agd.db.record import campaigns, datasets, models
from agd.db.record.models import FromCampaign, FromDataset, Member, Part
from agd.errors import InputError
from agd.loop import LocalEngine
from agd.progress import Progress
from agd.protocols import Generator
from agd.report.words import counted
from agd.reproduction import paper
from agd.reproduction.authors import CORPUS, SETS, TEST_ROWS, AuthorsFiles
from agd.spec import AutoencoderSpec
from agd.steps.campaign.campaigns import Campaign
from agd.steps.campaign.opening import open_campaign
from agd.steps.data.cleaning import ImportRules
from agd.steps.data.importing import import_once
from agd.steps.models import plugin_options
from agd.steps.models.evaluating import evaluate
from agd.steps.models.training import Recipe, Trained, train_by_hand
from agd.steps.models.training_sets import corpus as drawn_corpus
from agd.steps.models.training_sets import find_dataset
from agd.steps.screening.screening import ScreeningPlan, screen
from agd.target import Target
from agd.work.workspace import Workspace
from agd.writing import write_text

Watch: TypeAlias = Callable[[str], AbstractContextManager[Progress]]
"""Opens the reporting of one long computation by its title."""

PROPERTY: Final = "band_gap"
HIGH: Final = Target.parse(f"band_gap >= {paper.HIGH_EV:g} eV")

UNBOUNDED_EV: Final = -1000.0
"""The least answer of the paper's models, which are not raised to zero."""

_NAMES: Final = {
    "Exp1": "agd-exp1",
    "Exp2 BS": "agd-exp2-bs",
    "Exp2 AL": "agd-exp2-al",
    "Exp3 BS": "agd-exp3-bs",
    "Exp3 AL": "agd-exp3-al",
}
_TEST_NAME: Final = "agd-test-500"
_CORPUS_NAME: Final = "agd-mp-formulas"
_VALUES: Final = ImportRules("composition", "Eg", PROPERTY, "eV", negative="keep")

TREES: Final = ("random_forest", "hist_gradient_boosting")
"""What stands beside Roost, by its plug-in."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How much is spent: repeats of each training, seeds of each search, epochs of Roost, calls of a campaign."""

    repeats: int = paper.N_REPEATS
    oracle_repeats: int = paper.N_REPEATS
    al_seeds: int = paper.N_REPEATS
    epochs: int = paper.EPOCHS
    oracle_epochs: int = paper.EPOCHS
    calls: int = 1000
    n_generated: int = 1_000_000
    seed: int = 0

    @classmethod
    def full(cls, repeats: int | None, seed: int) -> "Protocol":
        """The paper's: ten repeats of everything."""
        n = paper.N_REPEATS if repeats is None else repeats
        return cls(n, n, n, seed=seed)

    @classmethod
    def quick(cls, repeats: int | None, seed: int) -> "Protocol":
        """A first look: one oracle of 60 epochs, three repeats of everything else."""
        n = 3 if repeats is None else repeats
        return cls(n, 1, n, oracle_epochs=60, n_generated=200_000, seed=seed)

    @property
    def words(self) -> str:
        """What is spent on Roost, beside the paper."""
        n, epochs = self.oracle_repeats, self.oracle_epochs
        spent = f"Roost: {counted(n, 'training')} of {epochs} epochs for Exp1, {self.repeats} of {self.epochs}"
        if {n, self.repeats} == {paper.N_REPEATS} and {epochs, self.epochs} == {paper.EPOCHS}:
            return f"{spent} for each other set, as in the paper."
        return f"{spent} for each other set; the paper has {paper.N_REPEATS} of {paper.EPOCHS} for each."

    @property
    def suffix(self) -> str:
        """What the name of a campaign ends with: nothing where it spends the calls of the full protocol."""
        return "" if self.calls == Protocol.full(None, 0).calls else f"-{self.calls}"

    def seeds(self, n: int) -> range:
        """The seeds of `n` repeats."""
        return range(self.seed, self.seed + n)


@dataclass(frozen=True, slots=True)
class Wish:
    """What of a target is asked for; all of it where nothing is said."""

    is_authors_data: bool = False
    is_authors_lists: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Positions of the rows to learn from, to stop by and to test on."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]

    @classmethod
    def of(cls, n: int) -> "Split":
        """The authors' 60/20/20: scikit-learn's split of seed 0 for the test, again for the validation rows."""
        from sklearn.model_selection import train_test_split

        rest, test = train_test_split(np.arange(n), test_size=0.2, random_state=0)
        train, validation = train_test_split(rest, test_size=0.25, random_state=0)
        return cls(train, validation, test)

    def uses(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which rows are held out, and which are for validation, both `[n]`."""
        n = len(self.train) + len(self.validation) + len(self.test)
        is_held_out, is_validation = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        is_held_out[self.test], is_validation[self.validation] = True, True
        return is_held_out, is_validation


@dataclass(frozen=True, slots=True)
class Screened:
    """A screening: its campaign, what was left at each stage, and the hits, best first, with predicted values."""

    campaign: str | None
    stages: Mapping[str, int]
    hits: Sequence[tuple[str, float]]


_ALL_HITS: Final = 10_000_000

_SCREENING_CAMPAIGN: Final = """\
name = "{name}"
target = "{target}"

[data]
dataset = "{dataset}"

[initial]
file = "{initial}"

[autoencoder]
corpus = "{corpus}"

[oracle]
kind = "external"

[budget]
oracle_calls = 1
"""


@dataclass(frozen=True, slots=True)
class Study:
    """A record, the authors' files, and how much to spend; `folder` takes specifications and lists that it writes.

    One that is there and holds the same is left as it is; one that differs is overwritten only where that is forced.
    """

    workspace: Workspace
    files: AuthorsFiles
    protocol: Protocol
    folder: Path
    threads: int
    watch: Watch
    generator_corpus: Path | None = None
    is_forced: bool = False
    _campaigns: dict[str, Campaign] = field(default_factory=dict)

    def dataset(self, row: str) -> str:
        """The dataset of a row of Table 1, imported where it is missing, its values as the authors have them."""
        return import_once(self.workspace, self.files.path(SETS[row]), _NAMES[row], _VALUES)

    def test_500(self) -> str:
        """The dataset of the authors' external test."""
        return import_once(self.workspace, self.files.path(TEST_ROWS), _TEST_NAME, _VALUES)

    def corpus(self) -> str:
        """The dataset of known formulas that autoencoders learn from."""
        return import_once(self.workspace, self.files.path(CORPUS), _CORPUS_NAME, ImportRules("pretty_formula"))

    def listed(self, name: str, rows: Sequence[tuple[str, float]]) -> str:
        """A dataset of rows that the study chose: formula and band gap in eV, written to a file and imported."""
        path = self.write_csv(f"{name}.csv", ("composition", "Eg"), rows)
        return import_once(self.workspace, path, name, _VALUES)

    def write_csv(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
        """A small table in the study's folder; the same rows give the same bytes."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(rows)
        return self._written(name, text.getvalue())

    def members_of_row(self, row: str) -> list[Part]:
        """The rows of a set in the order of its file, split as the authors split them."""
        name = self.dataset(row)
        formulas = self.files.formulas(SETS[row])
        with self.workspace.database.read() as tx:
            dataset = find_dataset(tx, name)
            by_formula = {one.reduced_formula: one for one in datasets.rows_of(tx, dataset.id)}
        is_held_out, is_validation = Split.of(len(formulas)).uses()
        members = _members([by_formula[formula] for formula in formulas], is_held_out, is_validation)
        return [Part(FromDataset(dataset.id, dataset.recipe_sha256), members)]

    def members_apart(self, name: str, held_out: Callable[[Sequence[str]], NDArray[np.bool_]]) -> list[Part]:
        """The rows of a dataset by formula; which of them `[n]` are held out is said of their formulas."""
        with self.workspace.database.read() as tx:
            dataset = find_dataset(tx, name)
            rows = datasets.rows_of(tx, dataset.id)
        is_held_out = held_out([row.reduced_formula for row in rows])
        members = _members(rows, is_held_out, np.zeros(len(rows), np.bool_))
        return [Part(FromDataset(dataset.id, dataset.recipe_sha256), members)]

    def members_of_campaign(self, campaign: Campaign, without: Collection[str]) -> list[Part]:
        """A campaign's initial labels and its own, each by formula, split 60/20/20; those `without` are left out."""
        with self.workspace.database.read() as tx:
            initial = models.initial_labels(tx, campaign.id)
            last = models.last_recorded(tx, campaign.id)
            learned = [
                row for row in models.learned_labels(tx, campaign.id, last) if row.reduced_formula not in without
            ]
            row = campaigns.find(tx, campaign.name)
        assert row is not None  # noqa: S101  it was opened
        is_held_out, is_validation = Split.of(len(initial) + len(learned)).uses()
        first = initial[0]
        parts = []
        for source, rows, start in (
            (FromDataset(first.dataset_id, first.recipe_sha256), initial, 0),
            (FromCampaign(campaign.id, row.spec_sha256, last), learned, len(initial)),
        ):
            here = slice(start, start + len(rows))
            parts.append(Part(source, _members(rows, is_held_out[here], is_validation[here])))
        return parts

    def train_on_initial(self, campaign: Campaign, kind: str, given: Mapping[str, object]) -> Trained:
        """A screener of the labels that a campaign started from."""
        with self.workspace.database.read() as tx:
            initial = models.initial_labels(tx, campaign.id)
        is_held_out, is_validation = Split.of(len(initial)).uses()
        first = initial[0]
        source = FromDataset(first.dataset_id, first.recipe_sha256)
        parts = [Part(source, _members(initial, is_held_out, is_validation))]
        return self.train(f"{campaign.name}, starting labels, {kind}", parts, kind=kind, given=given)

    def train_on(self, campaign: Campaign, kind: str, given: Mapping[str, object], without: Collection[str]) -> Trained:
        """A screener of the labels that a campaign started from and of its own, those of `without` left out."""
        parts = self.members_of_campaign(campaign, without)
        return self.train(f"{campaign.name}, {kind}", parts, kind=kind, given=given)

    def train(
        self,
        title: str,
        parts: Sequence[Part],
        *,
        kind: str = "roost",
        is_oracle: bool = False,
        seed: int = 0,
        given: Mapping[str, object] | None = None,
    ) -> Trained:
        """A model of these rows, trained where it is not in the record yet; its answers are not raised to zero."""
        chosen = plugin_options.parse("agd.oracles", kind, [], {"minimum": UNBOUNDED_EV, **(given or {})})
        recipe = Recipe("oracle" if is_oracle else "screener", kind, PROPERTY, chosen, seed, self.threads)
        with self.watch(title) as progress:
            return train_by_hand(self.workspace, recipe, parts, progress)

    def screening_campaign(self, row: str) -> str:
        """A campaign of the row's labels that never searches: screenings belong to it."""
        name = f"screen-{_NAMES[row].removeprefix('agd-')}"
        text = _SCREENING_CAMPAIGN.format(
            name=name,
            target=HIGH.text,
            dataset=self.dataset(row),
            initial=self.files.path(SETS[row]).resolve(),
            corpus=self.corpus(),
        )
        self._opened(name, text)
        return name

    def screened(self, plan: ScreeningPlan, model: Trained, title: str) -> Screened:
        """What a model picks from a pool by the plan of its one role; the same again is not screened again."""
        with self.watch(title) as progress:
            found = screen(
                self.workspace,
                plan,
                n_top=_ALL_HITS,
                watch=lambda _: nullcontext(progress),
                trained=dict.fromkeys(plan.roles, model),
            )
        (screening,) = found.screenings
        hits = [(hit.reduced_formula, hit.value) for hit in screening.top]
        return Screened(plan.campaign, screening.stages, hits)

    def autoencoder(self) -> Generator:
        """The autoencoder that the campaigns of the default mode search with."""
        chosen = AutoencoderSpec()
        options = chosen.options()
        corpus = self.corpus()
        with self.workspace.database.read() as tx:
            dataset = find_dataset(tx, corpus)
            parts = drawn_corpus(tx, dataset, chosen.kind, options, share=chosen.held_out, seed=chosen.seed)
        recipe = Recipe("autoencoder", chosen.kind, None, options, chosen.seed, 1)
        with self.watch("autoencoder") as progress:
            trained = train_by_hand(self.workspace, recipe, parts, progress)
        assert trained.model_version_id is not None  # noqa: S101  it was trained
        return self.workspace.generator(trained.model_version_id)

    def judge(self, model: Trained, dataset: str, target: Target | None = None) -> dict[str, float]:
        """The metrics of a model on a dataset, from the record where they are there."""
        assert model.model_version_id is not None  # noqa: S101  it was trained
        return evaluate(self.workspace, model.model_version_id, dataset, target, threads=self.threads)

    def campaign(self, text: str) -> Campaign:
        """A campaign run to its end, or found ended; its specification stays in the folder, to be run by hand."""
        name = str(tomllib.loads(text)["name"])
        if name not in self._campaigns:
            campaign = self._opened(name, text)
            with self.watch(f"campaign {name}") as progress:
                outcome = LocalEngine().run(self.workspace, campaign, progress=progress)
            if not outcome.is_ended:
                raise InputError(f"campaign {name!r} was stopped: the same command goes on where it is")
            self._campaigns[name] = campaign
        return self._campaigns[name]

    def _opened(self, name: str, text: str) -> Campaign:
        path = self._written(f"{name}.toml", text)
        return open_campaign(self.workspace, specification.read(path))

    def _written(self, name: str, text: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text, force=self.is_forced)
        return path


def _members(rows: Sequence[AnyRow], is_held_out: NDArray[np.bool_], is_validation: NDArray[np.bool_]) -> list[Member]:
    return [
        Member(
            row.composition_id,
            row.reduced_formula,
            row.label_id,
            row.value,
            is_held_out=bool(out),
            label_key=getattr(row, "label_key", None),
            is_validation=bool(stops),
        )
        for row, out, stops in zip(rows, is_held_out, is_validation, strict=True)
    ]


def facts_of(model: Trained) -> str:
    """What a line rests on."""
    return f"model version {model.model_version_id} ({(model.tensors_sha256 or '')[:12]})"


def numbers(models_: Sequence[Trained], metric: str) -> list[float]:
    """A metric of several models, where they have it."""
    found: list[Any] = [model.metrics.get(metric) for model in models_]
    return [float(value) for value in found if value is not None]
