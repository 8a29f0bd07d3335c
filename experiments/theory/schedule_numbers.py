"""Numbers by step from whatever says them: a sequence, a function, a list, a number or a torch scheduler."""

import copy
import math
import numbers
import warnings
from collections.abc import Callable
from collections.abc import Sequence as ListOfNumbers
from typing import Any

import numpy as np
import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from optim.sequence import Sequence
from optim.sequences.constant import Constant
from optim.settings import SettingError

Array = np.ndarray[Any, np.dtype[np.float64]]
Schedule = Sequence | Callable[[int], Any] | ListOfNumbers[float] | np.ndarray | torch.Tensor | float | LRScheduler
Reader = Callable[[int, int], Array]  # of (after, last): the numbers at steps after + 1, ..., last

_ACCEPTED = "a sequence, a function of the step, a list of numbers, a number or a scheduler of torch.optim.lr_scheduler"


def reader(schedule: Schedule, name: str, horizon: int, *, below_one: bool) -> Reader:
    """What gives the numbers of a schedule piece by piece, in order, and checks them; `name` is for errors.

    With `below_one`, numbers must be in [0, 1) and 1 minus the number is given, to full precision where the schedule is
    a sequence; otherwise they must be finite and not negative. A scheduler is copied, but for its parameters, and the
    copy is stepped: number t is the learning rate of its first group after t - 1 steps from where it stands.

    Raises SettingError, here or from what it returns, which names the schedule, the step and the value.
    """
    plain = _as_sequence(schedule)
    if isinstance(plain, Sequence):
        read = _of_sequence(plain, name, horizon, below_one)
    elif isinstance(plain, LRScheduler):
        read = _difference(_of_scheduler(plain, name), below_one)
    elif isinstance(plain, list | tuple | np.ndarray | torch.Tensor):
        read = _difference(_of_list(plain, name, horizon), below_one)
    elif callable(plain):
        read = _difference(_of_function(plain, name), below_one)
    else:
        raise SettingError(f"{name} is a {type(schedule).__name__}, and must be {_ACCEPTED}")

    def checked(after: int, last: int) -> Array:
        found = read(after, last)
        fine = (found > 0) & (found <= 1) if below_one else (found >= 0) & (found < math.inf)
        if not fine.all():
            k = int(np.argmin(fine))
            number = 1 - found[k] if below_one else found[k]
            wanted = "at least 0 and less than 1" if below_one else "finite and not negative"
            raise SettingError(f"{name} is {float(number)!r} at step {after + 1 + k}, and must be {wanted}")
        return found

    return checked


def _as_sequence(schedule: Any) -> Any:
    """A number, which may be an array of no dimensions, as the constant sequence, anything else as it is."""
    plain = schedule.item() if isinstance(schedule, np.ndarray | torch.Tensor) and schedule.ndim == 0 else schedule
    if isinstance(plain, numbers.Real) and not isinstance(plain, bool):
        return Constant(at=float(plain))
    return plain


def exponents(schedule: Schedule) -> tuple[float | None, float | None]:
    """Of a schedule's formula: a and b if the number is of order t^-a and 1 minus it of order t^-b; None if unknown."""
    plain = _as_sequence(schedule)
    return plain.exponents() if isinstance(plain, Sequence) else (None, None)


def _difference(read: Reader, below_one: bool) -> Reader:
    return (lambda after, last: 1 - read(after, last)) if below_one else read


def _of_sequence(schedule: Sequence, name: str, horizon: int, below_one: bool) -> Reader:
    def read(after: int, last: int) -> Array:
        steps = np.arange(after + 1, last + 1, dtype=np.float64)
        try:
            with np.errstate(all="ignore"):
                return schedule.complements(steps) if below_one else schedule.values(steps)
        except SettingError as problem:
            raise SettingError(f"{name}: {problem}") from None

    read(horizon - 1, horizon)  # a list may end before
    return read


def _of_list(listed: Any, name: str, horizon: int) -> Reader:
    if not len(listed):
        raise SettingError(f"{name} is an empty list: give a number for every step")
    if len(listed) < horizon:
        raise SettingError(f"{name} has {len(listed)} numbers, and horizon={horizon} needs as many steps")
    own = listed.detach().cpu() if isinstance(listed, torch.Tensor) else listed

    def read(after: int, last: int) -> Array:
        part = own[after:last]
        try:
            found = np.asarray(part, dtype=np.float64)
        except (TypeError, ValueError):
            found = np.array([_number(value, name, after + 1 + k) for k, value in enumerate(part)])
        if found.ndim != 1:
            raise SettingError(f"{name} must be a list of numbers, not of {found.ndim} dimensions")
        return found

    return read


def _of_function(function: Callable[[Any], Any], name: str) -> Reader:
    """A function that takes arrays is called with them, if it then says what it says step by step."""
    takes_arrays = True

    def at(step: int) -> float:
        try:
            value = function(step)
        except Exception as problem:  # whatever the function raises
            raise SettingError(f"{name} cannot be found at step {step}: {type(problem).__name__}: {problem}") from None
        return _number(value, name, step)

    def all_at_once(steps: Array) -> Array | None:
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = np.asarray(function(steps.copy()), dtype=np.float64)
        except Exception:  # it is meant for single steps
            return None
        if found.shape != steps.shape or not np.isfinite(found).all():
            return None
        some = {0, len(steps) // 2, len(steps) - 1}
        same = all(math.isclose(found[k], at(int(steps[k])), rel_tol=1e-12) for k in some)
        return found if same else None

    def read(after: int, last: int) -> Array:
        nonlocal takes_arrays
        found = all_at_once(np.arange(after + 1, last + 1, dtype=np.float64)) if takes_arrays else None
        if found is None:
            takes_arrays = False
            found = np.array([at(step) for step in range(after + 1, last + 1)])
        return found

    return read


def _of_scheduler(scheduler: LRScheduler, name: str) -> Reader:
    if isinstance(scheduler, ReduceLROnPlateau):
        raise SettingError(f"{name} is a ReduceLROnPlateau, which follows a loss: give a schedule of the step alone")
    optimizer = scheduler.optimizer
    leaves = [leaf for group in optimizer.param_groups for leaf in group["params"]]
    try:
        own: Any = copy.deepcopy(scheduler, {id(shared): shared for shared in [*leaves, optimizer.state]})
    except Exception as problem:  # whatever hangs on it
        raise SettingError(f"{name} is a scheduler that cannot be copied ({problem}): give a function") from None
    taken = 0

    def step() -> None:
        try:
            own.step()
        except Exception as problem:  # such as OneCycleLR's beyond its end
            raise SettingError(f"{name} cannot be found at step {taken + 1}: {problem}") from None

    def read(after: int, last: int) -> Array:
        nonlocal taken
        found = np.empty(last - after)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the optimizer takes no steps
            for k in range(last - after):
                if taken:
                    step()
                taken += 1
                found[k] = _number(own.optimizer.param_groups[0]["lr"], name, taken)
        return found

    return read


def _number(value: Any, name: str, step: int) -> float:
    try:
        if isinstance(value, bool | str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise SettingError(f"{name} is {value!r} at step {step}, and must be a number") from None
