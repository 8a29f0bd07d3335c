"""What every loader returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:  # scipy is imported where it is used, so that `import data` stays quick
    from scipy.sparse import csr_array

Vector: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]
Matrix: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Bytes: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Labelled: TypeAlias = tuple[Bytes, Bytes]  # images and their labels
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


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of k classes, in a training and a test part.

    images, test_images: (n, channels, height, width) uint8, pixels from 0 (black) to `white`.
    labels, test_labels: (n,) uint8, 0 to k - 1.
    digest: SHA-256 (hex) of the registered digests of the files, or of what the set is made from.
    """

    name: str
    images: Bytes
    labels: Bytes
    test_images: Bytes
    test_labels: Bytes
    classes: int
    digest: str
    white: int = 255

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width
