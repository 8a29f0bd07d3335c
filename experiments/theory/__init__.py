"""Calculations without training: constants, bounds and certificates."""
