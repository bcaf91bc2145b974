"""The record: every table, with the laws of the house as constraints. Views and functions live in the migrations."""

from agd.db.tables.activities import activity, job, job_after, rejection_sample, stage
from agd.db.tables.campaigns import (
    campaign,
    campaign_amendment,
    campaign_known,
    campaign_model,
    campaign_pool,
    campaign_set,
    campaign_target,
    iteration,
    property_,
)
from agd.db.tables.columns import metadata
from agd.db.tables.datasets import (
    composition,
    dataset,
    dataset_reject,
    dataset_row,
    generation,
    verdict,
    verdict_rule,
)
from agd.db.tables.integrity import campaign_hash, dataset_hash, removal
from agd.db.tables.labels import label, label_replacement, measurement, method, retraction
from agd.db.tables.models import (
    artifact,
    evaluation,
    model_version,
    training_set,
    training_set_campaign,
    training_set_member,
    training_set_source,
)
from agd.db.tables.screenings import screening, screening_hit
from agd.db.tables.structures import correction_scheme, structure, structure_row
from agd.db.tables.suggestions import (
    decode_failure,
    given_up,
    latent,
    suggestion,
    suggestion_expectation,
    suggestion_label,
    suggestion_parent,
)

__all__ = [
    "activity",
    "artifact",
    "campaign",
    "campaign_amendment",
    "campaign_hash",
    "campaign_known",
    "campaign_model",
    "campaign_pool",
    "campaign_set",
    "campaign_target",
    "composition",
    "correction_scheme",
    "dataset",
    "dataset_hash",
    "dataset_reject",
    "dataset_row",
    "decode_failure",
    "evaluation",
    "generation",
    "given_up",
    "iteration",
    "job",
    "job_after",
    "label",
    "label_replacement",
    "latent",
    "measurement",
    "metadata",
    "method",
    "model_version",
    "property_",
    "rejection_sample",
    "removal",
    "retraction",
    "screening",
    "screening_hit",
    "stage",
    "structure",
    "structure_row",
    "suggestion",
    "suggestion_expectation",
    "suggestion_label",
    "suggestion_parent",
    "training_set",
    "training_set_campaign",
    "training_set_member",
    "training_set_source",
    "verdict",
    "verdict_rule",
]
