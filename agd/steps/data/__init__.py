"""Compositions of the record: what is in a dataset, and how it came there."""
