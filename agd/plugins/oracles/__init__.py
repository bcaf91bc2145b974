"""Oracles: what answers a property for a composition."""
