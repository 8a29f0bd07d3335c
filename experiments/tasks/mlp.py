"""A small neural network on a classification set."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from experiments.seeds import generator as seeded
from experiments.tasks.example_sums import ExampleSums, Wants
from experiments.tasks.multiclass import MulticlassLogistic
from experiments.tasks.named_data import NamedData
from experiments.tasks.rows import DenseRows
from experiments.tasks.task import Batch, Params, Strategy, Task
from optim.settings import SettingError, setting

_LARGEST = 500_000_000  # entries held as a dense matrix: 4 GB in float64


@dataclass(kw_only=True)
class _Network(Task):
    """The settings of the network alone."""

    hidden: list[int] = field(default_factory=lambda: [16], metadata={"doc": "units of each hidden layer"})

    def __post_init__(self) -> None:
        for units in self.hidden:
            if units < 1:
                raise SettingError(f"task.hidden must hold whole numbers from 1, not {units!r}")


@dataclass(kw_only=True)
class MLP(NamedData, _Network):
    """`f(w) = mean_i (log sum_k exp(z_ik) - z_{i, y_i})`, where z_i = W_m tanh(... tanh(W_1 x_i + b_1) ...) + b_m.

    Layer k has "k.weight" (outputs, inputs) and "k.bias" (outputs,). Weights start uniform on +-sqrt(6 / (inputs +
    outputs)) (Glorot and Bengio 2010), drawn from the seed of the run; biases start at 0. Classes are in the order of
    the labels. The objective is not convex, and its infimum is not known.
    """

    version: ClassVar[int] = 1
    strategies: ClassVar[dict[str, Strategy]] = {"cpu": "analytic", "cuda": "analytic"}

    scale: str = setting("none", choices=("none", "range"), doc='"range" maps every column to [-1, 1]')

    def load(self, device: torch.device, dtype: torch.dtype) -> None:
        named: dict[str, Any] = {"data": self.data, "path": self.path, "features": self.features}
        rows, targets = MulticlassLogistic(**named, scale=self.scale).arrays()
        assert targets is not None
        if rows.shape[0] * rows.shape[1] > _LARGEST:
            raise SettingError(f"{rows.shape[0]:,} x {rows.shape[1]:,} entries are too many ({_LARGEST:,}) for an MLP")
        inputs = torch.from_numpy(rows.toarray()).to(device, dtype)
        self._first = DenseRows(inputs)  # what the first layer makes of them, for many lanes
        self.tensors = {"rows": inputs, "targets": torch.from_numpy(targets).to(device)}
        self._widths = [rows.shape[1], *self.hidden, int(targets.max()) + 1]

    def release(self) -> None:
        super().release()
        self._first = DenseRows(torch.empty(0, 0))

    @property
    def size(self) -> int:
        if not self.tensors:
            self.prepare(*self.last_prepared)
        return len(self.tensors["targets"])

    def init(self, generator: torch.Generator | None = None) -> Params:
        """Drawn from the generator; without one, from that of seed 0."""
        source = generator or seeded(0, "initialisation")
        params: Params = {}
        for k, (inputs, outputs) in enumerate(pairwise(self._widths), start=1):
            uniform = torch.rand(outputs, inputs, generator=source, dtype=torch.float64)
            params[f"{k}.weight"] = (6 / (inputs + outputs)) ** 0.5 * (2 * uniform - 1)
            params[f"{k}.bias"] = torch.zeros(outputs, dtype=torch.float64)
        device, dtype = self.last_prepared
        return {name: p.to(device, dtype) for name, p in params.items()}

    def losses(self, params: Params, batch: Batch) -> Tensor:
        outputs = batch["rows"].to(params["1.weight"].dtype)
        for k in range(1, len(self._widths)):
            outputs = outputs.tanh() if k > 1 else outputs
            outputs = outputs @ params[f"{k}.weight"].T + params[f"{k}.bias"]
        return torch.nn.functional.cross_entropy(outputs, batch["targets"], reduction="none")

    def lane_gradient(self, params: Params, batch: Batch) -> tuple[Tensor, Params]:
        losses, layers = self._backward(params, batch)
        grads: Params = {}
        for k, (slopes, below) in layers.items():
            grads[f"{k}.bias"] = slopes.sum(dim=2)
            grads[f"{k}.weight"] = self._first.pull(slopes, batch) if k == 1 else slopes @ below.transpose(1, 2)
        return losses, {name: grads[name] for name in params}

    def example_sums(self, params: Params, batch: Batch, wants: Wants, along: Params | None = None) -> ExampleSums:
        """Of layer k, g_i = (e_i a_i', e_i), where e_i is the derivative by its outputs and a_i its inputs."""
        losses, layers = self._backward({name: p[None] for name, p in params.items()}, batch)
        count = losses.shape[1]
        found = ExampleSums(losses[0], {})
        if wants.norms:
            found.squared_norms = losses.new_zeros(count, dtype=torch.float64)
        if wants.products:
            found.products = losses.new_zeros(count, dtype=torch.float64)
        for k, (slopes, below) in layers.items():
            a = batch["rows"].to(slopes.dtype).T if k == 1 else below[0]  # (inputs, B)
            e = slopes[0] * count  # (units, B)
            gradient = {f"{k}.weight": e @ a.T / count, f"{k}.bias": e.sum(dim=1) / count}
            found.gradient |= gradient
            if wants.norms:
                found.squared_norms += e.square().sum(dim=0) * (1 + a.square().sum(dim=0)).double()
            if wants.products:
                weight, bias = ((gradient if along is None else along)[f"{k}.{part}"] for part in ("weight", "bias"))
                found.products += (e * torch.addmm(bias[:, None], weight, a)).sum(dim=0).double()
            if wants.squares:
                squares = e.double().square()
                found.squares |= {f"{k}.weight": squares @ a.double().square().T, f"{k}.bias": squares.sum(dim=1)}
        found.gradient = {name: found.gradient[name] for name in params}
        return found

    def _backward(self, params: Params, batch: Batch) -> tuple[Tensor, dict[int, tuple[Tensor, Tensor]]]:
        """Losses (L, B), and by layer the derivatives of their mean by its outputs (L, units, B), and its inputs.

        The inputs are (L, inputs, B), of the first layer those of the batch.
        """
        *hidden, outputs = self._layers(params, batch)
        losses, slopes = self._losses(outputs, batch["targets"], slopes=True)
        assert slopes is not None
        slopes /= losses.shape[1]
        layers = {}
        for k in range(len(hidden) + 1, 1, -1):
            below = hidden[k - 2]
            layers[k] = (slopes, below)
            slopes = (params[f"{k}.weight"].transpose(1, 2) @ slopes) * (1 - below.square())
        return losses, {**layers, 1: (slopes, batch["rows"])}

    def _layers(self, params: Params, batch: Batch) -> list[Tensor]:
        """The hidden layers and the outputs, each (L, units, B)."""
        layers = [self._first.outputs(params["1.weight"], batch) + params["1.bias"][:, :, None]]
        for k in range(2, len(self._widths)):
            layers[-1].tanh_()
            layers.append(torch.baddbmm(params[f"{k}.bias"][:, :, None], params[f"{k}.weight"], layers[-1]))
        return layers

    def _losses(self, outputs: Tensor, targets: Tensor, slopes: bool) -> tuple[Tensor, Tensor | None]:
        """Losses (L, B) and, if wanted, their derivatives by the outputs (L, K, B); targets are (B,) or (S, B)."""
        groups = targets.reshape(-1, outputs.shape[2])
        chosen = groups.repeat_interleave(len(outputs) // len(groups), dim=0)[:, None]
        logs = torch.log_softmax(outputs, dim=1)
        losses = -logs.gather(1, chosen)[:, 0]
        if not slopes:
            return losses, None
        return losses, logs.exp_().scatter_add_(1, chosen, -torch.ones_like(losses)[:, None])

    def evaluate(self, params: Params, lanes: int | None = None) -> dict[str, Tensor]:
        many = params if lanes is not None else {name: p[None] for name, p in params.items()}
        count = len(many["1.weight"])
        loss = torch.zeros(count, dtype=torch.float64, device=many["1.weight"].device)
        right, size = torch.zeros_like(loss), self.size
        for part, rows in self._first.parts():
            outputs, targets = self._layers(many, rows)[-1], self.tensors["targets"][part]
            loss += self._losses(outputs, targets, slopes=False)[0].sum(dim=1, dtype=torch.float64)
            right += (outputs.argmax(dim=1) == targets).sum(dim=1)
        metrics = {"loss": loss / size, "accuracy": right / size}
        return metrics if lanes is not None else {name: m[0] for name, m in metrics.items()}

    def describe(self) -> dict[str, Any]:
        size = self.size
        dimension = sum((inputs + 1) * outputs for inputs, outputs in pairwise(self._widths))
        return {"examples": size, "dimension": dimension, "classes": self._widths[-1]}
