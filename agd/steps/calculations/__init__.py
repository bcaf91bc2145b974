"""Calculations: one of a structure by a recipe, made of displaced or strained cells."""
