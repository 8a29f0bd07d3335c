"""The exceptions of this package."""

from __future__ import annotations


class DataError(ValueError):
    """A data set cannot be had as asked; the message is one sentence that says what is wrong and what to do."""


class MissingData(DataError):
    """A registered data set is not on this machine; a study over several sets may go on without it."""
