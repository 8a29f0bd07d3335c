"""How many examples a step takes at a time, so that what it keeps for its backward pass fits in memory."""

import torch
from torch import Tensor

from experiments.tasks.task import Batch, Params, Strategy, Task

MEBIBYTE = 1 << 20
_SLACK = 2  # of what the forward pass keeps: the backward pass makes as much again, at most


def at_once(task: Task, params: Params, strategy: Strategy, memory: int) -> int:
    """Examples of a micro-batch, at least 1, for a step that may take about `memory` bytes.

    params: with lanes, (L, ...). Measured on a few examples: bytes of their data, and those that autograd keeps.
    """
    few = min(4, task.size or 4)
    if few < 2:
        return 1
    device = next(iter(params.values())).device
    batches = [task.batch(torch.arange(count, device=device)) for count in (few // 2, few)]
    one = {name: p[0] for name, p in params.items()}
    lanes = len(next(iter(params.values()))) if strategy in ("batched", "vmapped") else 1
    less, more = (_bytes(b) + (0 if strategy == "analytic" else lanes * _kept(task, one, b)) for b in batches)
    each = max(1, (more - less) // (few - few // 2))
    return max(1, memory // (_SLACK * each))


def _bytes(batch: Batch) -> int:
    return sum(t.numel() * t.element_size() for t in batch.values())


def _kept(task: Task, params: Params, batch: Batch) -> int:
    """Bytes that autograd keeps of a forward pass, parameters apart."""
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
    known = {p.untyped_storage().data_ptr() for p in leaves.values()}
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
