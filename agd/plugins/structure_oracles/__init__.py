"""Oracles of structures: a property of a crystal, by its atoms and where they are."""
