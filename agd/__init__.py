"""A campaign manager for active generative design of inorganic materials."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agd.api import Campaign

__all__ = ["Campaign", "__distribution__", "__version__"]

__distribution__ = "agd-campaigns"  # of the package index, where `agd` is another project
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the Python interface on first use: importing the package stays quick."""
    if name == "Campaign":
        from agd.api import Campaign

        return Campaign
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
