"""Batch-size rules, one file each."""
