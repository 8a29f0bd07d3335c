"""How many examples a step takes at a time, so that what it keeps for its backward pass fits in memory."""

import torch
from torch import Tensor

from experiments.tasks.task import Batch, Params, Strategy, Task, spaced

MEBIBYTE = 1 << 20
_FEW = 16  # examples that are looked at
_SPARSE = 64  # bytes of an example and lane where a formula works on a few columns: outputs and slopes
_SLACK = 2  # of what the forward pass keeps: the backward pass makes as much again, at most


def a_few(task: Task, count: int, device: torch.device) -> Tensor:
    """Draws of so many examples, or of as many as there are, evenly spaced over the data."""
    size = count if task.size is None else task.size
    return spaced(size, min(count, size)).to(device)


def at_once(task: Task, params: Params, strategy: Strategy, groups: int, memory: int) -> int:
    """Examples of a micro-batch, at least 1, for a step that may take about `memory` bytes.

    params: with lanes, (L, ...). groups: seeds with batches of their own. Measured on a few examples: the bytes of
    their data, and those that autograd keeps of a forward pass, which a formula needs as well. What a model computes
    afresh during the backward pass (checkpointing) is not seen.
    """
    draws = a_few(task, _FEW, next(iter(params.values())).device)
    batch, one = task.batch(draws), {name: p[0] for name, p in params.items()}
    lanes = 1 if strategy == "sequential" else len(next(iter(params.values())))
    kept = _SPARSE * len(draws) if task.support(batch) is not None else _kept(task, one, batch)
    each = max(1, (groups * _bytes(batch) + lanes * kept) // len(draws))
    return max(1, memory // (_SLACK * each))


def _bytes(batch: Batch) -> int:
    return sum(t.numel() * t.element_size() for t in batch.values())


def _kept(task: Task, params: Params, batch: Batch) -> int:
    """Bytes that autograd keeps of a forward pass, parameters and data apart."""
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
    known = {t.untyped_storage().data_ptr() for t in (*leaves.values(), *batch.values())}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        losses = task.losses(leaves, batch)  # held, so that no storage is used twice
    del losses
    return sum(found.values())
