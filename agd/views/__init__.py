"""What is shown: one frozen row each, whose fields are the keys of `--json` and of the Python interface, in order.

A row of the record keeps the names of the view or query it comes from. Counts are `n_`, values are in `unit`, times
have their zone. A field is None where the record has nothing to say.
"""

from agd.views.campaigns import (
    Amendment,
    CampaignProgress,
    Extension,
    IterationProgress,
    PropertyOfSuggestion,
    RunPlan,
    RunProgress,
    Status,
    StepAtWork,
    Suggested,
    TargetProgress,
    budget_in_words,
)
from agd.views.datasets import Dataset, DatasetWithRefused, ImportedStructure, Method, RefusedRow, StructureRow
from agd.views.generations import ExpectedGeneration, FoundGeneration, Generation, NewGeneration
from agd.views.jobs import Job, JobAttempt, JobBefore, JobWithAttempts
from agd.views.labels import Label, Resting, RestingCampaign, RestingEvaluation, RestingModel
from agd.views.lineage import (
    Composition,
    GeneratedAs,
    Lineage,
    ListedIn,
    MadeFrom,
    ModelOnTheWay,
    PickedBy,
    Refusal,
    SuggestedKnowing,
    TrainedOn,
    Verdict,
)
from agd.views.lives import CampaignAbout, Deletion, Happening
from agd.views.models import ModelVersion, Predicted, TrainedModel, TrainedStructureModel
from agd.views.rows import as_json, of_row, of_rows, plain
from agd.views.screenings import Hit, Screened, Screening, ScreeningWithHits
from agd.views.structures import (
    Claim,
    DistanceFromHull,
    HullAt,
    HullOfComposition,
    StructureCandidate,
    Structured,
)

__all__ = [
    "Amendment",
    "CampaignAbout",
    "CampaignProgress",
    "Claim",
    "Composition",
    "Dataset",
    "DatasetWithRefused",
    "Deletion",
    "DistanceFromHull",
    "ExpectedGeneration",
    "Extension",
    "FoundGeneration",
    "GeneratedAs",
    "Generation",
    "Happening",
    "Hit",
    "HullAt",
    "HullOfComposition",
    "ImportedStructure",
    "IterationProgress",
    "Job",
    "JobAttempt",
    "JobBefore",
    "JobWithAttempts",
    "Label",
    "Lineage",
    "ListedIn",
    "MadeFrom",
    "Method",
    "ModelOnTheWay",
    "ModelVersion",
    "NewGeneration",
    "PickedBy",
    "Predicted",
    "PropertyOfSuggestion",
    "Refusal",
    "RefusedRow",
    "Resting",
    "RestingCampaign",
    "RestingEvaluation",
    "RestingModel",
    "RunPlan",
    "RunProgress",
    "Screened",
    "Screening",
    "ScreeningWithHits",
    "Status",
    "StepAtWork",
    "StructureCandidate",
    "StructureRow",
    "Structured",
    "Suggested",
    "SuggestedKnowing",
    "TargetProgress",
    "TrainedModel",
    "TrainedOn",
    "TrainedStructureModel",
    "Verdict",
    "as_json",
    "budget_in_words",
    "of_row",
    "of_rows",
    "plain",
]
