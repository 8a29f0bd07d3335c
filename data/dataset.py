"""What every loader returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:  # scipy is imported where it is used, so that `import data` stays quick
    from scipy.sparse import csr_array

Vector: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]
Matrix: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Sparse: TypeAlias = "csr_array[np.float64, tuple[int, int]]"


@dataclass(frozen=True, eq=False)  # arrays have no single truth value, so a generated __eq__ could not work
class DataSet:
    """Inputs and labels of a classification set.

    inputs: (n, d) float64, sparse by rows, indices sorted within a row and counted from 0.
    targets: (n,) float64, the labels as the file states them (-1/+1, 0/1, 1..k).
    digest: SHA-256 (hex) of the decompressed file, or of the arrays for a set bundled with a library.
    """

    name: str
    inputs: Sparse
    targets: Vector
    digest: str

    @property
    def rows(self) -> int:
        """Number of examples n."""
        return int(self.inputs.shape[0])

    @property
    def features(self) -> int:
        """Number of features d."""
        return int(self.inputs.shape[1])
