"""Linear regression on Gaussian inputs."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from scipy import sparse
from torch import Tensor

from data import generators
from experiments.tasks.noise import normal
from experiments.tasks.quadratic_objective import QuadraticObjective
from experiments.tasks.task import Batch, Params
from optim.settings import SettingError, setting

_LARGEST = 500_000_000  # entries held as a dense matrix: 4 GB in float64


@dataclass(kw_only=True)
class LeastSquares(QuadraticObjective):
    """`f(w) = 1/2 E (x . w - y)^2`, x ~ N(0, Sigma), y = x . w* + N(0, label_noise^2).

    Sigma is the matrix that the settings describe. Either an endless stream, in which x and y are functions of the
    draw's id, or (`examples`) the mean over that many rows, drawn once: then H, w* and f* are those of the rows.
    """

    version: ClassVar[int] = 1

    label_noise: float = setting(1.0, minimum=0.0, doc="standard deviation of the noise in y")
    examples: int | None = setting(None, minimum=1, doc="rows of a finite set (default: an endless stream)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.examples is not None and self.examples * self.width > _LARGEST:
            raise SettingError(
                f"{self.examples:,} x {self.width:,} entries are too many ({_LARGEST:,}): lower task.examples"
            )
        self._rows: Batch = {}

    def load(self, device: torch.device, dtype: torch.dtype) -> None:
        super().load(device, dtype)
        self._rows = {k: v.to(device, dtype) for k, v in self._rows.items()}

    def objective(
        self, eigenvalues: Tensor, eigenvectors: Tensor | None, solution: Tensor
    ) -> tuple[Tensor, Tensor, float]:
        """As set for a stream; of the rows, which are made here, for a finite set."""
        if self.examples is None:
            return *super().objective(eigenvalues, eigenvectors, solution)[:2], 0.5 * self.label_noise**2
        rotated = solution if eigenvectors is None else solution @ eigenvectors
        made = generators.gaussian_least_squares(
            self.examples, eigenvalues.tolist(), rotated.tolist(), self.label_noise, seed=self.key("examples")
        )
        inputs, targets = torch.from_numpy(made.inputs.toarray()), torch.from_numpy(made.targets)
        if eigenvectors is not None:
            inputs = inputs @ eigenvectors.T
        self._rows = {"inputs": inputs, "targets": targets}
        # By singular values: w* of smallest norm where the rows do not determine it.
        minimiser = torch.linalg.lstsq(inputs, targets, driver="gelsd").solution
        return inputs.T @ inputs / self.examples, minimiser, 0.5 * float((inputs @ minimiser - targets).square().mean())

    def release(self) -> None:
        super().release()
        self._rows = {}

    @property
    def size(self) -> int | None:
        return self.examples

    def batch(self, draws: Tensor | None) -> Batch:
        """Inputs (B, D) or (S, B, D), and targets. None for a stream: 2 D made-up examples whose mean is exactly f."""
        known = self.known()
        if self.examples is not None:
            if draws is None:
                return dict(self._rows)
            flat = draws.reshape(-1)
            return {k: v.index_select(0, flat).reshape(*draws.shape, *v.shape[1:]) for k, v in self._rows.items()}
        if draws is None:
            # x = sqrt(D) times the columns of a root of Sigma, each with label noise of both signs.
            unit = torch.eye(self.width, dtype=torch.float64, device=known.solution.device) * self.width**0.5
            unit = unit.repeat_interleave(2, dim=0)
            signs = unit.new_tensor([1.0, -1.0]).repeat(self.width)
        else:
            unit = normal(draws, self.width, self.key("inputs"))
            signs = normal(draws, 1, self.key("labels")).squeeze(-1)
        inputs = unit * known.eigenvalues.sqrt()
        if known.eigenvectors is not None:
            inputs = inputs @ known.eigenvectors.T
        targets = inputs @ known.solution + self.label_noise * signs
        return {"inputs": inputs.to(known.centre.dtype), "targets": targets.to(known.centre.dtype)}

    def losses(self, params: Params, batch: Batch) -> Tensor:
        weight = params["weight"]
        residual = batch["inputs"].to(weight.dtype) @ weight - batch["targets"].to(weight.dtype)
        return 0.5 * residual.square()

    def lane_gradient(self, params: Params, batch: Batch) -> tuple[Tensor, Params]:
        weight, rows, targets = params["weight"], batch["inputs"], batch["targets"]
        if rows.dim() == 2:
            residual = (weight @ rows.T).sub_(targets)
            grad = residual @ rows
        else:
            groups, size, width = rows.shape
            grouped = torch.bmm(weight.reshape(groups, -1, width), rows.transpose(1, 2)).sub_(targets.unsqueeze(1))
            grad = torch.bmm(grouped, rows).reshape(weight.shape)
            residual = grouped.reshape(-1, size)
        grad.mul_(1.0 / residual.shape[1])
        return 0.5 * residual.square(), {"weight": grad}

    def covariance(self, params: Params) -> Tensor:
        """The exact covariance of the gradient of one draw, (D, D) in the type of `params`.

        For a stream `Sigma e e^T Sigma + (e^T Sigma e + s^2) Sigma` with e = w - w* and s^2 the variance of the label
        noise, by Isserlis' theorem on the fourth moments; for a finite set that of the uniform draw of a row.
        """
        known, dtype = self.known(), params["weight"].dtype
        weight = params["weight"].double()
        mean = self.gradient({"weight": weight})["weight"]
        if self.examples is None:
            error = weight - known.solution
            matrix = torch.outer(mean, mean) + (error @ mean + self.label_noise**2) * self.hessian()
            return matrix.to(dtype)
        rows = {k: v.double() for k, v in self._rows.items()}
        gradients = rows["inputs"] * (rows["inputs"] @ weight - rows["targets"])[:, None] - mean
        return (gradients.T @ gradients / len(gradients)).to(dtype)

    def curvature_bound(self) -> tuple[Any, float, float]:
        self.known()
        rows = self._rows.get("inputs")
        return super().curvature_bound() if rows is None else (sparse.csr_array(rows.double().cpu().numpy()), 1.0, 0.0)
