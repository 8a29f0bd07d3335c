"""The contract of a task: data on a device, and a loss per example as a pure function of the parameters."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

Params = dict[str, Tensor]
Batch = dict[str, Tensor]
Strategy = Literal["analytic", "batched", "sequential"]

_KEPT = 4
_loaded: dict[int, tuple["Task", tuple[torch.device, torch.dtype]]] = {}  # by id, the one used last at the end


@dataclass(kw_only=True)
class Task:
    """Base of tasks: a dataclass whose fields are its settings. Data are read in `prepare`, not before.

    `strategies` says by device how the gradients of many lanes are computed: "analytic" (the task's own
    `lane_gradient`), "batched" (one autograd pass over all lanes) or "sequential" (lane after lane).
    """

    version: ClassVar[int] = 1
    last_prepared = (torch.device("cpu"), torch.float64)  # no field: where and how the data were wanted last
    strategies: ClassVar[dict[str, Strategy]] = {"cpu": "batched", "cuda": "batched"}

    def content(self) -> dict[str, str]:
        """For the identity of a run: digests that replace the settings which name data or files."""
        return {}

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Have the data on the device, in this type; called before anything below, and quick when they are there.

        Only the tasks used last keep their data in memory. Raises DataError.
        """
        self.last_prepared = (device, dtype)
        if _loaded.get(id(self), (None, None))[1] != (device, dtype):
            self.load(device, dtype)
        _loaded.pop(id(self), None)
        _loaded[id(self)] = (self, (device, dtype))
        while len(_loaded) > _KEPT:
            oldest = next(iter(_loaded))
            _loaded.pop(oldest)[0].release()

    def load(self, device: torch.device, dtype: torch.dtype) -> None:
        """Read the data and put them on the device. Raises DataError or SettingError."""

    def release(self) -> None:
        """Drop what `load` made."""

    @property
    def size(self) -> int | None:
        """Number of examples; None for an endless stream."""
        raise NotImplementedError

    def init(self, generator: torch.Generator | None = None) -> Params:
        """The parameters to start from, without a lane axis."""
        raise NotImplementedError

    def batch(self, draws: Tensor | None) -> Batch:
        """The examples of these draws, int64 (B,) or, for a group of seeds, (S, B). None: every example, in order."""
        raise NotImplementedError

    def losses(self, params: Params, batch: Batch) -> Tensor:
        """One loss per example, (B,). The objective is their mean over all examples."""
        raise NotImplementedError

    def evaluate(self, params: Params, lanes: int | None = None) -> dict[str, Tensor]:
        """Named numbers about these parameters over all the data, each () or, with lanes, (lanes,); "loss" is one."""
        raise NotImplementedError

    @property
    def optimum(self) -> float | None:
        """f*, the infimum of the objective, where it is known."""
        return None

    def lane_gradient(self, params: Params, batch: Batch) -> tuple[Tensor, Params]:
        """Losses (lanes, B) and gradients of their means for lanes in seed-major order, for the strategy "analytic".

        The batch has either no seed axis (all lanes share it) or one of length S; lanes are then S groups in order.
        """
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Facts about the prepared task for the record (size, dimension, how f* was found)."""
        return {}
