"""Loggers: where the runs of a store can be looked at, beside the store itself. One file each."""
