"""Read LIBSVM text: one row a line, `label index:value index:value ...`, indices increasing within a row."""

from __future__ import annotations

import io
from typing import cast

import numpy as np

from data.dataset import Sparse, Vector
from data.diagnose import diagnose
from data.errors import DataError

VERSION = 1  # part of the cache key: raise it when the same text parses to other arrays

# Text made of these only can go wrong in ways that scikit-learn's parser notices. Anything else (nan, qid, the
# underscore of Python's 1_000, commas, control characters) it may silently accept, so a strict reading comes first.
_USUAL = b"0123456789+-.eE: \t\r\n"

_MOST_FEATURES = 2**31 - 1


def parse(content: bytes, features: int | None, name: str) -> tuple[Sparse, Vector]:
    """Inputs (n, d) and labels (n,), both float64, of the decompressed text `content` of the file called `name`.

    A text in which index 0 occurs counts features from 0, any other from 1. d is `features`, or where that is None
    the number that the largest index implies. Empty lines and comments (from # to the end of the line) are skipped;
    zeros that are written out stay stored.

    Raises DataError, with the number of the line where there is one, if the text has no rows, a malformed line, a
    label or value that is not a finite number, indices that are negative or not increasing, a qid, or an index
    beyond `features`; also if `features` is not a positive integer, or is None and no row has a feature.
    """
    from scipy.sparse import csr_array
    from sklearn.datasets import load_svmlight_file

    check_features(features)
    if content.translate(None, _USUAL):
        diagnose(content, features, name)
    try:
        matrix, labels = load_svmlight_file(io.BytesIO(content), n_features=features, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        diagnose(content, features, name)
        raise DataError(f"{name} is not LIBSVM text ({error}): correct the file") from error
    if matrix.shape[0] == 0:
        raise DataError(f"{name} is empty (it has no rows): get the file again or correct its path")
    if not (np.isfinite(matrix.data).all() and np.isfinite(labels).all()):
        diagnose(content, features, name)
        raise DataError(f"{name} has a value or label that is not finite: correct the file")
    if features is None and matrix.nnz == 0:
        raise DataError(f"{name} has no index:value pair in any row: state the number of features")
    inputs = csr_array(matrix)
    # The parser gives 64-bit indices; 32 bits nearly always do, and half the bytes make every product faster.
    index_type = np.int32 if max(inputs.nnz, inputs.shape[1]) <= _MOST_FEATURES else np.int64
    inputs.indices = inputs.indices.astype(index_type)
    inputs.indptr = inputs.indptr.astype(index_type)
    return inputs, np.array(labels, dtype=np.float64)


def check_features(features: object) -> None:
    """Raises DataError unless `features` is None or an integer from 1 to 2**31 - 1."""
    if features is None:
        return
    whole = isinstance(features, int | np.integer) and not isinstance(features, bool)
    if not whole or not 1 <= cast("int", features) <= _MOST_FEATURES:
        raise DataError(f"the number of features is {features!r}: give a positive integer, or none to count them")
