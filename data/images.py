"""Load a registered set of images, by way of the cache; pixels stay bytes."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from data import cache, cifar, files, idx
from data.compression import decompress, suffix_of
from data.dataset import Bytes, ImageSet, Labelled
from data.errors import DataError
from data.registry import ENTRIES, IMAGES, Entry, ImageEntry, near
from data.sklearn_sets import load_bundled

VERSION = 1  # part of the cache key: raise it when the same file gives other arrays

DIGITS = "sklearn/digits"
_DIGITS_TEST = 360  # the last fifth of its 1,797 images


def image_names() -> list[str]:
    """Names of all sets of images, sorted."""
    return sorted([*IMAGES, DIGITS])


def load_images(name: str) -> ImageSet:
    """The registered set of images `name`, for example "mnist" or "cifar-10-subset".

    "sklearn/digits" are 8 x 8 images of 17 shades: the first 1,437 to train on, the last 360 to test on.

    Raises DataError if the name is unknown, a file is missing, damaged or malformed, or its digest is not the
    registered one.
    """
    if name == DIGITS:
        return _digits()
    known = _entry(name)
    parts = [_read(known, file) for file in known.files]
    split = len(known.train)
    train, test = _part(known, known.train, parts[:split]), _part(known, known.test, parts[split:])
    return ImageSet(name, *train, *test, known.classes, images_digest(name))


def images_digest(name: str) -> str:
    """The digest that `load_images(name)` gives, without reading any file. Raises DataError if the name is unknown."""
    if name == DIGITS:
        return str(ENTRIES[DIGITS].raw_sha256)
    return hashlib.sha256("\n".join(_wanted(file) for file in _entry(name).files).encode()).hexdigest()


def images_available(name: str) -> bool:
    """Whether `load_images(name)` would find its files, with the registered digests, now and without a network.

    Raises DataError if the name is unknown.
    """
    if name == DIGITS:
        return True
    known = _entry(name)
    try:
        for file in known.files:
            _read(known, file)
    except DataError:
        return False
    return True


def check_image_file(known: Entry, raw: bytes, called: str, advice: str) -> str:
    """SHA-256 (hex) of the decompressed content of a file of a set of images.

    Raises DataError, ending in `advice`, unless it is the registered one, or its MD5 is where only that is known.
    """
    found = hashlib.sha256(raw).hexdigest()
    kind, got = "SHA-256", found
    if known.raw_sha256 is None:
        kind, got = "MD5", hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if got != _wanted(known):
        raise DataError(
            f"{called} has the {kind} {got[:12]}... (decompressed) where {known.file} of {known.name} has "
            f"{_wanted(known)[:12]}...: {advice}"
        )
    return found


def _wanted(file: Entry) -> str:
    """The registered SHA-256 of the decompressed file, or its MD5 where that is all that is known."""
    return file.raw_sha256 or str(file.raw_md5)


def _entry(name: str) -> ImageEntry:
    if name in IMAGES:
        return IMAGES[name]
    if name in ENTRIES:
        raise DataError(f"{name} is a set of rows, not of images: choose from {', '.join(image_names())}")
    raise DataError(f"there is no set of images called {name!r}: {near(name, image_names())}")


def _read(known: ImageEntry, file: Entry) -> list[Bytes]:
    """The arrays of a file, whose content is the registered one. It is hashed every time: a changed one is noticed."""
    path = files.find(file)
    content = files.read(path)
    # What it must hold is part of the key, so that only content which was compared with that is found.
    parts = hashlib.sha256(content).hexdigest(), suffix_of(path.name) or "plain", known.form, _wanted(file)
    key = f"{'-'.join(parts)}-v{VERSION}"
    stored = cache.read(key)
    if not stored:
        raw = decompress(content, str(path))
        check_image_file(file, raw, str(path), f"delete the file, then {files.remedy(file)}")
        if known.form == "idx":
            arrays = [idx.parse(raw, str(path))]
        else:
            arrays = list(cifar.parse(raw, str(path), cifar.FORMS[known.form]))
        stored = {str(i): array for i, array in enumerate(arrays)}
        cache.write(key, stored)
    return [stored[name] for name in sorted(stored)]


def _part(known: ImageEntry, entries: tuple[Entry, ...], parts: list[list[Bytes]]) -> Labelled:
    """Images and labels of one part, checked to fit together and to be what the registry says."""
    if known.form == "idx":
        (images,), (labels,) = parts
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise DataError(
                f"{entries[0].file} has axes {images.shape} and {entries[1].file} {labels.shape}: images need three "
                "and labels one, of the same length; get the files again"
            )
        images = images[:, None]
    else:
        images, labels = (np.concatenate([part[i] for part in parts]) for i in range(2))
    rows = sum(entry.rows for entry in entries if entry.features > 1)
    if len(images) != rows or images.shape[1:] != known.shape or labels.max() >= known.classes:
        raise DataError(
            f"{entries[0].file} has {len(images)} images of {images.shape[1:]} with labels up to {labels.max()} where "
            f"{known.name} has {rows} of {known.shape} and {known.classes} classes: get the files again"
        )
    return images, labels


def _digits() -> ImageSet:
    rows = load_bundled(DIGITS)
    if rows.digest != ENTRIES[DIGITS].raw_sha256:
        raise DataError(f"{DIGITS} in the installed scikit-learn is not the registered one: run `make setup`")
    images = rows.inputs.toarray().astype(np.uint8).reshape(-1, 1, 8, 8)
    labels: Any = rows.targets.astype(np.uint8)
    split = len(images) - _DIGITS_TEST
    train, test = (images[:split], labels[:split]), (images[split:], labels[split:])
    return ImageSet(DIGITS, *train, *test, classes=10, digest=rows.digest, white=16)
