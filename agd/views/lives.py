"""What people say of campaigns, what happened to them, and what goes with one that is deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class CampaignAbout:
    """What was said of a campaign: v_campaign_about."""

    campaign_id: int
    campaign: str
    tags: Sequence[str]
    is_archived: bool
    last_note: str | None
    n_notes: int
    former_names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened to a campaign, and who did it: a person's name, or a host."""

    at: datetime
    what: str
    detail: str | None
    by: str | None


@dataclass(frozen=True, slots=True)
class Deletion:
    """What goes with a campaign that is deleted, and what of it stays, for it belongs to everyone.

    Where it was done, `removal_id` is the row that says so.
    """

    campaign: str
    n_suggestions: int
    n_iterations: int
    n_screenings: int
    n_activities: int
    n_labels_kept: int
    n_models_kept: int
    removal_id: int | None = None
