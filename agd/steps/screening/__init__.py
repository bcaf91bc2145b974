"""Screening: a model picks from a pool."""
