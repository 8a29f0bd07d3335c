"""Multi-class logistic regression."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from data import DataSet
from experiments.tasks import optima
from experiments.tasks.linear import LinearTask
from experiments.tasks.multiclass_optimum import minimise_multiclass
from experiments.tasks.named_data import NamedData
from experiments.tasks.optima import Optimum
from optim.settings import SettingError


@dataclass(kw_only=True)
class MulticlassLogistic(NamedData, LinearTask):
    """`f(W) = mean_i (log sum_k exp(w_k . x_i) - w_{y_i} . x_i) + (l2/2) ||W||^2`, started at W = 0.

    "weight" is (K, columns), one row for each class, in the order of the labels.
    """

    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._classes = 0
        self._optimum: Optimum | None = None

    @property
    def outputs(self) -> int:
        assert self.rows is not None  # the data say how many
        return self._classes

    def _arrays(self, loaded: DataSet, inputs: Any) -> tuple[Any, np.ndarray | None]:
        labels, targets = np.unique(loaded.targets, return_inverse=True)
        if len(labels) < 2:
            raise SettingError(f"{loaded.name} has one class only ({labels[0]:g}): there is nothing to tell apart")
        if len(labels) > 1000 and len(labels) > len(targets) / 2:
            raise SettingError(f"{loaded.name} has {len(labels):,} different labels: they do not look like classes")
        self._classes = len(labels)
        return inputs, targets.astype(np.int64)

    def _losses(self, outputs: Tensor, targets: Tensor | None, slopes: bool) -> tuple[Tensor, Tensor | None]:
        assert targets is not None
        chosen = targets.expand(outputs.shape[0], outputs.shape[2])[:, None]
        logs = torch.log_softmax(outputs, dim=1)
        losses = -logs.gather(1, chosen)[:, 0]
        if not slopes:
            return losses, None
        return losses, logs.exp_().scatter_add_(1, chosen, -torch.ones_like(losses)[:, None])

    def _right(self, outputs: Tensor, targets: Tensor | None) -> Tensor:
        assert targets is not None
        return outputs.argmax(dim=1) == targets

    @property
    def optimum(self) -> float | None:
        found = self.minimum()
        return None if found is None else found.value

    def minimum(self) -> Optimum | None:
        """The minimum with its certificate, where the l2 term makes it known (without, it may lie at infinity)."""
        if self._optimum is None and self.l2 > 0:
            self._optimum = optima.kept("multiclass", self.objective(), self._solve, long=True)
        return self._optimum

    def _solve(self) -> Optimum:
        rows, targets = self.arrays()
        assert targets is not None
        return minimise_multiclass(rows, targets, self._classes, self.l2)

    def describe(self) -> dict[str, Any]:
        found, facts = self.minimum(), {**super().describe(), "classes": self.outputs}
        if found is None:
            return facts
        return {
            **facts,
            "optimum": found.value,
            "optimum_gradient_norm": found.gradient_norm,
            "optimum_note": found.note,
        }
