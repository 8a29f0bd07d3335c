"""What quadratics and least squares have in common: an objective whose matrix, minimiser and minimum are known."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from experiments.seeds import derive
from experiments.tasks import spectrum
from experiments.tasks.task import Params, Strategy, Task
from optim.settings import SettingError, setting


class Known(NamedTuple):
    """The objective `optimum + 1/2 (w - solution)^T H (w - solution)`, in float64.

    eigenvalues: (D,), as set; eigenvectors: (D, D) in columns, None for the coordinates. hessian: (D, D), or (D,)
    where it is diagonal. solution: (D,). matrix and centre: hessian and solution in the type of the parameters.
    """

    eigenvalues: Tensor
    eigenvectors: Tensor | None
    hessian: Tensor
    solution: Tensor
    optimum: float
    matrix: Tensor
    centre: Tensor


@dataclass(kw_only=True)
class QuadraticObjective(Task):
    """`f(w) = f* + 1/2 (w - w*)^T H (w - w*)`, started at w_0 = 0; its settings describe a matrix and w*.

    The matrix is Q diag(lambda) Q^T, with orthogonal Q: the eigenvectors are its columns.
    """

    strategies: ClassVar[dict[str, Strategy]] = {"cpu": "analytic", "cuda": "analytic"}

    eigenvalues: list[float] | None = setting(None, doc="lambda, a list; consecutive ones share a block")
    dimension: int | None = setting(None, minimum=1, maximum=spectrum.LARGEST, doc="instead: lambda_i = i^-decay")
    decay: float | None = setting(None, minimum=0.0, doc="power of that law (default: 1)")
    rotation: str = setting(
        "none",
        choices=("none", "random", "helmert"),
        doc='Q: "none" is the identity; "helmert": the first eigenvector of each block is constant on it',
    )
    block_size: int | None = setting(None, minimum=1, doc="rotate within diagonal blocks of this size (default: one)")
    minimiser: list[float] | None = setting(None, doc="w*, a list (default: drawn from N(0, I))")
    minimiser_density: float | None = setting(
        None, above=0.0, maximum=1.0, doc="share of non-zeros in a drawn w* (default: 1)"
    )
    minimiser_basis: str = setting(
        "coordinates",
        choices=("coordinates", "eigenvectors"),
        doc='what these numbers of w* belong to; with "eigenvectors" a rotation turns the whole problem',
    )
    problem_seed: int = setting(0, minimum=0, doc="decides Q and w*, not what a run draws: that is its own seed")

    def __post_init__(self) -> None:
        if self.eigenvalues is not None:
            self.eigenvalues = spectrum.numbers(self.eigenvalues, "task.eigenvalues", minimum=0.0)
            count = len(self.eigenvalues)
            if self.dimension not in (None, count):
                raise SettingError(
                    f"task.eigenvalues has {count} numbers and task.dimension={self.dimension}: give one of them (the "
                    "other is null)"
                )
            if self.decay is not None:
                raise SettingError("task.decay belongs to task.dimension; task.eigenvalues says it all")
            if count > spectrum.LARGEST:
                raise SettingError(f"task.eigenvalues must have at most {spectrum.LARGEST} numbers, not {count}")
            if max(self.eigenvalues) == 0:
                raise SettingError("task.eigenvalues must not all be zero")
        elif self.dimension is None:
            raise SettingError("give task.dimension, or the spectrum itself as task.eigenvalues=[...]")
        if self.block_size is not None:
            if self.rotation == "none":
                raise SettingError("task.block_size belongs to task.rotation=random or helmert")
            if self.width % self.block_size:
                raise SettingError(f"task.block_size={self.block_size} does not divide the dimension {self.width}")
        if self.minimiser is not None:
            self.minimiser = spectrum.numbers(self.minimiser, "task.minimiser", self.width)
            if self.minimiser_density is not None:
                raise SettingError("task.minimiser_density belongs to a drawn w*; task.minimiser says it all")
        self._known: Known | None = None

    @property
    def width(self) -> int:
        """The number of coordinates D."""
        return len(self.eigenvalues) if self.eigenvalues is not None else int(self.dimension or 0)

    def key(self, purpose: str) -> int:
        """The number from which everything random of one kind follows."""
        return derive(self.problem_seed, type(self).__name__, purpose)

    def load(self, device: torch.device, dtype: torch.dtype) -> None:
        drawn = spectrum.power_law(self.width, 1.0 if self.decay is None else self.decay)
        eigenvalues = torch.tensor(self.eigenvalues or drawn, dtype=torch.float64)
        rotation = spectrum.rotation(self.rotation, self.width, self.block_size or self.width, self.key("rotation"))
        vectors = None if rotation is None else torch.from_numpy(rotation)
        density = 1.0 if self.minimiser_density is None else self.minimiser_density
        given = self.minimiser or spectrum.sparse_normal(self.width, density, self.key("minimiser"))
        solution = torch.tensor(given, dtype=torch.float64)
        if vectors is not None and self.minimiser_basis == "eigenvectors":
            solution = vectors @ solution
        hessian, minimiser, optimum = self.objective(eigenvalues, vectors, solution)
        if hessian.dim() == 2:
            hessian = (hessian + hessian.T) / 2  # symmetric to the bit
        values, hessian, minimiser = eigenvalues.to(device), hessian.to(device), minimiser.to(device)
        vectors = None if vectors is None else vectors.to(device)
        self._known = Known(values, vectors, hessian, minimiser, optimum, hessian.to(dtype), minimiser.to(dtype))

    def objective(
        self, eigenvalues: Tensor, eigenvectors: Tensor | None, solution: Tensor
    ) -> tuple[Tensor, Tensor, float]:
        """H, the minimiser and the minimum of the objective, from what the settings describe; on the CPU, float64."""
        hessian = eigenvalues if eigenvectors is None else (eigenvectors * eigenvalues) @ eigenvectors.T
        return hessian, solution, 0.0

    def release(self) -> None:
        self._known = None

    def known(self) -> Known:
        """The objective, prepared."""
        if self._known is None:
            self.prepare(*self.last_prepared)
        assert self._known is not None
        return self._known

    def init(self, generator: torch.Generator | None = None) -> Params:
        return {"weight": torch.zeros_like(self.known().centre)}

    def evaluate(self, params: Params, lanes: int | None = None) -> dict[str, Tensor]:
        known = self.known()
        error = params["weight"].double() - known.solution
        loss = known.optimum + 0.5 * (error * times(known.hessian, error)).sum(dim=-1)
        return {"loss": loss}

    @property
    def optimum(self) -> float:
        return self.known().optimum

    @property
    def solution(self) -> Params:
        """w*, the minimiser (of smallest norm where there are several, unless it was given), float64."""
        return {"weight": self.known().solution}

    def hessian(self) -> Tensor:
        """The exact Hessian, float64 (D, D)."""
        hessian = self.known().hessian
        return hessian if hessian.dim() == 2 else torch.diag(hessian)

    def gradient(self, params: Params) -> Params:
        """The exact gradient, in the type of `params`."""
        known, weight = self.known(), params["weight"]
        return {"weight": times(known.hessian, weight.double() - known.solution).to(weight.dtype)}

    def covariance(self, params: Params) -> Tensor:
        """The exact covariance of the gradient of one draw, (D, D) in the type of `params`."""
        raise NotImplementedError

    def gradient_moments(self, params: Params) -> tuple[Params, Params]:
        return self.gradient(params), {"weight": self.covariance(params).diagonal()}

    def curvature_bound(self) -> tuple[Any, float, float]:
        """Rows X (csr_array), c = 1, l2 = 0: the Hessian is `X'X/n`. Here X is a root of D times the matrix."""
        known = self.known()
        values, vectors = known.eigenvalues.cpu().numpy(), known.eigenvectors
        turned = np.eye(self.width) if vectors is None else vectors.T.cpu().numpy()
        return sparse.csr_array(np.sqrt(self.width * values)[:, None] * turned), 1.0, 0.0

    def describe(self) -> dict[str, Any]:
        known = self.known()
        eigenvalues = known.eigenvalues if self.size is None else torch.linalg.eigvalsh(self.hessian())
        return {
            **super().describe(),
            "examples": self.size,
            "dimension": self.width,
            "optimum": known.optimum,
            "optimum_is_attained": True,
            "largest_eigenvalue": float(eigenvalues.max()),
            "smallest_eigenvalue": float(eigenvalues.min()),
        }


def times(matrix: Tensor, vectors: Tensor) -> Tensor:
    """A symmetric matrix, (D, D) or its diagonal (D,), times each of the vectors (..., D)."""
    return vectors * matrix if matrix.dim() == 1 else vectors @ matrix
