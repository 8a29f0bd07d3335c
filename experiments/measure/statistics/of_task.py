"""Gradient statistics of a task, by the quickest exact way that it allows."""

from collections.abc import Iterable

from torch import Tensor

from experiments.measure import gradients
from experiments.measure.statistics.collect import Collector
from experiments.tasks.task import Batch, Params, Task


def gradient_statistics(
    task: Task, params: Params, batch: Batch | None, names: Iterable[str]
) -> dict[str, Tensor | Params]:
    """As `experiments.measure.gradients.gradient_statistics`; for a batch of a network, in one backward pass."""
    if task.network is None or batch is None:
        return gradients.gradient_statistics(task, params, batch, names)
    wanted, dtype = list(names), next(iter(params.values())).dtype
    found = Collector(task.network, task.losses).collect(params, batch, wanted).statistics
    return {name: value.to(dtype) if isinstance(value, Tensor) else value for name, value in found.items()}
