"""Data sets: found, verified, parsed and cached; every failure is one DataError that says what to do."""

from data.dataset import DataSet
from data.errors import DataError, MissingData
from data.loading import available, columns, digest, digest_file, load, load_file, names

__all__ = [
    "DataError",
    "DataSet",
    "MissingData",
    "available",
    "columns",
    "digest",
    "digest_file",
    "load",
    "load_file",
    "names",
]
