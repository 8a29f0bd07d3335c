"""Sets that come with scikit-learn: no download, no file of ours."""

from __future__ import annotations

import hashlib
import importlib.metadata

import numpy as np

from data import cache
from data.dataset import DataSet, Matrix, Vector
from data.errors import DataError


def load_bundled(name: str) -> DataSet:
    """The bundled set called `name` in the registry; values and labels as scikit-learn gives them."""
    from scipy.sparse import csr_array

    inputs, targets = _arrays(name)
    return DataSet(name, csr_array(inputs), targets, _digest(inputs, targets))


def _arrays(name: str) -> tuple[Matrix, Vector]:
    """From the cache, because importing scikit-learn takes a second; the caller checks the digest."""
    try:
        key = f"{name.replace('/', '-')}-{importlib.metadata.version('scikit-learn')}"
    except importlib.metadata.PackageNotFoundError:
        return _from_sklearn(name)  # which says that it is missing
    kept = cache.read(key)
    if kept is not None and {"inputs", "targets"} <= kept.keys():
        return kept["inputs"], kept["targets"]
    inputs, targets = _from_sklearn(name)
    cache.write(key, {"inputs": inputs, "targets": targets})
    return inputs, targets


def _from_sklearn(name: str) -> tuple[Matrix, Vector]:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise DataError(f"{name} needs scikit-learn, which is not installed: run `make setup`") from error
    inputs, targets = getattr(datasets, _LOADERS[name])(return_X_y=True)
    return np.asarray(inputs, dtype=np.float64), np.asarray(targets, dtype=np.float64)


def _digest(*arrays: Vector | Matrix) -> str:
    """SHA-256 of each array's shape and of its values as little-endian float64, row by row."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(repr(tuple(map(int, array.shape))).encode())
        total.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return total.hexdigest()


_LOADERS = {"sklearn/breast_cancer": "load_breast_cancer", "sklearn/digits": "load_digits"}
