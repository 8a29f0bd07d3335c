"""What the study `training` runs on each task: its settings, and what they are refused for."""

from dataclasses import dataclass, field
from typing import Any

from optim import settings
from optim.settings import SettingError, nearest, setting

SAME_AVERAGE, STAGE_RAMP, LINEAR_RAMP, REPLAY = "same average", "stage ramp", "linear ramp", "replay"
DERIVED = (SAME_AVERAGE, STAGE_RAMP, LINEAR_RAMP, REPLAY)  # made from the runs of the main scheme
CAP = "cap"


@dataclass(kw_only=True)
class OptimizerPlan:
    """What is run with one optimizer. A scheme is the name of a test or a ramp, a whole number (that constant batch
    size), "cap" (the largest batch), or one that is derived from the main scheme.
    """

    lr: float = setting(0.01, above=0.0, doc="learning rate at every batch size: the released one, or a fixed one")
    schemes: list[Any] = field(metadata={"doc": "schemes that are run at that rate"})
    tuned: list[Any] = field(metadata={"doc": "schemes that are run at a rate of their own as well"})


@dataclass(kw_only=True)
class TaskPlan:
    """One task: its words, its budget, and the optimizers, the main one first."""

    words: list[str] = field(metadata={"doc": "overrides that begin with task="})
    passes: int = setting(1, minimum=1, doc="examples seen, in passes over the data: the same for every scheme")
    first_size: int = setting(2, minimum=2, doc="examples in the first batch under a test")
    cap: int = setting(60_000, minimum=2, doc="largest batch; the data set, if that is smaller")
    optimizers: dict[str, Any] = field(metadata={"doc": "by name: lr, schemes, tuned"})

    def __post_init__(self) -> None:
        if not self.words or not self.words[0].startswith("task="):
            raise SettingError(f"words must be overrides that begin with task=, not {self.words}")
        if self.cap < self.first_size:
            raise SettingError(f"cap={self.cap} is below the first batch: use at least first_size={self.first_size}")
        if not self.optimizers:
            raise SettingError("optimizers must name at least one of the optimizers")
        self.plans: dict[str, OptimizerPlan] = {
            name: settings.build(OptimizerPlan, _mapping(values, f"optimizers.{name}"), f"optimizers.{name}")
            for name, values in self.optimizers.items()
        }


def of_tasks(tasks: dict[str, Any], optimizers: dict[str, Any], schemes: set[str], main: str) -> dict[str, TaskPlan]:
    """The checked plans by task. Raises SettingError for names that there are not."""
    if not tasks:
        raise SettingError("tasks must name at least one task")
    plans = {
        name: settings.build(TaskPlan, _mapping(values, f"tasks.{name}"), f"tasks.{name}")
        for name, values in tasks.items()
    }
    for name, plan in plans.items():
        for optimizer, of_optimizer in plan.plans.items():
            if optimizer not in optimizers:
                there = nearest(optimizer, optimizers)
                raise SettingError(f"tasks.{name}: there is no optimizer '{optimizer}': {there}")
            for listed in (of_optimizer.schemes, of_optimizer.tuned):
                _check(listed, schemes, main, f"tasks.{name}.optimizers.{optimizer}")
    return plans


def _check(listed: list[Any], schemes: set[str], main: str, where: str) -> None:
    if len({str(scheme) for scheme in listed}) < len(listed):
        raise SettingError(f"{where} names a scheme twice: {listed}")
    valid = {*schemes, *DERIVED, CAP}
    for scheme in listed:
        if isinstance(scheme, bool) or (isinstance(scheme, int) and scheme < 1) or not isinstance(scheme, int | str):
            raise SettingError(f"{where}: a constant batch size must be a whole number from 1, not {scheme!r}")
        if isinstance(scheme, str) and scheme not in valid:
            raise SettingError(f"{where}: there is no scheme '{scheme}': {nearest(scheme, valid)}")
    if main not in listed and set(DERIVED) & set(listed):
        raise SettingError(f"{where}: {', '.join(DERIVED)} are made from '{main}', which must be in the same list")


def _mapping(values: Any, where: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise SettingError(f"{where} must hold settings, not {values!r}")
    return values
