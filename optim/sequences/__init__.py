"""Sequences of numbers by step, one file each."""
