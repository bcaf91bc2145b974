"""Engines of calculations from first principles: each writes a folder, says what to run in it, and reads it."""
