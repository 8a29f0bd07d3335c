"""The contract of a sequence: numbers by step, such as the alpha_t, beta_t and theta_t that Generic Adam is made of."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from optim import settings
from optim.mapping import Hyper
from optim.settings import SettingError


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """Base of sequences: a dataclass whose instances give a number for every step t = 1, 2, ...

    A subclass writes its formula once, in `value`, with operators that floats, arrays and tensors share. Where 1 minus
    the value is small and has a formula, it writes `complement` too: a difference would lose its digits.

    `exponents` says how fast the value and its complement fall, where that is known: (a, b) means that the value is of
    order t^-a and 1 minus the value of order t^-b.
    """

    version: ClassVar[int] = 1

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        torch.serialization.add_safe_globals([cls])  # so that torch loads an optimizer's state that holds one

    def hyper(self) -> dict[str, float]:
        """The lane settings and their values."""
        return {name: getattr(self, name) for name in settings.names(self, lane=True)}

    def value(self, t: Any, hyper: Hyper) -> Any:
        """The number at step t. Either t is an int and `hyper` holds floats or float64 tensors (lanes,), or t is a
        float64 array of whole numbers and `hyper` holds floats.
        """
        raise NotImplementedError

    def complement(self, t: Any, hyper: Hyper) -> Any:
        """1 - value, to full precision."""
        return 1 - self.value(t, hyper)

    def exponents(self) -> tuple[float | None, float | None]:
        """Of the value and of its complement; None where no power of t describes it."""
        return None, None

    def values(self, t: np.ndarray) -> np.ndarray:
        """With its own settings, at steps t >= 1, float64 (n,)."""
        steps = np.asarray(t, dtype=np.float64)
        return np.broadcast_to(np.asarray(self.value(steps, self.hyper()), dtype=np.float64), steps.shape)

    def complements(self, t: np.ndarray) -> np.ndarray:
        """1 - values, to full precision, float64 (n,)."""
        steps = np.asarray(t, dtype=np.float64)
        return np.broadcast_to(np.asarray(self.complement(steps, self.hyper()), dtype=np.float64), steps.shape)


RANGES = dict.fromkeys(("beta", "theta"), "at least 0 and less than 1") | {"alpha": "finite and not negative"}


def in_range(name: str, values: Any) -> Any:
    """Whether numbers are what Generic Adam can use as alpha, beta or theta (`RANGES`); false for not-a-number."""
    return (values >= 0) & (values < (math.inf if name == "alpha" else 1.0))


def refuse_out_of_range(name: str, values: Any, steps: Any) -> None:
    """Raise SettingError, with the step, unless all of the numbers are `in_range`.

    values: a float, a tensor (lanes,) or an array (n,). steps: the step, or those of the array.
    """
    fine = in_range(name, values)
    if fine if isinstance(fine, bool) else bool(fine.all()):
        return
    numbers = np.atleast_1d(values.cpu().numpy() if isinstance(values, torch.Tensor) else values)
    wrong = ~in_range(name, numbers)
    value = float(numbers[wrong][0])
    step = int(np.broadcast_to(np.asarray(steps), wrong.shape)[wrong][0])
    raise SettingError(f"{name} is {value:g} at step {step}, and must be {RANGES[name]}: choose another {name}")
