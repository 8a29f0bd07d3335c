"""Quadratics with additive gradient noise."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from experiments.tasks import spectrum
from experiments.tasks.noise import normal
from experiments.tasks.quadratic_objective import QuadraticObjective, times
from experiments.tasks.task import Batch, Params
from optim.settings import SettingError, setting


@dataclass(kw_only=True)
class Quadratic(QuadraticObjective):
    """`f(w) = 1/2 (w - w*)^T H (w - w*)`; the gradient of one draw is `H (w - w*) + xi`, xi ~ N(0, C).

    An endless stream: the loss of a draw is `f(w) + xi . (w - w*)`, and xi is a function of the draw's id. C is
    diagonal, either in the coordinates or in the eigenvectors of H.
    """

    version: ClassVar[int] = 1

    noise: float = setting(0.1, minimum=0.0, doc="standard deviation of xi in direction i: noise * profile_i")
    noise_profile: list[float] | None = setting(None, doc="a list, one number for each direction")
    noise_decay: float | None = setting(None, minimum=0.0, doc="instead: profile_i = i^-noise_decay (default: 0)")
    noise_basis: str = setting(
        "coordinates", choices=("coordinates", "eigenvectors"), doc="the directions, in the order of the eigenvalues"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise_profile is not None:
            self.noise_profile = spectrum.numbers(self.noise_profile, "task.noise_profile", self.width, 0.0)
            if self.noise_decay is not None:
                raise SettingError("give either task.noise_profile or task.noise_decay")
        self._deviations: Tensor | None = None

    def load(self, device: torch.device, dtype: torch.dtype) -> None:
        super().load(device, dtype)
        profile = self.noise_profile or spectrum.power_law(self.width, self.noise_decay or 0.0)
        self._deviations = torch.from_numpy(self.noise * np.asarray(profile)).to(device)

    def deviations(self) -> Tensor:
        """Standard deviations of the noise by direction, float64 (D,)."""
        self.known()
        assert self._deviations is not None
        return self._deviations

    @property
    def size(self) -> None:
        return None

    def batch(self, draws: Tensor | None) -> Batch:
        """The noise of these draws, (B, D) or (S, B, D); of None, a single draw without any: the objective itself."""
        known = self.known()
        if draws is None or self.noise == 0:
            return {"noise": known.centre.new_zeros(*(draws.shape if draws is not None else (1,)), self.width)}
        noise = normal(draws, self.width, self.key("noise")).mul_(self.deviations())
        if self.noise_basis == "eigenvectors" and known.eigenvectors is not None:
            noise = noise @ known.eigenvectors.T
        return {"noise": noise.to(known.centre.dtype)}

    def losses(self, params: Params, batch: Batch) -> Tensor:
        weight, known = params["weight"], self.known()
        error = weight - known.centre.to(weight.dtype)
        return 0.5 * (error @ times(known.matrix.to(weight.dtype), error)) + batch["noise"].to(weight.dtype) @ error

    def lane_gradient(self, params: Params, batch: Batch) -> tuple[Tensor, Params]:
        weight, noise, known = params["weight"], batch["noise"], self.known()
        error = weight - known.centre
        grad = times(known.matrix, error)
        values = 0.5 * (error * grad).sum(dim=1, keepdim=True)
        if noise.dim() == 2:
            return values + error @ noise.T, {"weight": grad + noise.mean(dim=0)}
        groups, size, width = noise.shape
        products = torch.bmm(error.reshape(groups, -1, width), noise.transpose(1, 2)).reshape(-1, size)
        shifted = grad.reshape(groups, -1, width) + noise.mean(dim=1, keepdim=True)
        return values + products, {"weight": shifted.reshape(weight.shape)}

    def covariance(self, params: Params) -> Tensor:
        """The exact covariance C of the gradient of one draw, (D, D) in the type of `params`; the same everywhere."""
        known, variances = self.known(), self.deviations() ** 2
        if self.noise_basis == "coordinates" or known.eigenvectors is None:
            matrix = torch.diag(variances)
        else:
            matrix = (known.eigenvectors * variances) @ known.eigenvectors.T
        return matrix.to(params["weight"].dtype)
