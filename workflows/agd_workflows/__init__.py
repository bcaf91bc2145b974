"""The hands: FireWorks launches a campaign's steps, here or on a cluster, and they write back into the record."""

from agd_workflows import unconfigured

unconfigured.hide_settings()
