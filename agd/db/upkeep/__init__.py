"""Keeping a database sound: dumps, what it holds, what contradicts itself, who may read it."""
