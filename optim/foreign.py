"""Any `torch.optim.Optimizer` class by its import path, as a component of a run."""

import dataclasses
import importlib
import inspect
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
