"""Data sets: found, verified, parsed and cached; every failure is one DataError that says what to do."""

from data.dataset import DataSet, ImageSet
from data.errors import DataError, MissingData
from data.images import image_names, images_available, images_digest, load_images
from data.loading import available, columns, digest, digest_file, load, load_file, names

__all__ = [
    "DataError",
    "DataSet",
    "ImageSet",
    "MissingData",
    "available",
    "columns",
    "digest",
    "digest_file",
    "image_names",
    "images_available",
    "images_digest",
    "load",
    "load_file",
    "load_images",
    "names",
]
