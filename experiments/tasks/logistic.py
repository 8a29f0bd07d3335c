"""Binary logistic regression on dense data."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

import data
from experiments.tasks import optima
from experiments.tasks.logistic_optimum import Optimum
from experiments.tasks.task import Batch, Params, Strategy, Task
from optim.settings import SettingError, setting

_ROWS_AT_ONCE = 8192
_LARGEST = 500_000_000  # entries held as a dense matrix: 4 GB in float64


@dataclass(kw_only=True)
class LogisticRegression(Task):
    """`f(w) = mean_i log(1 + exp(-y_i x_i . w)) + (l2/2) ||w||^2`, y_i = -1 or +1, started at w_0 = 0.

    The larger of the two labels of a set is +1. Rows are kept multiplied by their label, which is all that is needed.
    """

    version: ClassVar[int] = 1
    strategies: ClassVar[dict[str, Strategy]] = {"cpu": "analytic", "cuda": "analytic"}

    data: str | None = setting(None, doc="name of a registered data set, such as libsvm/a9a")
    path: str | None = setting(None, doc="a file of your own in LIBSVM format instead: plain, .bz2, .gz or .xz")
    features: int | None = setting(None, minimum=1, doc="columns of that file (default: its largest index)")
    l2: float = setting(0.0, minimum=0.0, doc="strength of the (l2/2) ||w||^2 term")
    scale: str = setting("none", choices=("none", "range"), doc='"range" maps every column to [-1, 1]')

    def __post_init__(self) -> None:
        if (self.data is None) == (self.path is None):
            raise SettingError("name either task.data (a registered set) or task.path (a file of your own)")
        if self.features is not None and self.path is None:
            raise SettingError("task.features belongs to task.path; a registered set knows its columns")
        self._signed: Tensor | None = None
        self._optimum: Optimum | None = None

    def content(self) -> dict[str, str]:
        digest = data.digest(self.data) if self.data else data.digest_file(str(self.path))
        columns = data.columns(self.data) if self.data else self.features
        return {"data": digest, "path": "", "features": str(columns or "")}

    def load(self, device: torch.device, dtype: torch.dtype) -> None:
        self._signed = torch.from_numpy(self._rows()).to(device=device, dtype=dtype)

    def release(self) -> None:
        self._signed = None

    def _rows(self) -> np.ndarray:
        """Rows times labels, float64 (n, d)."""
        loaded = data.load(self.data) if self.data else data.load_file(str(self.path), self.features)
        labels = np.unique(loaded.targets)
        if len(labels) != 2:
            raise SettingError(
                f"binary logistic regression needs two classes, and {loaded.name} has {len(labels)}"
                f" ({', '.join(f'{v:g}' for v in labels[:5])}{', ...' if len(labels) > 5 else ''})"
            )
        if loaded.rows * loaded.features > _LARGEST:
            raise SettingError(
                f"{loaded.name} has {loaded.rows:,} x {loaded.features:,} entries, too many for this dense task "
                f"({_LARGEST:,}): use fewer rows or columns"
            )
        rows = loaded.inputs.toarray()
        if self.scale == "range":
            low, high = rows.min(axis=0), rows.max(axis=0)
            span = np.where(high > low, high - low, 1.0)
            rows = np.where(high > low, 2 * (rows - low) / span - 1, 0.0)
        return rows * np.where(loaded.targets == labels[1], 1.0, -1.0)[:, None]

    def _ready(self) -> Tensor:
        if self._signed is None:
            self.prepare(*self.last_prepared)
        assert self._signed is not None
        return self._signed

    @property
    def size(self) -> int:
        return self._ready().shape[0]

    def init(self, generator: torch.Generator | None = None) -> Params:
        rows = self._ready()
        return {"weight": rows.new_zeros(rows.shape[1])}

    def batch(self, draws: Tensor | None) -> Batch:
        rows = self._ready()
        if draws is None:
            return {"signed_inputs": rows}
        if draws.dim() == 1:
            return {"signed_inputs": rows.index_select(0, draws)}
        return {"signed_inputs": rows.index_select(0, draws.reshape(-1)).reshape(*draws.shape, -1)}

    def losses(self, params: Params, batch: Batch) -> Tensor:
        weight = params["weight"]
        margins = batch["signed_inputs"].to(weight.dtype) @ weight
        return softplus(-margins) + 0.5 * self.l2 * weight.dot(weight)

    def lane_gradient(self, params: Params, batch: Batch) -> tuple[Tensor, Params]:
        weight, rows = params["weight"], batch["signed_inputs"]
        if rows.dim() == 2:
            negative_margins = (weight @ rows.T).neg_()
            losses = softplus(negative_margins)
            grad = negative_margins.sigmoid_() @ rows
        else:
            groups, size, features = rows.shape
            negative_margins = torch.bmm(weight.reshape(groups, -1, features), rows.transpose(1, 2)).neg_()
            losses = softplus(negative_margins).reshape(-1, size)
            grad = torch.bmm(negative_margins.sigmoid_(), rows).reshape(weight.shape)
        grad.mul_(-1.0 / losses.shape[1])
        if self.l2:
            losses += 0.5 * self.l2 * (weight * weight).sum(dim=1, keepdim=True)
            grad.add_(weight, alpha=self.l2)
        return losses, {"weight": grad}

    def evaluate(self, params: Params, lanes: int | None = None) -> dict[str, Tensor]:
        weight = params["weight"]
        flat = weight.reshape(lanes or 1, -1)
        rows = self._ready().to(weight.dtype)
        total = torch.zeros(flat.shape[0], dtype=torch.float64, device=weight.device)
        right = torch.zeros_like(total)
        for part in rows.split(_ROWS_AT_ONCE):
            margins = part @ flat.T
            total += softplus(-margins).sum(dim=0, dtype=torch.float64)
            right += (margins > 0).sum(dim=0)
        loss = total / len(rows) + 0.5 * self.l2 * (flat.double() ** 2).sum(dim=1)
        metrics = {"loss": loss, "accuracy": right / len(rows)}
        return metrics if lanes is not None else {k: v[0] for k, v in metrics.items()}

    @property
    def optimum(self) -> float:
        return self.minimum().value

    def minimum(self) -> Optimum:
        """f* with the certificate of how it was found (computed once per data set, then kept on disk)."""
        if self._optimum is None:
            about = {"data": self.content()["data"], "scale": self.scale, "features": self.features, "l2": self.l2}
            self._optimum = optima.logistic(about, self._rows, self.l2)
        return self._optimum

    def describe(self) -> dict[str, Any]:
        minimum = self.minimum()
        return {
            "examples": self.size,
            "dimension": self._ready().shape[1],
            "optimum": minimum.value,
            "optimum_gradient_norm": minimum.gradient_norm,
            "optimum_is_attained": minimum.finite,
            "optimum_note": minimum.note,
        }


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) to full precision: torch's default switches to x at 20, an error of 2e-9."""
    return torch.nn.functional.softplus(x, threshold=40.0)
