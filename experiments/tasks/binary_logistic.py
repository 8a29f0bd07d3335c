"""Binary logistic regression: the objective, whatever the data are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from data import DataSet
from experiments.tasks import optima
from experiments.tasks.linear import LinearTask
from experiments.tasks.logistic_optimum import minimise_logistic
from experiments.tasks.optima import Optimum

_LONG = 1_000_000  # entries beyond which finding the optimum takes seconds


@dataclass(kw_only=True)
class BinaryLogistic(LinearTask):
    """`f(w) = mean_i log(1 + exp(-y_i x_i . w)) + (l2/2) ||w||^2`, y_i = -1 or +1, started at w_0 = 0.

    The larger of the two labels of a set is +1. Rows are kept multiplied by their label, which is all that is needed.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._optimum: Optimum | None = None

    def _arrays(self, loaded: DataSet, inputs: Any) -> tuple[Any, np.ndarray | None]:
        signs = np.where(self._positive(loaded), 1.0, -1.0)
        return sparse.csr_array(sparse.diags_array(signs) @ inputs), None

    def _positive(self, loaded: DataSet) -> Any:
        """Which rows are of the class +1, (n,): the larger of two labels."""
        return loaded.targets == np.unique(loaded.targets)[-1]

    def _losses(self, outputs: Tensor, targets: Tensor | None, slopes: bool) -> tuple[Tensor, Tensor | None]:
        negative = -outputs
        losses = softplus(negative)[:, 0]
        return losses, negative.sigmoid_().neg_() if slopes else None

    def _right(self, outputs: Tensor, targets: Tensor | None) -> Tensor:
        return outputs[:, 0] > 0

    def curvature_bound(self) -> tuple[Any, float, float]:
        """Rows X (csr_array), c and l2: every Hessian is at most `c X'X/n + l2 I`, with equality at w = 0."""
        rows, _ = self.arrays()
        if self.rotated:
            return sparse.csr_array(self.turned(rows)), 0.25, self.l2
        # a row times -1 changes no product; taken as it was, so that inputs without signs are seen to be so
        negative = np.asarray(rows.min(axis=1).toarray()).ravel() < 0
        signs = np.where(negative, -1.0, 1.0)
        return sparse.csr_array(sparse.diags_array(signs) @ rows), 0.25, self.l2

    @property
    def optimum(self) -> float:
        return self.minimum().value

    def minimum(self) -> Optimum:
        """f* with the certificate of how it was found (computed once per data set, then kept on disk)."""
        if self._optimum is None:
            long = self.rows.size * self.rows.columns * self.rows.density > _LONG
            self._optimum = optima.kept("logistic", self.objective(), self._solve, long)
        return self._optimum

    def _solve(self) -> Optimum:
        return minimise_logistic(self.arrays()[0], self.l2)

    def describe(self) -> dict[str, Any]:
        minimum = self.minimum()
        return {
            **super().describe(),
            "optimum": minimum.value,
            "optimum_gradient_norm": minimum.gradient_norm,
            "optimum_is_attained": minimum.finite,
            "optimum_note": minimum.note,
        }


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) to full precision: torch's default switches to x at 20, an error of 2e-9."""
    return torch.nn.functional.softplus(x, threshold=40.0)
