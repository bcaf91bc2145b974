"""Keeping what there is: backups, and whether an installation is sound."""
