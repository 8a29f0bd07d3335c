"""Any `torch.nn.Module` with a loss per example."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from experiments.tasks.fingerprint import fingerprint
from experiments.tasks.task import Batch, Params, Strategy, Task
from optim.settings import SettingError

Loss = Callable[[Any, Tensor], Tensor]
Inputs = Tensor | Mapping[str, Tensor]

_MIXING = (nn.modules.batchnorm._BatchNorm,)
_RANDOM = (nn.modules.dropout._DropoutNd, nn.RReLU)


class ModuleTask(Task):
    """`f(w) = mean_i loss(model_w(inputs_i), targets_i)`, started at the module's own parameters, whatever the seed.

    Made by `experiments.api.task_from_module`. Parameters are those that require a gradient, named as in the module;
    the others, and buffers, stay as they are. The module itself is copied and never changed.
    """

    # Small networks gain nothing from lanes on a CPU; on a GPU they are mapped where the module allows it.
    strategies: ClassVar[dict[str, Strategy]] = {"cpu": "sequential", "cuda": "batched"}

    def __init__(self, model: nn.Module, loss: Loss, inputs: Inputs, targets: Tensor, name: str) -> None:
        """name: what the task is called in tables. Raises SettingError if there is no loss for each example."""
        given = _checked(model, loss, inputs, targets)
        self.name = name
        self._digest = fingerprint([model, loss, given, targets])
        self._model = copy.deepcopy(model).cpu()
        self._loss = copy.deepcopy(loss) if isinstance(loss, nn.Module) else loss
        self._inputs = {k: v.detach().cpu() for k, v in given.items()}
        self._targets = targets.detach().cpu()
        # Looked up once: calls with other values may leave a module that has two names changed.
        parameters = dict(self._model.named_parameters())
        self._trained = {k: p.detach().clone() for k, p in parameters.items() if p.requires_grad}
        frozen = {k: p.detach().clone() for k, p in parameters.items() if not p.requires_grad}
        self._frozen = {**frozen, **{k: b.detach().clone() for k, b in self._model.named_buffers()}}
        lengths = {len(t) for t in (*self._inputs.values(), self._targets)}
        if len(lengths) != 1 or 0 in lengths:
            raise SettingError(f"inputs and targets must have as many rows, at least one, not {sorted(lengths)}")
        if not self._trained:
            raise SettingError("the module has no parameter that requires a gradient")
        _refuse_what_mixes(self._model)
        self.prepare(torch.device("cpu"), next(iter(self._trained.values())).dtype)
        self._try_out()

    def content(self) -> dict[str, str]:
        return {"module": self._digest}

    def load(self, device: torch.device, dtype: torch.dtype) -> None:
        def placed(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)

        if isinstance(self._loss, nn.Module):
            self._loss = self._loss.to(device=device, dtype=dtype)
        self._start = {k: placed(t) for k, t in self._trained.items()}
        self.network = self._model.to(device)
        self._fixed = {k: placed(t) for k, t in self._frozen.items()}
        self.tensors = {f"inputs.{k}": placed(t) for k, t in self._inputs.items()} | {"targets": placed(self._targets)}

    def init(self, generator: torch.Generator | None = None) -> Params:
        return {k: v.clone() for k, v in self._start.items()}

    def losses(self, params: Params, batch: Batch) -> Tensor:
        keywords = {k.removeprefix("inputs."): v for k, v in batch.items() if k != "targets"}
        args, keywords = ((keywords[""],), {}) if "" in keywords else ((), keywords)
        outputs = torch.func.functional_call(self._model, {**self._fixed, **params}, args, keywords)
        losses: Tensor = self._loss(outputs, batch["targets"])
        return losses

    def describe(self) -> dict[str, Any]:
        return {"examples": self.size, "dimension": sum(p.numel() for p in self._start.values())}

    def _try_out(self) -> None:
        """Raise SettingError unless two examples have two losses, each its own and the same every time."""
        few = {k: v[:2] for k, v in self.tensors.items()}
        count = len(few["targets"])
        try:
            with torch.no_grad():
                together = self.losses(self._start, few)
                alone = [self.losses(self._start, {k: v[i : i + 1] for k, v in few.items()}) for i in range(count)]
        except Exception as problem:  # whatever the module makes of the inputs
            raise SettingError(f"the module and the loss do not take these inputs and targets: {problem}") from problem
        found: Any = together
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        if shape != (count,):
            raise SettingError(
                f"the loss must give one number for each example, shape ({count},) for {count} examples, not {shape}: "
                'use reduction="none", and average over what is left of an example'
            )
        if not torch.allclose(together, torch.cat(alone), rtol=1e-3, atol=1e-5, equal_nan=True):
            raise SettingError("an example's loss depends on the others in its batch, or on chance: it must not")


def _checked(model: Any, loss: Any, inputs: Any, targets: Any) -> dict[str, Tensor]:
    """The inputs by keyword, "" for a single one; raises SettingError for arguments of other kinds."""
    if not isinstance(model, nn.Module) or not callable(loss):
        raise SettingError("a task is made from a torch.nn.Module and a loss that can be called")
    given = {"": inputs} if isinstance(inputs, Tensor) else inputs
    tensors = [*given.values(), targets] if isinstance(given, Mapping) else [None]
    if not all(isinstance(t, Tensor) and t.dim() for t in tensors):
        raise SettingError("inputs must be a tensor, or a mapping of tensors by keyword, and targets a tensor")
    return dict(given)


def _refuse_what_mixes(model: nn.Module) -> None:
    for name, part in model.named_modules():
        kind = type(part).__name__
        if isinstance(part, _MIXING) and (part.training or not part.track_running_stats):
            raise SettingError(f"{name} ({kind}) mixes the examples of a batch: call model.eval(), or use GroupNorm")
        if isinstance(part, _RANDOM) and part.training and getattr(part, "p", 1) > 0:
            raise SettingError(f"{name} ({kind}) draws at random: call model.eval(), or set p=0")
