"""The one exception of this package."""

from __future__ import annotations


class DataError(ValueError):
    """A data set cannot be had as asked; the message is one sentence that says what is wrong and what to do."""
