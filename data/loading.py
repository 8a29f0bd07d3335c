"""Load a registered set or a user's own file, by way of the cache."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from data import cache, files, libsvm
from data.compression import decompress, suffix_of
from data.dataset import DataSet, Sparse, Vector
from data.errors import DataError
from data.registry import ENTRIES, Entry, entry
from data.sklearn_sets import load_bundled


def names() -> list[str]:
    """Names of all registered sets of rows, sorted."""
    return sorted(ENTRIES)


def load(name: str) -> DataSet:
    """The registered set `name`, for example "libsvm/a9a" or "sklearn/breast_cancer".

    Raises DataError if the name is unknown, the file is missing or damaged, or its digest, rows or features are not
    the registered ones.
    """
    known = entry(name)
    if known.file is None:
        bundled = load_bundled(name)
        _check_digest(known, bundled.digest, "the copy in the installed scikit-learn", "run `make setup`")
        return bundled
    path = files.find(known)
    inputs, targets, found = _load(path, known.features, known)
    _check_shape(known, inputs, str(path), _advice(known))
    return DataSet(name, inputs, targets, found)


def load_file(path: str | os.PathLike[str], features: int | None = None) -> DataSet:
    """A LIBSVM text file, plain or compressed (.bz2, .gz, .xz).

    features: the number of columns; None takes it from the largest index in the file. A file in which index 0 occurs
    counts features from 0, any other from 1.

    Raises DataError as `data.libsvm.parse` does, and if the file is missing, unreadable or truncated.
    """
    libsvm.check_features(features)
    where = files.expand(path)
    return DataSet(where.name, *_load(where, features, None))


def columns(name: str) -> int:
    """The number of features of a registered set, without reading it. Raises DataError if the name is unknown."""
    return entry(name).features


def digest(name: str) -> str:
    """The digest that `load(name)` gives, without parsing; for a set of known digest without reading any file.

    Raises DataError if the name is unknown, or the digest is not registered and the file cannot be read.
    """
    known = entry(name)
    return known.raw_sha256 or digest_file(files.find(known))


def digest_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 (hex) of the decompressed file, as in `load_file(path).digest`; the text itself is not checked.

    Raises DataError if the file is missing, unreadable, empty or truncated.
    """
    where = files.expand(path)
    content = files.read(where)
    key = f"{_sha256(content)}-{(suffix_of(where.name) or 'plain')}-digest"
    stored = cache.read(key)
    if stored is not None and "digest" in stored:
        return str(stored["digest"])
    found = _sha256(decompress(content, str(where)))
    cache.write(key, {"digest": found})
    return found


def available(name: str) -> bool:
    """Whether `load(name)` would find its file, with the registered digest, now and without a network.

    Raises DataError if the name is unknown.
    """
    known = entry(name)
    if known.file is None:
        return True
    try:
        found = digest_file(files.find(known))
    except DataError:
        return False
    return known.raw_sha256 in (None, found)


def check_text(known: Entry, text: bytes, name: str, advice: str) -> str:
    """Digest of the decompressed `text` of the file or address `name`, which must be that of the set `known`.

    Where the registry has no digest, the text must parse to the registered rows and features. Raises DataError,
    ending in `advice`.
    """
    found = _sha256(text)
    _check_digest(known, found, name, advice)
    if known.raw_sha256 is None:
        inputs, _ = libsvm.parse(text, known.features, name)
        _check_shape(known, inputs, name, advice)
    return found


def _load(path: Path, features: int | None, known: Entry | None) -> tuple[Sparse, Vector, str]:
    """Inputs, labels and digest. The file is read and hashed every time: one that changed is never served stale."""
    content = files.read(path)
    # The suffix decides how bytes are decompressed, so the same bytes under another suffix are another entry.
    counted = "auto" if features is None else features
    key = f"{_sha256(content)}-{(suffix_of(path.name) or 'plain')}-{counted}-v{libsvm.VERSION}"
    stored = _unpack(cache.read(key))
    if stored is None:
        text = decompress(content, str(path))
        found = _sha256(text)
        if known is not None:  # before parsing: a wrong file is the trouble then, not its line 17
            _check_digest(known, found, str(path), _advice(known))
        inputs, targets = libsvm.parse(text, features, str(path))
        stored = inputs, targets, found
        cache.write(key, _pack(inputs, targets, found))
    elif known is not None:
        _check_digest(known, stored[2], str(path), _advice(known))
    return stored


def _pack(inputs: Sparse, targets: Vector, found: str) -> dict[str, object]:
    return {
        "values": inputs.data,
        "indices": inputs.indices,
        "starts": inputs.indptr,
        "shape": inputs.shape,
        "targets": targets,
        "digest": found,
    }


def _unpack(arrays: cache.Arrays | None) -> tuple[Sparse, Vector, str] | None:
    """What `_pack` was given, or None if the arrays do not fit together."""
    from scipy.sparse import csr_array

    if arrays is None:
        return None
    try:
        shape = int(arrays["shape"][0]), int(arrays["shape"][1])
        inputs = csr_array((arrays["values"], arrays["indices"], arrays["starts"]), shape=shape)
        inputs.check_format(full_check=True)
        targets = arrays["targets"]
        fits = targets.shape == shape[:1] and targets.dtype == inputs.dtype == np.float64
        return (inputs, targets, str(arrays["digest"])) if fits else None
    except (KeyError, IndexError, ValueError, TypeError):
        return None


def _check_digest(known: Entry, found: str, name: str, advice: str) -> None:
    if known.raw_sha256 not in (None, found):
        raise DataError(
            f"{name} has the SHA-256 {found[:12]}... (decompressed) where {known.name} has "
            f"{str(known.raw_sha256)[:12]}...: {advice}"
        )


def _check_shape(known: Entry, inputs: Sparse, name: str, advice: str) -> None:
    if inputs.shape != (known.rows, known.features):
        raise DataError(
            f"{name} has {inputs.shape[0]} rows and {inputs.shape[1]} features where {known.name} has {known.rows} "
            f"and {known.features}: {advice}"
        )


def _advice(known: Entry) -> str:
    return f"delete the file, then {files.remedy(known)} (`data.load_file` takes one that is meant to differ)"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
