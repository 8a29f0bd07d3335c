"""Averages of iterates, one file each."""
