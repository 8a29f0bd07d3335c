"""Wrappers around update rules, one file each."""
