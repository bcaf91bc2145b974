"""Samplers: where to look next."""
