"""The contract of a task: data on a device, and a loss per example as a pure function of the parameters."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from experiments.tasks.example_sums import ExampleSums, Wants
from optim.settings import SettingError

Params = dict[str, Tensor]
Batch = dict[str, Tensor]
Strategy = Literal["analytic", "batched", "vmapped", "sequential"]

_KEPT = 4  # tasks whose data stay in memory
_AT_ONCE = 1024  # examples of an evaluation
_NONE: Batch = {}
_NO_NETWORK: nn.Module | None = None
_loaded: dict[int, tuple["Task", tuple[torch.device, torch.dtype]]] = {}  # by id, the one used last at the end


@dataclass(kw_only=True)
class Task:
    """Base of tasks: a dataclass whose fields are its settings. Data are read in `prepare`, not before.

    The least that a task defines is `load`, which sets `tensors`, then `init` and `losses`.

    `strategies` says by device how the gradients of many lanes are computed: "analytic" (the task's own
    `lane_gradient`), "batched" (one autograd pass through the sum over lanes), "vmapped" (lane gradients mapped) or
    "sequential" (lane after lane).
    """

    version: ClassVar[int] = 1
    last_prepared = (torch.device("cpu"), torch.float64)  # no field: where and how the data were wanted last
    strategies: ClassVar[dict[str, Strategy]] = {"cpu": "batched", "cuda": "batched"}
    tensors = _NONE  # no field: what `load` sets, tensors on the device whose first axis is the example
    network = _NO_NETWORK  # no field: the module that `losses` calls with the parameters, if there is one

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
        """Read the data and put them on the device, as `tensors`. Raises DataError or SettingError."""

    def release(self) -> None:
        """Drop what `load` made."""
        self.tensors = {}

    @property
    def size(self) -> int | None:
        """Number of examples; None for an endless stream."""
        return len(next(iter(self.tensors.values())))

    @property
    def augments(self) -> bool:
        """Whether an example is changed at random each time a step draws it."""
        return False

    def init(self, generator: torch.Generator | None = None) -> Params:
        """The parameters to start from, without a lane axis."""
        raise NotImplementedError

    def batch(self, draws: Tensor | None) -> Batch:
        """The examples of these draws, int64 (B,) or, for a group of seeds, (S, B). None: every example, in order.

        A draw is an index, or the id of an example of a stream; a task that `augments` gets draws made by
        `experiments.tasks.noise.tagged` too, and changes those examples as a function of their bits.
        """
        return self.tensors if draws is None else {name: tensor[draws] for name, tensor in self.tensors.items()}

    def of_seed(self, batch: Batch, group: int) -> Batch:
        """The part of a batch for a group of seeds that belongs to one of them."""
        return {name: tensor[group] for name, tensor in batch.items()}

    def count(self, batch: Batch) -> int:
        """Number of examples of a batch for one seed."""
        sizes = {tensor.shape[0] if tensor.dim() else 0 for tensor in batch.values()}
        if len(sizes) != 1:
            raise SettingError("the tensors of a batch need one leading axis, of the examples, and one length")
        return sizes.pop()

    def part(self, batch: Batch, start: int, stop: int) -> Batch:
        """The examples [start, stop) of a batch for one seed."""
        return {name: tensor[start:stop] for name, tensor in batch.items()}

    def losses(self, params: Params, batch: Batch) -> Tensor:
        """One loss per example, (B,). The objective is their mean over all examples."""
        raise NotImplementedError

    def evaluate(self, params: Params, lanes: int | None = None) -> dict[str, Tensor]:
        """Named numbers about these parameters over all the data, each () or, with lanes, (lanes,); "loss" is one."""
        each = [params] if lanes is None else [{k: v[lane] for k, v in params.items()} for lane in range(lanes)]
        with torch.no_grad():
            means = torch.stack([self._mean_loss(one) for one in each])
        return {"loss": means if lanes is not None else means[0]}

    def _mean_loss(self, params: Params) -> Tensor:
        size = self.size
        assert size is not None, "a stream has no end: define `evaluate`"
        device = next(iter(params.values())).device
        parts = torch.arange(size, device=device).split(_AT_ONCE)
        return (
            torch.stack([self.losses(params, self.batch(part)).sum(dtype=torch.float64) for part in parts]).sum() / size
        )

    @property
    def optimum(self) -> float | None:
        """f*, the infimum of the objective, where it is known."""
        return None

    def lane_gradient(self, params: Params, batch: Batch) -> tuple[Tensor, Params]:
        """Losses (lanes, B) and gradients of their means for lanes in seed-major order, for the strategy "analytic".

        The batch has either no seed axis (all lanes share it) or one of length S; lanes are then S groups in order.
        """
        raise NotImplementedError

    @property
    def share_touched(self) -> float:
        """Share of the parameters that an example touches, on average: how much work a step is."""
        return 1.0

    def support(self, batch: Batch) -> Tensor | None:
        """Positions (s,) in the flattened parameters outside which the gradient on this batch is zero; None: anywhere.

        Where it is given, `touched_gradient` works on those parameters alone.
        """
        return None

    def touched_gradient(self, touched: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """As `lane_gradient`, for the parameters of the support, (lanes, s), and their gradient, (lanes, s)."""
        raise NotImplementedError

    def example_gradients(self, params: Params, batch: Batch) -> Tensor | None:
        """The gradients of the examples of a batch, flat, (B, D), where a formula is known."""
        return None

    def example_sums(
        self, params: Params, batch: Batch, wants: Wants, along: Params | None = None
    ) -> ExampleSums | None:
        """Sums over the examples' gradients, where formulas are known; products are along `along` or the gradient.

        They are sums of g_i - `common_gradient`, which vary as g_i do and lose no digits to what all examples share.
        """
        return None

    def common_gradient(self, params: Params) -> Params:
        """A part of every example's gradient that is the same for all, such as an l2 term's; {} for none."""
        return {}

    def gradient_moments(self, params: Params) -> tuple[Params, Params] | None:
        """Mean and variance (divided by n), coordinate by coordinate, of the examples' gradients, where a formula is
        known.
        """
        return None

    def curvature_bound(self) -> tuple[Any, float, float] | None:
        """Rows X (n, D), c and l2 such that every Hessian is at most `c X'X/n + l2 I`, where that is known."""
        return None

    def describe(self) -> dict[str, Any]:
        """Facts about the prepared task for the record (size, dimension, how f* was found)."""
        return {}


def spaced(size: int, count: int) -> Tensor:
    """So many different indices below `size`, evenly spaced."""
    return torch.arange(count) * size // count
