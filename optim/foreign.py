"""Any `torch.optim.Optimizer` class by its import path, as a component of a run."""

import dataclasses
import importlib
import inspect
import json
import math
from typing import Any, ClassVar

import torch

from optim.settings import SettingError, nearest, setting

ALLOWED = ("torch.optim", "pytorch_optimizer")

_REFUSED = {
    "LBFGS": "it needs a closure that evaluates the loss again",
    "SparseAdam": "it needs sparse gradients",
    "Muon": "it takes two-dimensional parameters only",
    "Optimizer": "it is the abstract base class",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TorchOptimizer:
    """A class named by its import path, run one lane at a time. Its settings are `arguments`, passed on as they are."""

    version: ClassVar[int] = 1

    path: str = setting("torch.optim.Adagrad", doc="import path of the class, in torch.optim or pytorch_optimizer")
    arguments: dict[str, Any] = setting({}, doc="keywords of the class, such as lr")

    def __post_init__(self) -> None:
        for key, value in self.arguments.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise SettingError(f"{self.path}: {key} must be a finite number, not {value}")
        keywords = inspect.signature(self.load()).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in keywords.values()):
            for key in self.arguments:
                if key not in keywords or key == "params":
                    valid = [k for k in keywords if k not in ("self", "params")]
                    raise SettingError(f"{self.path} has no argument '{key}': {nearest(key, valid)}")
        try:
            self.make([torch.zeros(1, requires_grad=True)])
        except Exception as problem:  # whatever the class makes of them
            raise SettingError(f"{self.path} refuses its arguments {self.arguments}: {problem}") from None
        try:
            self._try_out()
        except Exception as problem:
            why = str(problem).strip().split("\n")[0]
            raise SettingError(f"{self.path} cannot be used here with the arguments {self.arguments}: {why}") from None

    def load(self) -> type[torch.optim.Optimizer]:
        """The class. Raises SettingError for a path outside the allow-list, or a class that cannot run here."""
        module_name, _, class_name = self.path.rpartition(".")
        if module_name not in ALLOWED:
            raise SettingError(
                f"optimizer target '{self.path}' is not allowed: name a class of {' or '.join(ALLOWED)}, "
                "or an optimizer of this repository"
            )
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            raise SettingError(f"'{self.path}' needs the package {module_name}, which is not installed") from None
        classes = {
            k: c for k, c in vars(module).items() if isinstance(c, type) and issubclass(c, torch.optim.Optimizer)
        }
        if class_name not in classes:
            raise SettingError(f"{module_name} has no optimizer '{class_name}': {nearest(class_name, classes)}")
        if class_name in _REFUSED:
            raise SettingError(f"{self.path} cannot be used here: {_REFUSED[class_name]}")
        return classes[class_name]

    def make(self, params: list[torch.Tensor]) -> torch.optim.Optimizer:
        """The optimizer over these parameters."""
        return self.load()(params, **self.arguments)

    def _try_out(self) -> None:
        """Three steps, a checkpoint, and two more, which must be the same from it. Raises what goes wrong."""
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            leaves = [torch.linspace(-1, 1, n).reshape(shape) for n, shape in ((6, (2, 3)), (3, (3,)))]
            leaves = [leaf.requires_grad_() for leaf in leaves]
            optimizer = self.make(leaves)
            for step in range(3):
                _step(optimizer, leaves, step)
            tensors, numbers = keep(optimizer)
            tensors, numbers = {k: t.clone() for k, t in tensors.items()}, json.loads(json.dumps(numbers))
            others = [leaf.detach().clone().requires_grad_() for leaf in leaves]
            resumed = self.make(others)
            restore(resumed, tensors, numbers)
            for step in range(3, 5):
                _step(optimizer, leaves, step)
                _step(resumed, others, step)
        if not all(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) for a, b in zip(leaves, others, strict=True)):
            raise TypeError("after a checkpoint it goes on differently (it draws random numbers or hides some state)")


def _step(optimizer: torch.optim.Optimizer, leaves: list[torch.Tensor], step: int) -> None:
    for leaf in leaves:
        leaf.grad = (leaf.detach() - step).cos() / (step + 2)
    optimizer.step()


def keep(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], Any]:
    """The state of an optimizer for a checkpoint: tensors by name, and the rest, with their places, as JSON values.

    Raises TypeError for a state that is made of other things.
    """
    leaves = [p for group in optimizer.param_groups for p in group["params"]]
    if len(optimizer.state) > sum(p in optimizer.state for p in leaves):
        raise TypeError("it keeps a state that belongs to no parameter")
    state = [optimizer.state.get(p, {}) for p in leaves]
    groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    tensors: dict[str, torch.Tensor] = {}
    return tensors, [_plain(state, "state", tensors), _plain(groups, "groups", tensors)]


def restore(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], numbers: Any) -> None:
    """Take a state from `keep`, as it was but for the device, which is that of the parameters."""
    leaves = [p for group in optimizer.param_groups for p in group["params"]]
    state, groups = (_rebuilt(part, tensors, leaves[0].device) for part in numbers)
    for leaf, slots in zip(leaves, state, strict=True):
        if slots:
            optimizer.state[leaf] = slots
    for group, kept in zip(optimizer.param_groups, groups, strict=True):
        group.update(kept)


def _plain(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """The value as JSON, in which containers say their kind; tensors are put aside under the name of their place."""
    if isinstance(value, torch.Tensor):
        tensors[name] = value.detach()
        return {"tensor": name, "on_cpu": value.device.type == "cpu"}  # torch keeps counters there, whatever the device
    if isinstance(value, list | tuple):
        items = [_plain(item, f"{name}/{i}", tensors) for i, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {"dict": {k: _plain(v, f"{name}/{k}", tensors) for k, v in value.items()}}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"its state holds a {type(value).__name__} ({name}), which a checkpoint cannot")


def _rebuilt(value: Any, tensors: dict[str, torch.Tensor], device: torch.device) -> Any:
    if isinstance(value, list):
        return [_rebuilt(item, tensors, device) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]].to("cpu" if value["on_cpu"] else device)
    if "tuple" in value:
        return tuple(_rebuilt(item, tensors, device) for item in value["tuple"])
    return {k: _rebuilt(v, tensors, device) for k, v in value["dict"].items()}
